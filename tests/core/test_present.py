"""`present_prompt` against API.md's `GET /prompts/{id}`, in scenarios and in random lives of a session."""

from __future__ import annotations

import copy
import re
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from caisey.core import commands as c
from caisey.core.awareness import present_awareness
from caisey.core.decide.actions import offered
from caisey.core.next_actions import NEVER_FIRST
from caisey.core.present import Telling, present_prompt, present_session, wanted
from caisey.core.present_output import LEAST_BYTES, decoded
from caisey.core.scene import Scene
from caisey.core.states import Action, CallState, Effect
from caisey.core.story import story
from tests.core.walk import HOSTILE, Step, Walk, effects, steps
from tests.core.world import BERT, World, execution, spec

CALL_FIELDS = {"id", "position", "tool", "arguments", "effect", "consents", "state", "ran", "attempts"}
ATTEMPT_FIELDS = {
    "number", "consent", "state", "owner", "due_at", "next_state", "runtime_id", "verdict", "evidence", "execution",
    "output", "result", "shape_faults", "changes", "late",
}  # fmt: skip
ACTION_FIELDS = {"action", "label", "consequence", "primary", "confirm", "unavailable_because"}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def shown(world: World, prompt_id: str = "pmt_1", telling: Telling | None = None) -> dict[str, Any]:
    """The prompt as the API shows it, through JSON and back."""
    prompt = present_prompt(world.session, prompt_id, world.view, world.now, telling or Telling())
    loaded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(prompt))
    return loaded


def attempt_of(prompt: dict[str, Any], step: int = 1) -> dict[str, Any]:
    """The newest attempt of a step."""
    found: dict[str, Any] = prompt["tool_calls"][step - 1]["attempts"][-1]
    return found


def actions_of(prompt: dict[str, Any], step: int = 1) -> list[str]:
    """The actions offered with the newest verdict of a step."""
    return [a["action"] for a in attempt_of(prompt, step)["verdict"]["next_actions"]]


# -- what must be true of every answer ---------------------------------------------------------------------------


def check_prompt(world: World, prompt: dict[str, Any]) -> None:
    """RECOVERY.md §9 (1, 5), API.md's fields, CONSOLE.md's lengths."""
    assert {"sequence", "state", "tool_calls"} <= prompt.keys()
    for call in prompt["tool_calls"]:
        assert call.keys() >= CALL_FIELDS
        _check_open(call, call["state"] != "ended")
        _check_words(call["now"])
        _check_actions(world, call["now"]["next_actions"])
        for attempt in call["attempts"]:
            _check_attempt(world, attempt)


def _check_open(item: dict[str, Any], is_open: bool) -> None:
    for field in ("owner", "due_at", "next_state"):
        assert bool(item[field]) is is_open, (field, item["state"])
    if is_open:
        assert MOMENT.fullmatch(item["due_at"])


def _check_attempt(world: World, attempt: dict[str, Any]) -> None:
    assert attempt.keys() >= ATTEMPT_FIELDS
    _check_open(attempt, attempt["state"] != "ended")
    assert (attempt["verdict"] is None) is (attempt["state"] != "ended")
    for name in ("stdout", "stderr"):
        assert {"bytes", "text", "truncated", "gaps"} <= attempt["output"][name].keys()
    for fact in attempt["evidence"]:
        assert MOMENT.fullmatch(fact["at"])
        assert fact["source"]
        assert fact["type"]
        _check_text(fact["text"], 200)
    if attempt["verdict"] is None:
        _check_words(attempt["now"])
        return
    verdict = attempt["verdict"]
    _check_words(verdict)
    _check_actions(world, verdict["next_actions"])
    indices = {fact["index"] for fact in attempt["evidence"]}
    assert verdict["cites"], "a verdict without evidence"
    assert set(verdict["cites"]) <= indices


def _check_words(words: dict[str, Any]) -> None:
    _check_text(words["label"], 46)
    _check_text(words["summary"], 125)
    assert words["tone"] in ("plain", "done", "run", "wait", "ask", "alarm")
    assert words["ran_label"]


