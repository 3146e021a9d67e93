"""RECOVERY.md §7: what a person is shown before a second try, `seen`, keys, and the example that must work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.end_to_end import views
from tests.end_to_end.client import Api, problem_of, shell
from tests.end_to_end.fleet import Desk
from tests.end_to_end.views import Prompt
from tests.foreign.work import Gate, Script, answers, by_command, in_turn, runs_until, silent, starts_then_dies

STOP, LOOK, START = shell("stop spooler", "mutating"), shell("look", "mutating"), shell("start spooler", "mutating")
STOPPED = [{"what": "service spooler", "before": "running", "after": "stopped"}]


def spooler(second: Script) -> Script:
    """The print spooler's computer: stopping works and is recorded, the second step is what a test makes of it."""
    return by_command(stop=answers(b"stopped\n", changes=STOPPED), look=second, start=answers(b"started\n"))


def stalled_at_step_two(desk: Desk) -> Prompt:
    prompt = desk.ask(STOP, LOOK, START, script=spooler(starts_then_dies))
    desk.runtime.is_dead()
    desk.runtime.script = spooler(answers(b"empty queue\n"))
    desk.runtime.restart()
    return desk.api.wait_verdict(prompt, ("runtime_died", "unconfirmed"), step=2)


def test_the_spooler(desk: Desk, person: Callable[..., Api]) -> None:
    """§7: "*stop the print spooler, inspect the queue, start it again*; the runtime dies after the stop; another
    technician opens the session, sees step 1 done (running → stopped), step 2 started with no end recorded or not
    started, step 3 not started, and sends step 3 alone"."""
    prompt = stalled_at_step_two(desk)
    other = person("technician", who="the other")
    opened = other.get(f"/sessions/{desk.session_id}")
    assert opened["id"] == desk.session_id
    shown = other.get(f"/prompts/{prompt['id']}/awareness")
    one, two, three = sorted(shown["steps"], key=lambda step: step["position"])
    assert (one["verdict"]["kind"], one["ran"]) == ("answered", "yes")
    assert one["changes"] == STOPPED
    assert one["ended_at"]
    assert (two["verdict"]["kind"], two["ran"]) == ("runtime_died", "unconfirmed")
    assert not three["verdict"]
    assert three["ran"] in ("no", None)
    other.act(prompt, "resume", step=3, seen=shown["seen"], reason="the spooler is stopped, start it")
    prompt = other.wait_verdict(prompt, ("answered", "yes"), step=3)
    assert [f["arguments"]["command"] for f in desk.runtime.dispatches()] == ["stop spooler", "look", "start spooler"]
    assert [len(call["attempts"]) for call in prompt["tool_calls"]] == [1, 1, 1]


def test_awareness_says_literally_what_will_be_sent(desk: Desk) -> None:
    """§7: "the literal list of what will be sent"; "N starts at the first step that never started"."""
    prompt = stalled_at_step_two(desk)
    shown = desk.api.get(f"/prompts/{prompt['id']}/awareness")
    will_send = str(shown["will_send"])
    assert "start spooler" in will_send
    assert "stop spooler" not in will_send
    assert shown["seen"] == desk.api.prompt(prompt["id"])["sequence"]


def test_awareness_names_who_else_worked_there(desk: Desk, person: Callable[..., Api]) -> None:
    """§7: "who else worked there since"."""
    prompt = stalled_at_step_two(desk)
    assert desk.api.get(f"/prompts/{prompt['id']}/awareness")["others"] == []
    other = person("technician", who="the other")
    session = other.open_session(desk.endpoint_id)
    other.wait_verdict(other.ask(session, shell("theirs", "mutating")), ("answered", "yes"))
    assert desk.api.get(f"/prompts/{prompt['id']}/awareness")["others"]


