"""A session in short: one line for each step, long waits, and which requests are shown."""

from __future__ import annotations

from typing import Any

import pytest

from caisey.core.present import MAX_PROMPTS, present_session
from caisey.core.states import Effect
from caisey.core.transcript import markdown, transcript
from caisey.core.transcript_html import html
from tests.core.world import World, spec


def shown(world: World, **more: Any) -> dict[str, Any]:
    return present_session(world.session, world.view, world.now, **more)


def only_step(world: World) -> dict[str, Any]:
    [prompt] = shown(world)["prompts"]
    found: dict[str, Any] = prompt["tool_calls"][0]
    return found


def waited(minutes: int) -> World:
    """Asked while the computer was away; it came back after that long, and ran."""
    world = World()
    world.disconnect()
    world.prompt(spec(effect=Effect.IDEMPOTENT))
    world.advance(minutes * 60_000)
    world.connect(incarnation="I2")
    world.prove()
    world.run()
    world.finish(changes=({"what": "spooler", "before": "running", "after": "stopped"},))
    return world


def test_a_long_wait_is_one_line_and_stands_in_every_transcript() -> None:
    world = waited(38)
    [wait] = only_step(world)["waits"]
    assert wait["text"] == "Waited 38 min for ACCT-07 (offline)"
    document = transcript(world.session, world.view, world.now, [], None)
    assert "Waited 38 min for ACCT" in markdown(document).replace("\\", "")
    assert "Waited 38 min for ACCT-07 (offline)" in html(document)


def test_a_short_wait_is_not_told_and_an_open_one_not_yet() -> None:
    assert only_step(waited(0))["waits"] == []
    world = World()
    world.disconnect()
    world.prompt()
    world.advance(30 * 60_000)
    assert only_step(world)["waits"] == []
    assert only_step(world)["entry"].startswith("held.")


def test_a_step_in_one_line() -> None:
    step = only_step(waited(1))
    assert step["changes"] == [{"what": "spooler", "before": "running", "after": "stopped"}]
    assert step["tone"] == "done"
    assert step["duration_ms"] is not None
    assert step["tries"] >= 1
    assert step["due_at"] is None


def many(count: int) -> World:
    """So many requests that have ended, and one that has not."""
    world = World()
    for number in range(1, count + 1):
        call = f"tcl_{number}"
        world.prompt(spec(call, effect=Effect.READ_ONLY), prompt_id=f"pmt_{number}")
        world.run(call)
        if number != 2:
            world.finish(call)
    return world


def test_which_requests_are_shown() -> None:
    world = many(4)
    ids = lambda **more: [p["id"] for p in shown(world, **more)["prompts"]]  # noqa: E731  # said once, used four times
    assert ids() == ["pmt_1", "pmt_2", "pmt_3", "pmt_4"]
    assert ids(open_only=True) == ["pmt_2", "pmt_4"]
    assert ids(open_only=True, also=["pmt_1", "pmt_of_another"]) == ["pmt_1", "pmt_2", "pmt_4"]
    assert ids(before="pmt_3") == ["pmt_1", "pmt_2"]
    assert [p["number"] for p in shown(world, open_only=True)["prompts"]] == [2, 4]
    assert shown(world, open_only=True)["prompts_before"] == 1
    with pytest.raises(KeyError):
        shown(world, before="pmt_of_another")


def test_the_checks_of_what_is_open_are_shown_with_it() -> None:
    world = World()
    world.prompt(spec("tcl_1"), prompt_id="pmt_1")
    world.run("tcl_1")
    world.state("process_gone", "tcl_1")
    world.act("verify", new_call=spec("tcl_check", effect=Effect.READ_ONLY), prompt_id="pmt_check")
    world.prompt(spec("tcl_9"), prompt_id="pmt_9")
    assert [p["id"] for p in shown(world, open_only=True)["prompts"]] == ["pmt_1", "pmt_check", "pmt_9"]


def test_a_page_has_a_bound() -> None:
    assert MAX_PROMPTS == 200