def _check_text(text: str, length: int) -> None:
    assert text
    assert len(text) <= length, text
    assert not set(text) & set("{}"), text
    assert "None" not in text, text
    assert text.isprintable(), text


def _check_actions(world: World, actions: list[dict[str, Any]]) -> None:
    assert len([a for a in actions if a["primary"]]) <= 1
    verbs = [a["action"] for a in actions]
    assert len(verbs) == len(set(verbs))
    for action in actions:
        assert action.keys() >= ACTION_FIELDS
        _check_text(action["label"], 46)
        _check_text(action["consequence"], 90)
        assert action["action"] in offered(world.session, world.session.calls[action["tool_call_id"]])
        if action["primary"]:
            assert action["code"] not in NEVER_FIRST
            assert action["unavailable_because"] is None
        if action["unavailable_because"] is not None:
            _check_text(action["unavailable_because"], 90)


@settings(max_examples=400, deadline=None)
@given(effects, steps)
def test_every_moment_of_every_life_can_be_shown(kinds: list[Effect], taken: list[Step]) -> None:
    world = Walk()
    world.begin(kinds, hostile=len(taken) % 2 == 0)
    for step in taken:
        world.take(step)
        for prompt_id in world.session.prompts:
            check_prompt(world, shown(world, prompt_id))
    msgspec.json.encode(present_session(world.session, world.view, world.now))
    awareness = present_awareness(world.session, "pmt_1", world.view, world.now)
    assert awareness["seen"] == shown(world)["sequence"]
    for call_id in world.session.calls:
        last = story(world.session, call_id, world.view, world.now)[-1]
        _check_text(last["text"], 200)
        assert (last["owner"] is None) is (world.call(call_id).state == "ended")


@settings(max_examples=150, deadline=None)
@given(effects, steps)
def test_every_button_that_is_shown_works(kinds: list[Effect], taken: list[Step]) -> None:
    world = Walk()
    world.begin(kinds)
    for step in taken:
        world.take(step)
    for call in shown(world)["tool_calls"]:
        for action in call["now"]["next_actions"]:
            fork = copy.copy(world)
            fork.press(action["tool_call_id"], action["action"], **_sent(action))
            assert fork.session is not world.session


def _sent(action: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in action.get("body", {}).items() if k in ("runtime_id", "bridge")}


# -- scenarios ---------------------------------------------------------------------------------------------------


def spooler() -> World:
    """Stop the spooler, look at the queue, start it; the runtime dies while it looks."""
    world = World()
    world.prompt(spec("tcl_1", 1), spec("tcl_2", 2, Effect.MUTATING), spec("tcl_3", 3))
    world.run()
    world.finish(changes=({"what": "spooler", "before": "running", "after": "stopped"},))
    world.run("tcl_2")
    world.disconnect()
    world.advance(130_000)
    return world


def test_lost_while_it_ran_says_so_and_what_needs_the_computer_cannot_be_pressed() -> None:
    prompt = shown(spooler())
    verdict = attempt_of(prompt, 2)["verdict"]
    assert (verdict["label"], verdict["tone"]) == ("Lost contact while it ran", "ask")
    assert verdict["ran_label"] == "Started, no end recorded"
    assert [a["action"] for a in verdict["next_actions"]][:3] == ["hold", "escalate", "cancel"]
    assert verdict["next_actions"][0]["primary"]
    off = {a["action"]: a["unavailable_because"] for a in verdict["next_actions"]}
    assert off["verify"] == off["resume"] == off["retry"] == "ACCT-07 is offline since 22:13:20 UTC."
    assert off["hold"] is None


def test_back_again_the_rest_is_offered_from_the_first_step_that_never_started() -> None:
    world = spooler()
    world.connect(incarnation="I2")
    world.state("process_gone", "tcl_2")
    prompt = shown(world)
    verdict = attempt_of(prompt, 2)["verdict"]
    assert verdict["label"] == "Stopped at step 2"
    assert verdict["summary"] == (
        "Steps before it are done. Step 2 started; its record shows no end. Later steps were not sent."
    )
    by_action = {a["action"]: a for a in verdict["next_actions"]}
    assert list(by_action)[:4] == ["verify", "resume", "retry", "escalate"]
    assert by_action["verify"]["primary"]
    assert by_action["verify"]["consequence"] == "Runs a read-only check (service status cups). It changes nothing."
    assert by_action["resume"]["label"] == "Continue from step 3"
    assert by_action["resume"]["tool_call_id"] == "tcl_3"
    assert by_action["resume"]["confirm"]
    assert by_action["retry"]["label"] == "Run again from the start"
    assert by_action["retry"]["confirm"]
    assert "accept_partial" in by_action
    third = prompt["tool_calls"][2]
    assert (third["now"]["label"], third["now"]["ran_label"]) == ("Not sent", "Did not run")
    assert third["attempts"] == []


