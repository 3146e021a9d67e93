"""RECOVERY.md §5: a journal that goes back in time; PROTOCOL.md §5: a statement about an attempt nobody knows."""

from __future__ import annotations

from typing import Any

from tests.end_to_end import views
from tests.end_to_end.client import Api, shell
from tests.end_to_end.fleet import Desk
from tests.end_to_end.server import until
from tests.foreign.work import acknowledges_then_dies, answers, silent

MUTATING = shell("rm /var/spool/x", "mutating")


def regressed(api: Api, endpoint_id: str) -> dict[str, Any]:
    """The attention item about this endpoint's journal."""

    def look() -> Any:
        items = api.get("/attention")["items"]
        return next((i for i in items if i["endpoint_id"] == endpoint_id and "journal" in i["type"]), None)

    return dict(until(look, within=10, what="attention shows the journal that went back"))


def set_back(desk: Desk) -> None:
    """The computer is restored from a snapshot that was taken before anything ran."""
    before = desk.runtime.journal.snapshot()
    desk.answered(shell("first"))
    desk.answered(shell("second"))
    desk.runtime.die()
    desk.runtime.journal.set_back(before)
    desk.runtime.restart()


def test_a_person_is_told(desk: Desk) -> None:
    """§5: "Evidence `journal_regressed`", and a person has to look."""
    set_back(desk)
    item = regressed(desk.api, desk.endpoint_id)
    assert item["label"]
    desk.api.post(f"/endpoints/{desk.endpoint_id}/journal-reviewed", {"reason": "restored from a backup"})
    gone = [i for i in desk.api.get("/attention")["items"] if i["endpoint_id"] == desk.endpoint_id]
    assert [i for i in gone if "journal" in i["type"]] == []


def test_reads_go_on(desk: Desk) -> None:
    """§5: "nothing mutating goes to that endpoint by itself": reads do."""
    set_back(desk)
    regressed(desk.api, desk.endpoint_id)
    desk.answered(shell("look"))


def test_nothing_mutating_goes_by_itself_until_a_person_has_looked(desk: Desk) -> None:
    """§5, with an orphan whose promise would otherwise send it again by itself."""
    before = desk.runtime.journal.snapshot()
    desk.answered(shell("first"))
    desk.runtime.manners.reconcile = False
    prompt = desk.ask(MUTATING, script=silent)
    desk.runtime.saw("dispatch", where=lambda s: s.about(views.call(prompt)["id"]))
    desk.runtime.die()
    desk.runtime.journal.set_back(before)
    desk.runtime.manners.reconcile = True
    desk.runtime.script = answers()
    desk.runtime.restart()
    regressed(desk.api, desk.endpoint_id)
    prompt = desk.nothing_more_happens(prompt, heartbeats=5)
    assert views.call(prompt)["ran"] != "no", "a word of a journal that went back made ran = no"
    assert [f for f in desk.runtime.dispatches() if f["effect"] == "mutating"][1:] == []


def test_an_acknowledged_call_that_the_journal_forgot_is_not_proved_unrun(desk: Desk) -> None:
    """§5: "none of its words makes `ran` = `no`"."""
    desk.answered(shell("first"))
    before = desk.runtime.journal.snapshot()
    prompt = desk.ask(MUTATING, script=acknowledges_then_dies)
    desk.runtime.is_dead()
    desk.api.wait_state(prompt, "acknowledged", "lost")
    desk.runtime.journal.set_back(before)
    desk.runtime.script = answers()
    desk.runtime.restart()
    prompt = desk.api.wait_verdict(prompt, ("runtime_died", "unconfirmed"), ("orphaned", "unconfirmed"), within=20)
    prompt = desk.nothing_more_happens(prompt)
    assert views.call(prompt)["ran"] == "unconfirmed"
    assert "journal_regressed" in views.evidence_types(views.last(prompt))
    assert len([f for f in desk.runtime.dispatches() if f["effect"] == "mutating"]) == 1


def test_after_the_review_mutating_work_goes_again(desk: Desk) -> None:
    """API.md `POST /endpoints/{id}/journal-reviewed` {`reason`}: "what a person decides after … a journal set back"."""
    set_back(desk)
    regressed(desk.api, desk.endpoint_id)
    prompt = desk.ask(MUTATING)
    desk.api.post(f"/endpoints/{desk.endpoint_id}/journal-reviewed", {"reason": "restored from a backup"})
    prompt = desk.api.wait(
        prompt, lambda p: views.last(p)["state"] in ("held", "ended"), what="it is sent, or asks a person first"
    )
    if views.last(prompt)["state"] == "held":
        desk.api.act(prompt, "release")
    desk.api.wait_verdict(prompt, ("answered", "yes"))


def test_a_start_number_that_was_set_back_too_is_accepted_as_set_back(desk: Desk) -> None:
    """PROTOCOL §3: "a `start_number` not higher and the same fingerprint, while the former one has no bridge that
    answers … was set back: accepted, evidence `journal_regressed`"."""
    desk.answered(shell("first"))
    desk.runtime.die()
    desk.runtime.begin_life(start_number=desk.runtime.start_number)
    desk.runtime.connect()
    regressed(desk.api, desk.endpoint_id)
    desk.answered(shell("look"))


def test_a_statement_about_an_unknown_attempt_is_put_before_a_person(desk: Desk) -> None:
    """PROTOCOL §5: "kept as evidence and put before a person, never settled by itself"."""
    unknown = {"tool_call_id": "tcl_00000000000000000000000000", "number": 1}
    desk.runtime.say(
        {
            "type": "statement",
            "attempt": unknown,
            "state": "finished",
            "journal_id": desk.runtime.journal.journal_id,
            "journal_sequence": desk.runtime.journal.write(),
            "offsets": {},
            "execution": {"exit_code": 0, "signal": None, "ended_by": "itself", "tree_ended": True, "streams": {}},
        }
    )
    until(
        lambda: any(i["endpoint_id"] == desk.endpoint_id for i in desk.api.get("/attention")["items"]),
        within=10,
        what="attention shows the statement",
    )
    desk.runtime.heartbeats_pass(2)
    settled = desk.runtime.recording.select("confirm", attempt=unknown)
    assert [s for s in settled if s.frame.get("settled")] == []
