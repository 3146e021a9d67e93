"""What is shown before a second try (RECOVERY.md §7): the example of the page, and who else worked there."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from caisey.core import events as e
from caisey.core.awareness import present_awareness
from caisey.core.errors import Fault
from caisey.core.scene import Telling
from caisey.core.states import CallState, Effect
from caisey.core.story import story
from caisey.core.view import Change
from tests.core.walk import Step, Walk, effects, steps
from tests.core.world import ANNA, BERT, World


def service(call_id: str, position: int, action: str, effect: Effect = Effect.MUTATING) -> e.CallSpec:
    """One step of the spooler's story."""
    check = {"tool": "service", "arguments": {"name": "spooler", "action": "status"}}
    arguments = {"name": "spooler", "action": action}
    return e.CallSpec(call_id, position, "service", 1, arguments, effect, structured=True, check=check)


def spooler() -> World:
    """Stop the print spooler, inspect the queue, start it again; the agent dies after the stop."""
    world = World()
    look = e.CallSpec("tcl_2", 2, "powershell", 1, {"command": "Get-PrintJob"}, Effect.MUTATING)
    world.prompt(service("tcl_1", 1, "stop"), look, service("tcl_3", 3, "start"))
    world.run()
    state = {"name": "spooler", "state": "stopped", "enabled": True}
    change = {"what": "spooler", "before": "running", "after": "stopped"}
    world.finish(result=state, has_result=True, changes=(change,))
    world.run("tcl_2")
    world.disconnect()
    world.now += 60_000
    world.connect(incarnation="I2")
    world.state("process_gone", "tcl_2")
    return world


def seen_by(world: World, **more: Any) -> dict[str, Any]:
    """The answer, through JSON and back."""
    answer = present_awareness(world.session, "pmt_1", world.view, world.now, **more)
    loaded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(answer))
    return loaded


def test_the_example_of_the_page() -> None:
    world = spooler()
    answer = seen_by(world)
    assert [(s["position"], s["ran"], s["ran_label"]) for s in answer["steps"]] == [
        (1, "yes", "Ran"),
        (2, "unconfirmed", "Started, no end recorded"),
        (3, "no", "Did not run"),
    ]
    assert answer["steps"][0]["changes"] == [{"what": "spooler", "before": "running", "after": "stopped"}]
    assert answer["steps"][0]["changes_note"] is None
    assert answer["steps"][1]["changes_note"] == "Changes inside a script are not seen."
    assert answer["steps"][2]["changes_note"] is None
    assert [s["verdict"] and s["verdict"]["kind"] for s in answer["steps"]] == ["answered", "runtime_died", None]
    assert answer["steps"][0]["ended_at"]
    assert answer["steps"][1]["ended_at"] is None, "no end of it is known"
    assert [s["literal"] for s in answer["will_send"]] == ["service start spooler"]
    assert answer["will_send"][0] | {"tool_call_id": "tcl_3", "effect": "mutating"} == answer["will_send"][0]
    assert answer["may_change_things"]

    world.act("resume", "tcl_3", actor=BERT, seen=answer["seen"])
    world.run("tcl_3")
    change = {"what": "spooler", "before": "stopped", "after": "running"}
    world.finish("tcl_3", result={"name": "spooler"}, has_result=True, changes=(change,))
    assert world.states() == "ended: ended ended ended"
    assert len(world.call("tcl_1").attempts) == len(world.call("tcl_2").attempts) == 1


def test_seen_is_what_an_action_needs_and_no_less() -> None:
    world = spooler()
    answer = seen_by(world)
    with pytest.raises(Fault, match=r"action\.stale"):
        world.act("resume", "tcl_3", seen=answer["seen"] - 1)
    world.act("resume", "tcl_3", seen=answer["seen"])


def test_another_start_is_shown_literally_too() -> None:
    answer = seen_by(spooler(), tool_call_id="tcl_2")
    assert [s["position"] for s in answer["will_send"]] == [2, 3]
    assert answer["starts_at"] == 2
    assert [o["position"] for o in answer["options"]] == [2, 3]


def test_a_single_step_that_waits_is_what_would_be_sent() -> None:
    world = World()
    world.prompt()
    world.run()
    world.state("process_gone")
    answer = seen_by(world)
    assert [s["tool_call_id"] for s in answer["will_send"]] == ["tcl_1"]


def test_nothing_is_sent_when_all_is_done() -> None:
    world = World()
    world.prompt()
    world.run()
    world.finish()
    answer = seen_by(world)
    assert (answer["will_send"], answer["starts_at"], answer["options"]) == ([], None, [])
    assert not answer["may_change_things"]