def test_a_restart_of_the_computer_is_told_from_a_crash_of_the_agent() -> None:
    world = spooler()
    world.connect(incarnation="I2", boot_id="B2")
    world.state("process_gone", "tcl_2")
    # It had been judged before the computer came back: the note of the new incarnation is about open attempts only.
    assert attempt_of(shown(world), 2)["verdict"]["label"] == "Stopped at step 2"

    world = World()
    world.prompt(spec("tcl_1", 1), spec("tcl_2", 2))
    world.run()
    world.disconnect()
    world.now += 60_000
    world.connect(incarnation="I2", boot_id="B2")
    world.state("process_gone")
    verdict = attempt_of(shown(world))["verdict"]
    assert verdict["label"] == "The computer restarted in the middle"
    assert verdict["summary"] == (
        "The command was running when ACCT-07 restarted at 22:14:20 UTC. Its record shows no end."
    )


def test_did_not_arrive_and_is_sent_again_by_itself() -> None:
    world = World()
    world.prompt()
    world.advance(8_000)
    world.state("never_received")
    call = shown(world)["tool_calls"][0]
    verdict = call["attempts"][0]["verdict"]
    assert verdict["label"] == "Did not arrive. Sending again"
    assert verdict["summary"] == "The computer did not receive it. We send it again by ourselves (1 of 2)."
    assert [a["action"] for a in verdict["next_actions"]] == ["cancel"]
    assert call["now"]["label"] == "Did not arrive. Sending again"
    world.prove()
    world.run(number=2)
    world.finish(number=2)
    call = shown(world)["tool_calls"][0]
    assert call["now"]["label"] == "Done"
    assert call["now"]["summary"] == "It ran and gave a result. Sent twice; the first did not arrive."
    assert call["attempts"][0]["verdict"]["next_actions"] == []


def test_used_up_is_your_decision_with_the_actions_of_the_verdict() -> None:
    world = World()
    world.prompt(spec(effect=Effect.READ_ONLY))
    for number in (1, 2, 3):
        world.run(number=number)
        world.state("process_gone", number=number)
        world.prove()
    call = shown(world)["tool_calls"][0]
    assert call["now"]["label"] == "Your decision"
    assert call["now"]["summary"].startswith("We tried twice by ourselves.")
    assert [a["action"] for a in call["now"]["next_actions"]][:3] == ["retry", "accept_partial", "escalate"]
    assert not call["now"]["next_actions"][0]["confirm"]


def test_a_late_end_is_new_information_with_old_and_new_words() -> None:
    world = World()
    world.prompt()
    world.run()
    world.disconnect()
    world.advance(130_000)
    world.connect(incarnation="I2")
    world.finish()
    call = shown(world)["tool_calls"][0]
    assert call["now"]["label"] == "New information"
    assert call["now"]["summary"] == (
        'We showed "Lost contact while it ran". The computer now says: Done. Both stay in the record.'
    )
    assert call["attempts"][0]["late"]
    assert call["attempts"][0]["verdict"]["label"] == "Done"
    assert call["attempts"][0]["verdict"]["former"][0]["kind"] == "runtime_died"


def test_what_was_shown_before_the_start_is_told_as_it_was() -> None:
    world = World()
    world.prompt()
    world.receipt("acknowledged")
    world.disconnect()
    world.advance(130_000)
    assert shown(world)["tool_calls"][0]["now"]["label"] == "Lost contact before it answered"
    world.connect(incarnation="I2")
    world.state("started", pid=7)
    world.finish()
    assert shown(world)["tool_calls"][0]["now"]["summary"].startswith('We showed "Lost contact before it answered".')


