"""RECOVERY.md §4: cancelling is a wish until the runtime answers; §2: a cancel that lost the race."""

from __future__ import annotations

import pytest

from tests.end_to_end import views
from tests.end_to_end.client import shell
from tests.end_to_end.fleet import Desk
from tests.foreign.wire import Frame
from tests.foreign.work import Gate, Work, acknowledges_only, answers, runs_until, silent


def test_the_wish_is_marked_and_the_attempt_stays_where_it_is(desk: Desk) -> None:
    """§4: "the attempt stays where it is, marked `cancel_requested`"."""
    desk.runtime.manners.cancel = False
    gate = Gate()
    prompt = desk.api.wait_state(desk.ask(script=runs_until(gate)), "started")
    desk.api.act(prompt, "cancel")
    desk.runtime.saw("cancel", where=lambda s: s.about(views.call(prompt)["id"], 1))
    prompt = desk.nothing_more_happens(prompt)
    assert views.last(prompt)["state"] == "started"
    assert "cancel_requested" in str(views.call(prompt))
    gate.open()
    desk.api.wait_state(prompt, "ended")


def test_the_cancel_is_sent_on_every_connection_until_it_is_answered(desk: Desk) -> None:
    """§4: "the cancel is sent on every connection until answered"."""
    desk.policy(reconcile_window_s=60.0)
    desk.runtime.manners.cancel = False
    prompt = desk.api.wait_state(desk.ask(script=runs_until(Gate())), "started")
    desk.api.act(prompt, "cancel")
    desk.runtime.saw("cancel")
    for _ in range(2):
        since = desk.runtime.recording.mark()
        desk.runtime.drop_links()
        desk.runtime.saw("cancel", since=since)
    desk.runtime.manners.cancel = True
    desk.runtime.drop_links()
    prompt = desk.api.wait_verdict(prompt, ("cancelled", "partly"))
    since = desk.runtime.recording.mark()
    desk.runtime.drop_links()
    desk.runtime.saw("welcome", since=since)
    desk.runtime.heartbeats_pass(2)
    assert desk.runtime.recording.select("cancel", since=since) == []


def test_a_cancel_that_lost_the_race_shows_the_finish(desk: Desk) -> None:
    """§2: "A cancel that lost the race shows the verdict of the finish, with the cancel in the transcript"."""

    def too_late(frame: Frame) -> list[Frame]:
        gate.open()
        return []

    gate = Gate()
    desk.runtime.manners.cancel = too_late
    prompt = desk.api.wait_state(desk.ask(script=runs_until(gate)), "started")
    desk.api.act(prompt, "cancel", reason="no longer wanted")
    desk.api.wait_verdict(prompt, ("answered", "yes"))
    transcript = desk.api.get(f"/sessions/{desk.session_id}/transcript", format="json")
    assert "no longer wanted" in str(transcript["events"])


def test_a_cancel_of_something_that_never_arrived_is_a_promise(desk: Desk) -> None:
    """§5: "a confirmed cancel of something not started" is a promise: cancelled, ran no."""
    desk.policy(ack_window_s=60.0)
    prompt = desk.api.wait_state(desk.ask(script=silent), "dispatched")
    desk.runtime.saw("dispatch")
    desk.api.act(prompt, "cancel")
    desk.api.wait_verdict(prompt, ("cancelled", "no"))


def test_any_runtime_of_the_journal_may_close_it(desk: Desk) -> None:
    """PROTOCOL §4 `cancel`: "any runtime of that journal may close it, or end its process tree"."""
    desk.policy(reconcile_window_s=60.0)
    prompt = desk.api.wait_state(desk.ask(shell("x", "mutating"), script=acknowledges_only), "acknowledged")
    desk.runtime.manners.cancel = False
    second = desk.fleet.sibling(desk.runtime, shared_journal=True)
    desk.api.act(prompt, "cancel")
    desk.runtime.drop_links(stay_away=True)
    second.saw("cancel", where=lambda s: s.about(views.call(prompt)["id"]))
    desk.api.wait_verdict(prompt, ("cancelled", "no"))


def test_a_queued_step_is_cancelled_without_a_word_to_the_runtime(desk: Desk) -> None:
    """§2 `cancelled`, ran no: a step that never left is not sent any more."""
    gate = Gate()
    prompt = desk.ask(shell("one"), shell("two"), script=runs_until(gate))
    desk.api.wait_state(prompt, "started")
    desk.api.act(prompt, "cancel", step=2)
    gate.open()
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    prompt = desk.nothing_more_happens(prompt)
    assert len(desk.runtime.dispatches()) == 1
    assert views.call(prompt, 2)["state"] == "ended"
    assert views.call(prompt, 2)["ran"] in ("no", None)


def test_after_a_confirmed_cancel_nothing_is_sent_again(desk: Desk) -> None:
    """§6: automatic actions follow `orphaned` and `runtime_died`, never `cancelled`."""
    prompt = desk.api.wait_state(desk.ask(script=runs_until(Gate())), "started")
    desk.api.act(prompt, "cancel")
    prompt = desk.api.wait_verdict(prompt, ("cancelled", "partly"))
    desk.nothing_more_happens(prompt)


@pytest.mark.parametrize("ended_by", ["cancel", "itself"])
def test_the_verdict_follows_who_ended_it(desk: Desk, ended_by: str) -> None:
    """§2: "who ended it (`ended_by`)" decides, not that somebody wished a cancel."""

    async def then(work: Work) -> None:
        await work.finish(exit_code=0, ended_by=ended_by)

    gate = Gate()

    def let_it_end(frame: Frame) -> list[Frame]:
        gate.open()
        return []

    desk.runtime.manners.cancel = let_it_end
    prompt = desk.api.wait_state(desk.ask(script=runs_until(gate, then)), "started")
    desk.api.act(prompt, "cancel")
    wanted = ("cancelled", "partly") if ended_by == "cancel" else ("answered", "yes")
    desk.api.wait_verdict(prompt, wanted)


def test_input_reaches_the_command_once_and_in_order(desk: Desk) -> None:
    """PROTOCOL §4 `input`: "`sequence` (from 1)"; of sensitive input "only the length is recorded"."""
    heard: list[Frame] = []

    async def script(work: Work) -> None:
        await work.start()
        await work.progress(waiting_for_input=True)
        heard.extend([await work.inputs.get(), await work.inputs.get()])
        await work.output(b"thanks\n")
        await work.finish()

    prompt = desk.api.wait_state(desk.ask(script=script), "started")
    desk.api.act(prompt, "input", data="yes\n", close=False, sensitive=False)
    desk.runtime.saw("input")
    desk.api.act(prompt, "input", data="hunter2-unrepeatable\n", close=True, sensitive=True)
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert [frame["sequence"] for frame in heard] == [1, 2]
    assert [frame["sensitive"] for frame in heard] == [False, True]
    record = str(desk.api.get(f"/sessions/{desk.session_id}/transcript", format="json"))
    assert "hunter2-unrepeatable" not in record
    assert "aHVudGVyMi11bnJlcGVhdGFibGUK" not in record


def test_a_repeated_cancel_after_the_end_is_not_offered(desk: Desk) -> None:
    """API.md: "`409 action.not_offered` (which are, and why this one is not)"."""
    desk.runtime.script = answers()
    prompt = desk.answered()
    answer = desk.api.try_to_act(prompt, "cancel")
    assert answer.status_code == 409
    assert answer.json()["code"] == "action.not_offered"
