"""RECOVERY.md §6: sendable, held, rerouted, escalated, expired, released; and the world that changed meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.end_to_end import views
from tests.end_to_end.client import Api, shell
from tests.end_to_end.fleet import Desk
from tests.end_to_end.server import until
from tests.foreign.work import Gate, answers, by_command, in_turn, refuses, runs_until


def health(desk: Desk, *wanted: str) -> None:
    until(
        lambda: desk.api.get(f"/endpoints/{desk.endpoint_id}")["health"] in wanted,
        within=20,
        what=f"the endpoint is {wanted}",
    )


def fall_ill(desk: Desk) -> None:
    """The socket stays open; neither heartbeats nor pongs come."""
    desk.runtime.manners.heartbeats = False
    desk.runtime.manners.pongs = "none"
    health(desk, "unhealthy", "offline")


def test_a_runtime_that_missed_two_heartbeats_gets_no_new_work(desk: Desk) -> None:
    """§6: "by policy the call is **held** (default …)", and goes out when the runtime is back."""
    fall_ill(desk)
    sendable = desk.api.get(f"/endpoints/{desk.endpoint_id}")["sendable"]
    assert sendable["value"] is False
    assert sendable["reason"]
    prompt = desk.api.wait_state(desk.ask(), "held")
    assert desk.runtime.dispatches() == []
    desk.runtime.manners.pongs = "right"
    desk.runtime.manners.heartbeats = True
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert len(views.attempts(prompt)) == 1, "a hold is no new attempt"


def test_offline_when_sent_is_held_and_goes_on_return(desk: Desk) -> None:
    """§6 "sendable: a bridge is open": words.json "Kept until {end}"."""
    desk.goes_away()
    prompt = desk.api.wait_state(desk.ask(shell("x", "mutating")), "held")
    desk.runtime.connect()
    desk.api.wait_verdict(prompt, ("answered", "yes"))


def test_a_hold_expires(desk: Desk) -> None:
    """§2: "`expired`: a hold or an approval passed its end", ran as the tool call's; §6 "at most `hold_expiry`"."""
    desk.policy(hold_expiry_s=1.0)
    desk.goes_away()
    prompt = desk.api.wait_verdict(desk.ask(shell("x", "mutating")), ("expired", "no"))
    desk.runtime.connect()
    prompt = desk.nothing_more_happens(prompt)
    assert desk.runtime.dispatches() == []
    assert views.offered(prompt) & {"requeue", "retry"}


def test_an_expired_hold_shows_the_calls_ran(desk: Desk) -> None:
    """§2: "`expired` … show the tool call's `ran`, never better"."""
    desk.policy(hold_expiry_s=1.0, max_automatic=0, automatic_for=[], reconcile_window_s=0.5)
    prompt = desk.ask(shell("x", "mutating"), script=runs_until(Gate()))
    desk.api.wait_state(prompt, "started")
    desk.runtime.die()
    prompt = desk.api.wait_verdict(prompt, ("runtime_died", "unconfirmed"))
    answer = desk.api.try_to_act(prompt, "retry")
    if answer.status_code == 202:
        desk.api.wait_verdict(prompt, ("expired", "unconfirmed"))
    else:
        assert answer.json()["code"] == "action.not_offered"


def test_hold_moves_the_end_and_release_sends_after_a_check(desk: Desk) -> None:
    """§1 `hold`, `release`; API.md: `expires_in_s` (hold); §1: "release never adds one [a consent]"."""
    desk.goes_away()
    prompt = desk.api.wait_state(desk.ask(shell("x", "mutating")), "held")
    before = views.last(prompt)["due_at"]
    desk.api.act(prompt, "hold", expires_in_s=600)
    prompt = desk.api.wait(prompt, lambda p: views.last(p)["due_at"] > before)
    answer = desk.api.try_to_act(prompt, "release")
    assert answer.status_code in (202, 409)
    assert desk.runtime.dispatches() == []
    desk.runtime.connect()
    if views.last(desk.api.prompt(prompt["id"]))["state"] == "held":
        desk.api.try_to_act(prompt, "release")
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert views.last(prompt)["consent"] == 1