def test_an_agent_that_goes_in_the_grace_of_a_start_is_gone_and_the_start_is_not_the_reason() -> None:
    world = World()
    world.view = replace(world.view, grace_from_ms=world.now, grace_until_ms=world.now + 20_000)
    world.prompt()
    world.run()
    world.advance(1_000)
    world.disconnect()
    assert shown(world)["tool_calls"][0]["now"]["label"] == "No contact with ACCT-07"
    world.advance(5_000)
    world.view = replace(world.view, grace_from_ms=world.now, grace_until_ms=world.now + 30_000)
    assert shown(world)["tool_calls"][0]["now"]["label"] == "Caisey was restarted"


def test_a_record_that_went_back_is_not_said_to_show_no_end() -> None:
    """It does not know the command at all, so what it shows, or does not, says nothing about an end."""
    world = World()
    world.prompt()
    world.run()
    world.disconnect()
    world.connect(incarnation="I2", regressed=True)
    world.state("never_received", at=1)
    world.advance(130_000)
    call = shown(world)["tool_calls"][0]
    assert call["ran"] == "unconfirmed"
    assert call["now"]["label"] == "The computer's record went back in time"


def test_a_first_try_that_a_second_one_overtook_counts_as_sent() -> None:
    """Nobody confirmed it; the computer came back, took the second one, and was asked about the first after that."""
    world = World()
    world.prompt()
    world.disconnect()
    world.advance(10_000)
    world.connect(incarnation="I2")
    world.statements_read()
    world.receipt("acknowledged", number=2)
    world.state("superseded", number=1)
    world.receipt("started", number=2, pid=7)
    world.finish(number=2)
    call = shown(world)["tool_calls"][0]
    assert call["attempts"][0]["verdict"]["label"] == "Did not arrive in time"
    assert call["now"]["summary"] == "It ran and gave a result. Sent twice; the first did not arrive."


def test_an_earlier_try_that_ran_is_that_result_and_ran_once() -> None:
    world = World()
    world.prompt()
    world.disconnect()
    world.advance(10_000)
    world.connect(incarnation="I2")
    world.statements_read()
    assert len(world.call().attempts) == 2
    world.state("started", number=1, answers=2, pid=7)
    world.finish(number=1)
    call = shown(world)["tool_calls"][0]
    assert call["now"]["label"] == "Already done earlier"
    assert call["now"]["tone"] == "done"
    assert call["attempts"][1]["verdict"]["label"] == "Already taken up"


@pytest.mark.parametrize(
    ("effect", "label", "tone", "actions"),
    [
        (Effect.READ_ONLY, "Done, no output", "plain", ["adjust"]),
        (Effect.MUTATING, "Done, no output", "done", ["verify", "adjust"]),
    ],
)
def test_empty_is_never_sent_again(effect: Effect, label: str, tone: str, actions: list[str]) -> None:
    world = World()
    world.prompt(spec(effect=effect))
    world.run()
    world.finish(ended=execution(blank=True))
    verdict = attempt_of(shown(world))["verdict"]
    assert (verdict["label"], verdict["tone"]) == (label, tone)
    assert [a["action"] for a in verdict["next_actions"]] == actions


def test_a_failed_command_shows_the_first_line_of_its_error() -> None:
    world = World()
    world.prompt()
    world.run()
    world.finish(ended=execution(exit_code=5))
    assert attempt_of(shown(world))["verdict"]["summary"] == (
        "It ran and ended with exit code 5. It wrote no error message."
    )
    world.do(c.ReceiveOutput(**world._about("tcl_1", 1, "R1"), stream="stderr", offset=0, length=30))
    assert attempt_of(shown(world))["verdict"]["summary"] == (
        "It ran and ended with exit code 5. What it wrote is kept."
    )
    errors = {("tcl_1", 1, "stderr"): [(0, b"\n  \x1b[31mUnit {cups} not found.\x07\nmore")]}
    summary = attempt_of(shown(world, telling=Telling(output=errors)))["verdict"]["summary"]
    assert summary == "It ran and ended with exit code 5: \u241b[31mUnit (cups) not found.\u2407"


