"""The words after `practice:`, and the answers that are made up."""

from __future__ import annotations

import pytest

from caisey.practice import results
from caisey.practice.identity import Home, PracticeError, new_identity
from caisey.practice.journal import Journal
from caisey.practice.plays import PLAYS, explanation, read
from caisey.protocol.shapes import Checker
from caisey.tools.catalogue import TOOLS


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.name)
def test_every_play_is_read_by_its_name_and_explained(play: object) -> None:
    name, takes = play.name, play.takes  # type: ignore[attr-defined]
    plain = read(f"practice: {name}")
    assert plain is not None
    assert (plain.play, plain.asked.once) == (play, False)
    once = read(f"  Practice:{name.upper()} once ")
    assert once is not None
    assert (once.play, once.asked.once) == (play, True)
    with_parameter = read(f"practice: {name} 7")
    assert (with_parameter is not None) == bool(takes)
    assert f"practice: {name}" in explanation({})


@pytest.mark.parametrize("text", ["true", "practice:", "practice: no such play", "practice: fail 3 4", "rm -rf /"])
def test_anything_else_is_explained(text: str) -> None:
    assert read(text) is None
    assert "Nothing was executed." in explanation({"command": text})


@pytest.mark.parametrize("tool", [t for t in TOOLS if t.result_schema is not None], ids=lambda tool: tool.name)
def test_a_made_up_result_fits_the_schema_of_its_tool(tool: object) -> None:
    name, version, schema = tool.name, tool.version, tool.result_schema  # type: ignore[attr-defined]
    answer = results.of_call(name, version, {"name": "spooler", "action": "stop"}, {})
    assert Checker(schema).faults(answer.result) == ()


def test_the_made_up_services_can_be_stopped_and_started() -> None:
    services: dict[str, str] = {}

    def ask(action: str) -> results.Answer:
        return results.of_call("service", 1, {"name": "spooler", "action": action}, services)

    assert ask("stop").changes == [{"what": "service spooler", "before": "running", "after": "stopped"}]
    assert ask("status").result["state"] == "stopped"
    assert ask("stop").changes == []
    assert ask("start").result["state"] == "running"


def test_a_state_directory_that_others_may_read_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(PracticeError) as refused:
        Home(tmp_path / "open")
    assert refused.value.code == "state.not_private"
    home = Home(tmp_path / "closed")
    home.keep(new_identity())
    assert (home.path / "practice.json").stat().st_mode & 0o077 == 0


def test_the_journal_outlives_its_process_and_can_be_set_back(tmp_path) -> None:  # type: ignore[no-untyped-def]
    owner = {"runtime_id": "rtm_1", "incarnation": "inc_1"}
    journal = Journal(tmp_path / "journal.db")
    before = journal.snapshot()
    record = journal.receive(("tcl_1", 1), 1, "digest", owner)
    journal.claim(record, owner, 1001, "boot:1001")
    assert journal.judge(("tcl_1", 1), 1, "digest", "inc_1") == "repeat"
    assert journal.judge(("tcl_1", 2), 1, "digest", "inc_1") == "noted"
    assert journal.judge(("tcl_1", 2), 2, "digest", "inc_1") == "noted", "its command is alive"
    journal.close()

    journal = Journal(tmp_path / "journal.db")
    assert journal.judge(("tcl_1", 2), 1, "digest", "inc_2") == "noted", "its consent is used up"
    assert journal.judge(("tcl_1", 2), 2, "digest", "inc_2") == "take"
    assert journal.judge(("tcl_1", 2), 1, "other", "inc_2") == "problem_changed"
    assert journal.judge(("tcl_1", 2), 2, "other", "inc_2") == "refuse_changed"
    sequence = journal.sequence
    journal.set_back(before)
    assert journal.sequence < sequence
    assert journal.judge(("tcl_1", 1), 1, "digest", "inc_2") == "take"
    journal.close()