def test_heartbeats_alone_are_no_proof(desk: Desk) -> None:
    """§6: "the runtime has proved within two heartbeat intervals that it answers RPC"."""
    desk.runtime.manners.pongs = "none"
    desk.runtime.heartbeats_pass(6)
    prompt = desk.ask()
    desk.runtime.saw("ping")
    desk.runtime.heartbeats_pass(2)
    assert desk.runtime.dispatches() == []
    desk.runtime.manners.pongs = "right"
    desk.api.wait_verdict(prompt, ("answered", "yes"))


@pytest.mark.parametrize("how", ["leaving", "not accepting"])
def test_a_draining_runtime_gets_no_new_work(desk: Desk, how: str) -> None:
    """§6: "it is not draining, and its journal can write"; PROTOCOL §7: "it ends with `true` or the next `hello`"."""
    if how == "leaving":
        desk.runtime.say({"type": "leaving", "reason": "drain"})
    desk.runtime.manners.accepting = False
    desk.no_new_work("draining")
    prompt = desk.api.wait_state(desk.ask(), "held")
    assert desk.runtime.dispatches() == []
    desk.runtime.manners.accepting = True
    desk.runtime.drop_links()
    desk.api.wait_verdict(prompt, ("answered", "yes"))


def test_rerouted_by_policy(desk: Desk) -> None:
    """§6: "**rerouted** to another bridge or runtime of that endpoint"."""
    desk.policy(when_unhealthy="reroute")
    second = desk.fleet.sibling(desk.runtime, shared_journal=False)
    desk.runtime.manners.heartbeats = False
    desk.runtime.manners.pongs = "none"
    runtime_id = desk.runtime.runtime_id

    def ill() -> bool:
        shown = desk.api.get(f"/endpoints/{desk.endpoint_id}")["runtimes"]
        return any(r["id"] == runtime_id and r.get("health", "unhealthy") != "healthy" for r in shown)

    until(ill, within=20, what="the first runtime is unhealthy")
    second.heartbeats_pass(4)
    prompt = desk.api.wait_verdict(desk.ask(shell("x", "mutating")), ("answered", "yes"))
    assert desk.runtime.dispatches() == []
    assert views.last(prompt)["runtime_id"] == second.runtime_id


def test_escalated_by_policy(desk: Desk) -> None:
    """§6: "or **escalated**": it stands in attention and waits."""
    desk.policy(when_unhealthy="escalate")
    fall_ill(desk)
    prompt = desk.ask(shell("x", "mutating"))
    about = views.call(prompt)["id"]
    until(
        lambda: any(item["tool_call_id"] == about for item in desk.api.get("/attention")["items"]),
        within=20,
        what="attention shows the call",
    )
    assert desk.runtime.dispatches() == []


def test_a_person_may_send_it_another_way(desk: Desk) -> None:
    """§1 `reroute`; words.json: "Offered only where the same record prevents a second run"."""
    second = desk.fleet.sibling(desk.runtime, shared_journal=True, connect=False)
    desk.goes_away()
    prompt = desk.api.wait_state(desk.ask(shell("x", "mutating")), "held")
    second.connect()
    answer = desk.api.try_to_act(prompt, "reroute", runtime_id=second.runtime_id)
    assert answer.status_code in (202, 409), answer.text
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert views.last(prompt)["runtime_id"] == second.runtime_id


def test_a_hold_because_of_sleep_ends_at_sleep_expiry(desk: Desk) -> None:
    """§6: "A hold because of sleep ends at `sleep_expiry`, not at `hold_expiry`"."""
    desk.policy(hold_expiry_s=0.5, sleep_expiry_s=600)
    desk.runtime.say({"type": "leaving", "reason": "sleep"})
    desk.runtime.drop_links(stay_away=True)
    health(desk, "asleep")
    prompt = desk.api.wait_state(desk.ask(), "held")
    desk.fleet.runtime().heartbeats_pass(4)
    assert views.last(desk.api.prompt(prompt["id"]))["state"] == "held"
    desk.runtime.connect()
    desk.api.wait_verdict(prompt, ("answered", "yes"))