def test_another_way_is_offered_only_where_there_is_one() -> None:
    world = World()
    world.prompt()
    world.run()
    world.disconnect()
    world.advance(130_000)
    assert "reroute" not in actions_of(shown(world))
    world.add_runtime(World.runtime("R2", "J2", proved_at_ms=world.now))
    assert "reroute" not in actions_of(shown(world)), "another record would not prevent a second run"
    world.add_runtime(World.runtime("R3", "J1", proved_at_ms=world.now))
    prompt = shown(world)
    assert "reroute" in actions_of(prompt)
    (reroute,) = [a for a in attempt_of(prompt)["verdict"]["next_actions"] if a["action"] == "reroute"]
    assert reroute["body"] == {"runtime_id": "R3"}


def test_still_wanted_after_others_changed_something() -> None:
    world = World()
    world.disconnect()
    world.prompt()
    world.now += 5_000
    world.changed_by(BERT)
    world.connect()
    world.prove()
    now = shown(world)["tool_calls"][0]["now"]
    assert now["label"] == "Ready to send. Still wanted?"
    assert now["summary"].startswith("It waited 5 s. Since then: someone else changed something there.")
    release = now["next_actions"][0]
    assert (release["action"], release["confirm"]) == ("release", True)


def test_deadlines_are_never_before_the_grace_of_a_restart() -> None:
    world = World()
    world.prompt()
    world.run()
    world.disconnect()
    world.view = replace(world.view, grace_from_ms=world.now, grace_until_ms=world.now + 10_000_000)
    attempt = attempt_of(shown(world))
    assert attempt["now"]["label"] == "Caisey was restarted"
    due = datetime.fromisoformat(attempt["due_at"]).timestamp() * 1000
    assert round(due) == world.view.grace_until_ms


def test_types_of_evidence_are_the_words_of_the_page() -> None:
    world = spooler()
    world.connect(incarnation="I2")
    world.state("process_gone", "tcl_2")
    facts = attempt_of(shown(world), 2)["evidence"]
    assert [f["type"] for f in facts] == [
        "queued", "dispatched", "acknowledged", "started", "bridge_closed", "lost", "window_passed", "ended",
        "statement",
    ]  # fmt: skip
    by_type = {f["type"]: f for f in facts}
    assert by_type["statement"]["source"] == "journal"
    assert by_type["statement"]["state"] == "process_gone"
    assert by_type["bridge_closed"]["source"] == "control_plane"
    assert by_type["started"]["source"] == "runtime"


def test_facts_past_the_bound_keep_head_and_tail() -> None:
    world = Walk()
    world.begin([Effect.READ_ONLY])
    world.run()
    for number in range(300):
        world.write("tcl_1", 1, 1)
        world.now += 20_000
        world.progress("tcl_1", 1, 1 + number % 2)
    facts = attempt_of(shown(world))["evidence"]
    assert len(facts) <= 400
    assert facts[0]["type"] == "queued"


# -- output ------------------------------------------------------------------------------------------------------


def _written(length: int) -> Walk:
    world = Walk()
    world.begin([Effect.READ_ONLY])
    world.run()
    world.write("tcl_1", 1, length)
    return world


def _read(world: World, data: bytes, budget: int) -> dict[str, Any]:
    pieces: dict[tuple[str, int, str], list[tuple[int, bytes]]] = {}
    for piece in wanted(world.session, "pmt_1", budget, budget):
        pieces.setdefault(piece.key, []).append((piece.start, data[piece.start : piece.end]))
    stdout: dict[str, Any] = attempt_of(shown(world, telling=Telling(output=pieces)))["output"]["stdout"]
    return stdout


def test_all_of_a_small_output() -> None:
    data = b"hello\n"
    stdout = _read(_written(len(data)), data, 4096)
    assert stdout | {"gaps": []} == {
        "bytes": 6, "text": "hello\n", "truncated": False, "gaps": [], "stored": 6, "conflicts": 0,
    }  # fmt: skip