def test_resume_from_an_earlier_step_sends_it_and_all_after(desk: Desk) -> None:
    """API.md: "`resume` on tool call N sends N and all after it"; RECOVERY §7 "and nothing before it"."""
    prompt = stalled_at_step_two(desk)
    answer = desk.api.try_to_act(prompt, "resume", step=2)
    assert answer.status_code == 202, answer.text
    desk.api.wait_verdict(prompt, ("answered", "yes"), step=3)
    sent = [(f["arguments"]["command"], f["consent"]) for f in desk.runtime.dispatches()]
    assert sent == [("stop spooler", 1), ("look", 1), ("look", 2), ("start spooler", 1)]


def test_a_stale_action_is_refused_with_what_is_new(desk: Desk) -> None:
    """§7: "if anything there has moved on: `409 action.stale`, with what is new"."""
    desk.policy(max_automatic=0, automatic_for=[])
    prompt = desk.api.wait_verdict(desk.ask(STOP, script=in_turn(silent, answers(b""))), ("orphaned", "no"))
    old = prompt["sequence"]
    desk.api.act(prompt, "requeue", seen=old)
    desk.api.wait_verdict(prompt, ("empty", "yes"))
    status, problem = problem_of(desk.api.try_to_act(prompt, "requeue", seen=old))
    assert (status, problem["code"]) == (409, "action.stale")
    assert "empty" in str(problem) or str(desk.api.prompt(prompt["id"])["sequence"]) in str(problem)


def test_seen_counts_every_call_of_the_prompt(desk: Desk) -> None:
    """§7: "the highest event sequence over all tool calls of the prompt"."""
    gate = Gate()
    desk.policy(max_automatic=0, automatic_for=[])
    prompt = desk.ask(STOP, LOOK, script=by_command(stop=runs_until(gate)))
    early = desk.api.wait_state(prompt, "started")["sequence"]
    gate.open()
    later = desk.api.wait_verdict(prompt, ("answered", "yes"), step=2)["sequence"]
    assert later > early


def test_mutating_work_needs_seen_and_a_key(desk: Desk) -> None:
    """§7: "For anything that may start mutating work `seen` and an `Idempotency-Key` are required"."""
    desk.policy(max_automatic=0, automatic_for=[])
    prompt = desk.api.wait_verdict(desk.ask(STOP, script=in_turn(silent, answers())), ("orphaned", "no"))
    for answer in (
        desk.api.try_to_act(prompt, "requeue", key=None),
        desk.api.try_to_act(prompt, "requeue", seen=None),
    ):
        status, _ = problem_of(answer)
        assert status in (400, 409, 422, 428)
    desk.runtime.heartbeats_pass(2)
    assert len(desk.runtime.dispatches()) == 1
    desk.api.act(prompt, "requeue")
    desk.api.wait_verdict(prompt, ("answered", "yes"))


def test_the_same_key_acts_once(desk: Desk) -> None:
    """API.md: "Writes take `Idempotency-Key` …: the same body gets the first answer again"."""
    desk.policy(max_automatic=0, automatic_for=[])
    prompt = desk.api.wait_verdict(desk.ask(STOP, script=in_turn(silent, answers())), ("orphaned", "no"))
    seen = prompt["sequence"]
    first = desk.api.try_to_act(prompt, "requeue", seen=seen, key="press-once")
    again = desk.api.try_to_act(prompt, "requeue", seen=seen, key="press-once")
    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert len(desk.runtime.dispatches()) == 2
    status, problem = problem_of(desk.api.try_to_act(prompt, "retry", seen=seen, key="press-once"))
    assert (status, problem["code"]) == (409, "idempotency.mismatch")


def test_verify_runs_the_read_only_check(desk: Desk) -> None:
    """§1 `verify`; words.json: "Runs a read-only check …. It changes nothing"."""
    prompt = stalled_at_step_two(desk)
    answer = desk.api.try_to_act(prompt, "verify", step=2, arguments={"command": "lpstat -r"})
    assert answer.status_code == 202, answer.text
    check = desk.runtime.saw("dispatch", where=lambda s: s.frame["effect"] == "read_only")
    assert check.frame["effect"] == "read_only"
    shown = desk.api.prompt(prompt["id"])
    assert views.verdict(shown, 2) == ("runtime_died", "unconfirmed"), "a check is no proof that it ran"
    assert len(views.attempts(shown, 2)) == 1