def test_start_within_is_the_rest_of_the_consents_age(desk: Desk) -> None:
    """§6: "gives the runtime the rest of the time as `limits.start_within_ms`"."""
    desk.policy(mutating_age_s=30)
    desk.answered(shell("x", "mutating"))
    within = desk.runtime.dispatches()[0]["limits"]["start_within_ms"]
    assert 20_000 < within <= 30_000


def test_an_old_consent_is_asked_for_again(desk: Desk) -> None:
    """§6: "Before **every** start of a mutating call older than `mutating_age` … a person is asked first"."""
    desk.policy(mutating_age_s=1.5)
    gate = Gate()
    desk.runtime.script = by_command(long=runs_until(gate))
    prompt = desk.ask(shell("long", "read_only"), shell("change", "mutating"))
    desk.api.wait_state(prompt, "started")
    desk.runtime.heartbeats_pass(5)
    gate.open()
    prompt = desk.api.wait(
        prompt, lambda p: views.last(p, 2)["state"] == "held" or views.call(p, 2)["state"] == "waiting"
    )
    desk.runtime.heartbeats_pass(2)
    assert len(desk.runtime.dispatches()) == 1
    assert any(item["prompt_id"] == prompt["id"] for item in desk.api.get("/attention")["items"])
    desk.api.act(prompt, "release", step=2)
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"), step=2)
    assert views.last(prompt, 2)["consent"] == 1, "release never adds a consent"


def test_reads_are_not_asked_about(desk: Desk) -> None:
    """§6: the age is that of *mutating* calls."""
    desk.policy(mutating_age_s=1.0)
    gate = Gate()
    desk.runtime.script = by_command(long=runs_until(gate))
    prompt = desk.ask(shell("long", "read_only"), shell("look", "read_only"))
    desk.api.wait_state(prompt, "started")
    desk.runtime.heartbeats_pass(4)
    gate.open()
    desk.api.wait_verdict(prompt, ("answered", "yes"), step=2)


def test_a_person_is_asked_when_someone_else_changed_the_endpoint(desk: Desk, person: Callable[..., Api]) -> None:
    """§6: "or after someone else changed something on that endpoint since, a person is asked first"."""
    gate = Gate()
    desk.runtime.script = by_command(long=runs_until(gate))
    prompt = desk.ask(shell("long", "read_only"), shell("change", "mutating"))
    desk.api.wait_state(prompt, "started")
    other = person("technician", who="the other")
    session = other.open_session(desk.endpoint_id)
    other.wait_verdict(other.ask(session, shell("theirs", "mutating")), ("answered", "yes"))
    gate.open()
    prompt = desk.api.wait(
        prompt, lambda p: views.last(p, 2)["state"] == "held" or views.call(p, 2)["state"] == "waiting"
    )
    assert [f["arguments"]["command"] for f in desk.runtime.dispatches()] == ["long", "theirs"]
    desk.api.act(prompt, "release", step=2)
    desk.api.wait_verdict(prompt, ("answered", "yes"), step=2)


def test_someone_elses_reads_change_nothing(desk: Desk, person: Callable[..., Api]) -> None:
    """§6: "someone else *changed* something"."""
    gate = Gate()
    desk.runtime.script = by_command(long=runs_until(gate))
    prompt = desk.ask(shell("long", "read_only"), shell("change", "mutating"))
    desk.api.wait_state(prompt, "started")
    other = person("technician", who="the other")
    session = other.open_session(desk.endpoint_id)
    other.wait_verdict(other.ask(session, shell("look", "read_only")), ("answered", "yes"))
    gate.open()
    desk.api.wait_verdict(prompt, ("answered", "yes"), step=2)


def test_too_old_at_the_runtime_is_its_promise(desk: Desk) -> None:
    """PROTOCOL §4: "once passed: closing record and `refused` `dispatch.too_old`"; §2: refused, ran no."""
    prompt = desk.ask(shell("x", "mutating"), script=in_turn(refuses("dispatch.too_old"), answers()))
    prompt = desk.api.wait(prompt, lambda p: views.verdict(p, number=1) is not None)
    assert views.verdict(prompt, number=1) == ("refused", "no")