def test_head_and_tail_of_a_large_one_without_half_characters() -> None:
    data = "ż".encode() * 5_000
    stdout = _read(_written(len(data)), data, 1025)
    assert stdout["truncated"]
    assert stdout["bytes"] == 10_000
    assert "�" not in stdout["text"]
    head, tail = stdout["text"].split("\n[… ")
    assert set(head) == {"ż"}
    assert tail.partition(" …]\n")[2].strip("ż") == ""
    assert "left out here" in stdout["text"]


def test_missing_bytes_are_marked_with_their_reason() -> None:
    world = _written(9_000)
    world.lose_bytes("tcl_1", 1)
    stdout = _read(world, b"x" * 9_000, 100_000)
    assert stdout["gaps"] == [{"offset": 9_000, "length": 5_000, "why": "spool_full"}]
    assert stdout["text"].endswith("\n[… 5.0 kB are missing here: the computer's disk was full …]\n")
    assert (stdout["bytes"], stdout["truncated"]) == (14_000, True)


def test_what_is_wanted_is_bounded() -> None:
    world = Walk()
    world.begin([Effect.READ_ONLY] * 3)
    for step in (1, 2, 3):
        world.run(f"tcl_{step}")
        world.write(f"tcl_{step}", 1, 1_000_000)
        world.finish(f"tcl_{step}", ended=execution() if step < 3 else None, has_result=step == 3, result={})
    ranges = wanted(world.session, "pmt_1", 10_000, 100_000)
    assert sum(r.end - r.start for r in ranges) <= 10_000
    assert {r.tool_call_id for r in ranges} == {"tcl_1", "tcl_2", "tcl_3"}
    assert sum(r.end - r.start for r in wanted(world.session, None, LEAST_BYTES)) <= LEAST_BYTES


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a\x80\x80b", b"\xc5", b"\xf0\x9f\x98", b""])
def test_bytes_that_are_no_text_never_fail(data: bytes) -> None:
    for before in (False, True):
        for after in (False, True):
            assert isinstance(decoded(data, cut_before=before, cut_after=after), str)
    assert decoded(b"a\xff") == "a�"


# -- who reads ---------------------------------------------------------------------------------------------------


def test_ids_never_stand_in_words() -> None:
    world = World()
    world.prompt()
    world.run()
    world.act("cancel")
    world.finish(ended=execution(exit_code=None, ended_by="cancel"))
    assert attempt_of(shown(world))["verdict"]["summary"].startswith("A technician stopped it at")
    named = shown(world, telling=Telling(names={"tok_anna": "Anna"}))
    assert attempt_of(named)["verdict"]["summary"].startswith("Anna stopped it at")


def test_the_session_in_short() -> None:
    world = spooler()
    session = present_session(world.session, world.view, world.now)
    assert (session["state"], session["open_tool_calls"]) == ("open", 2)
    assert [c["label"] for c in session["prompts"][0]["tool_calls"]] == [
        "Done", "Lost contact while it ran", "Not sent",
    ]  # fmt: skip


def test_hostile_names_are_shown_and_never_obeyed() -> None:
    world = Walk()
    world.begin([Effect.MUTATING], hostile=True)
    world.disconnect()
    world.advance(20_000)
    label = shown(world)["tool_calls"][0]["attempts"][-1]["now"]["label"]
    assert "\x1b" not in label
    assert HOSTILE[:3] not in label


def test_a_scene_answers_for_the_steps_around_it() -> None:
    world = spooler()
    scene = Scene(world.session, world.call("tcl_2"), world.view, world.now, Telling())
    assert scene.before_done
    assert scene.later_not_sent
    assert scene.resume_target is not None
    assert scene.resume_target.id == "tcl_3"
    assert Action.RESUME in scene.offered


def test_who_takes_a_session_is_asked_about_what_waits_in_it() -> None:
    world = World()
    world.prompt(spec())
    world.run()
    world.finish(ended=execution(3))
    assert world.call().state is CallState.WAITING
    former = world.call().owner
    world.do(c.UpdateSession(actor=BERT, title="still the former's"))
    assert world.call().owner == former
    world.do(c.UpdateSession(actor=BERT, owner=BERT.id))
    assert (world.session.owner, world.call().owner) == (BERT.id, BERT.id)
    assert shown(world)["tool_calls"][0]["owner"] == BERT.id