def test_accept_partial_closes_the_step_and_lets_the_next_go(desk: Desk) -> None:
    """§2: "The next tool call of a prompt goes out after … a person's `accept_partial`"."""
    prompt = stalled_at_step_two(desk)
    desk.api.act(prompt, "accept_partial", step=2, reason="the queue is known")
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"), step=3)
    assert views.verdict(prompt, 2) == ("runtime_died", "unconfirmed"), "the verdict stays what it was"
    assert views.call(prompt, 2)["state"] == "ended"


def test_adjust_sends_other_arguments(desk: Desk) -> None:
    """§1 `adjust`; API.md: "`arguments` (adjust, verify)"; a changed call is new work with its own consent."""
    prompt = desk.ask(shell("wrong"), script=by_command(wrong=answers(exit_code=2), right=answers(b"good\n")))
    desk.api.wait_verdict(prompt, ("command_failed", "yes"))
    desk.api.act(prompt, "adjust", arguments={"command": "right"})
    desk.runtime.saw("dispatch", where=lambda s: s.frame["arguments"] == {"command": "right"})
    wrong, right = desk.runtime.dispatches()
    same_call = wrong["attempt"]["tool_call_id"] == right["attempt"]["tool_call_id"]
    assert not same_call or wrong["consent"] < right["consent"]


def test_malformed_arguments_of_an_action_are_named(desk: Desk) -> None:
    """API.md: faults list "**all** of them: `errors: [{pointer, expected, found}]`"; nothing is sent."""
    prompt = desk.api.wait_verdict(desk.ask(script=answers(exit_code=2)), ("command_failed", "yes"))
    status, problem = problem_of(desk.api.try_to_act(prompt, "adjust", arguments={"command": 7}))
    assert status == 422
    assert problem["errors"]
    assert len(desk.runtime.dispatches()) == 1


def test_escalate_tells_and_changes_nothing(desk: Desk) -> None:
    """§1 `escalate`; words.json: "Everything stays as it is"."""
    prompt = stalled_at_step_two(desk)
    desk.api.act(prompt, "escalate", step=2, to="owner", reason="printer expert needed")
    shown = desk.nothing_more_happens(prompt)
    assert views.verdict(shown, 2) == ("runtime_died", "unconfirmed")
    assert "printer expert needed" in str(desk.api.get(f"/sessions/{desk.session_id}/transcript", format="json"))


def test_what_is_not_offered_is_refused_with_the_reason(desk: Desk) -> None:
    """API.md: "`409 action.not_offered` (which are, and why this one is not)"."""
    desk.runtime.script = answers()
    prompt = desk.answered()
    for action in ("release", "reroute", "input"):
        more: dict[str, Any] = {"data": "x"} if action == "input" else {}
        status, problem = problem_of(desk.api.try_to_act(prompt, action, **more))
        assert (status, problem["code"]) == (409, "action.not_offered"), action


def test_every_recovery_action_has_an_actor_and_a_reason_in_the_transcript(desk: Desk) -> None:
    """§1: "Always an event with an actor and a reason"; §9, 6."""
    prompt = stalled_at_step_two(desk)
    desk.api.act(prompt, "accept_partial", step=2, reason="unmistakable words")
    event = next(e for e in desk.api.events(desk.session_id) if "unmistakable words" in str(e))
    assert event["reason"] == "unmistakable words"
    assert event["actor"]["kind"]
    assert event["actor"]["id"]
    audit = str(desk.api.send("GET", "/audit", params={"after": event["sequence"] - 1, "limit": 50}).json())
    assert "unmistakable words" in audit
    for form in ("json", "markdown", "html"):
        page = desk.api.send("GET", f"/sessions/{desk.session_id}/transcript", params={"format": form})
        assert "unmistakable words" in page.text, form