def test_an_empty_list_of_changes_proves_nothing() -> None:
    world = World()
    world.prompt(service("tcl_1", 1, "restart"))
    world.run()
    world.finish(result={"name": "spooler"}, has_result=True)
    assert seen_by(world)["steps"][0]["changes_note"] == "No change was recorded."


def test_who_else_worked_there_since() -> None:
    world = spooler()
    world.now += 60_000
    world.changed_by(BERT)
    world.now += 60_000
    read = e.CallSpec("tcl_9", 1, "shell", 1, {"command": "id"}, Effect.READ_ONLY)
    world.prompt(read, actor=BERT, prompt_id="pmt_2")
    world.prompt(e.CallSpec("tcl_10", 1, "shell", 1, {"command": "id"}, Effect.READ_ONLY), prompt_id="pmt_3")
    others = seen_by(world, telling=Telling(names={"tok_bert": "Bert"}))["others"]
    assert [(o["session_id"], o["reads"], o["changes"], o["text"]) for o in others] == [
        ("ses_other", 0, 1, "Bert worked here 60 s ago: 0 reads, 1 step that may change things"),
        ("ses_1", 1, 0, "Bert worked here 1 s ago: 1 read, no change"),
    ]
    assert all(o["actor"]["id"] == BERT.id for o in others), "the prompt's own author is no other"


def test_a_change_of_this_session_is_counted_once() -> None:
    world = spooler()
    world.now += 1_000
    world.prompt(service("tcl_9", 1, "stop"), actor=BERT, prompt_id="pmt_2", side_by_side=True)
    world.view = replace(world.view, changes=(Change(world.now, BERT.id, "ses_1", "tcl_9"),))
    (other,) = seen_by(world)["others"]
    assert (other["reads"], other["changes"]) == (0, 1)


def test_an_unknown_prompt_or_call_is_a_key_error() -> None:
    world = spooler()
    with pytest.raises(KeyError):
        present_awareness(world.session, "pmt_x", world.view, world.now)
    with pytest.raises(KeyError):
        seen_by(world, tool_call_id="tcl_x")


@settings(max_examples=100, deadline=None)
@given(effects, steps)
def test_what_is_announced_is_what_resume_sends(kinds: list[Effect], taken: list[Step]) -> None:
    """Nothing before the step where it starts is ever sent, and nothing that has ended."""
    world = Walk()
    world.begin(kinds)
    for step in taken:
        world.take(step)
    answer = seen_by(world)
    for item in answer["will_send"]:
        assert item["position"] >= answer["starts_at"]
        assert world.call(item["tool_call_id"]).state is not CallState.ENDED
    never_started = [k for k in world.session.calls.values() if k.state is CallState.PENDING and k.prompt_id == "pmt_1"]
    if never_started:
        assert answer["starts_at"] == min(k.spec.position for k in never_started)


# -- the story ---------------------------------------------------------------------------------------------------


def test_the_story_is_in_the_order_of_time_and_ends_with_what_then() -> None:
    world = spooler()
    lines = story(world.session, "tcl_2", world.view, world.now, Telling(names={ANNA.id: "Anna"}))
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    texts = [line["text"] for line in lines]
    assert texts[0] == "Anna asked for it."
    assert "Contact was lost: the connection closed." in texts
    assert "The computer's record: it started, the process is gone, no end is recorded." in texts
    assert texts[-1] == (
        "Stopped at step 2. At the latest 23:14 UTC: there is a reminder. Nothing runs until somebody decides. "
        "It is up to Anna."
    )
    assert (lines[-1]["owner"], lines[-1]["next_state"]) == (ANNA.id, "waiting")


def test_the_story_of_what_was_closed_names_who_closed_it() -> None:
    world = spooler()
    world.act("cancel", "tcl_2", actor=BERT, reason="not needed")
    lines = story(world.session, "tcl_2", world.view, world.now, Telling(names={BERT.id: "Bert"}))
    assert "Bert closed it: dropped." in [line["text"] for line in lines]
    assert lines[-1]["owner"] is None
    assert lines[-1]["text"].endswith("Nothing more happens by itself.")


def test_the_story_of_a_step_behind_names_the_deadline_of_the_one_in_its_way() -> None:
    world = spooler()
    behind, before = (story(world.session, i, world.view, world.now)[-1] for i in ("tcl_3", "tcl_2"))
    assert behind["due_at"] == before["due_at"]
