"""Runtimes come, go, sleep and return: what that means for the attempts they have (RECOVERY.md §3, §4, §6).

Owns the reactions to a connection's life. A restart of a runtime, or of the control plane, is not the end of a command.
"""

from __future__ import annotations

from collections.abc import Iterator

from caisey.core import commands as c
from caisey.core import events as e
from caisey.core.attempt import Attempt
from caisey.core.decide.deadlines import lose, proof_of
from caisey.core.decide.draft import Draft
from caisey.core.decide.receipts import ask_journal, note
from caisey.core.decide.sending import send_what_can, world_changed
from caisey.core.states import AttemptState, CancelWhy
from caisey.core.tool_call import unresolved

IN_FLIGHT = (AttemptState.ACKNOWLEDGED, AttemptState.STARTED)


def _attempts(d: Draft) -> Iterator[Attempt]:
    for call in d.session.live_calls():
        yield from call.attempts


def connected(d: Draft, command: c.RuntimeConnected) -> None:
    """A live bridge again: another incarnation means that the process, or the computer, restarted."""
    for a in _attempts(d):
        if a.journal_id == command.journal_id and command.regressed and (a.open or unresolved(a)):
            note(d, a, "journal_regressed", journal_id=command.journal_id)
        if a.runtime_id != command.runtime_id or not a.open or a.incarnation in (None, command.incarnation):
            continue
        boot = "same" if command.boot_id == a.boot_id else "new"
        note(d, a, "new_incarnation", incarnation=command.incarnation, boot=boot)
        if a.state in IN_FLIGHT:
            lose(d, a, "restarted")


def statements_read(d: Draft, command: c.StatementsRead) -> None:
    """What its statements did not name is asked for; what was not answered by its runtime is sent again by state."""
    for a in _attempts(d):
        if a.journal_id != command.journal_id:
            continue
        silent = a.state in (AttemptState.DISPATCHED, AttemptState.LOST) or unresolved(a)
        if silent:
            ask_journal(d, a.tool_call_id, a.number, a.due_at_ms or d.now)
    send_what_can(d)


def closed(d: Draft, command: c.BridgeClosed) -> None:
    """The last bridge of that incarnation is gone: no contact, and other runtimes with the journal are asked."""
    for a in _attempts(d):
        if a.runtime_id != command.runtime_id or a.incarnation != command.incarnation or not a.open:
            continue
        if a.state not in (AttemptState.DISPATCHED, *IN_FLIGHT):
            continue
        note(d, a, "bridge_closed", code=command.code, why=command.reason[:120])
        if a.state in IN_FLIGHT:
            lose(d, a, "bridge_closed")
        if any(r.journal_id == a.journal_id and r.bridges for r in d.view.runtimes):
            ask_journal(d, a.tool_call_id, a.number, a.due_at_ms or d.now)


def leaving(d: Draft, command: c.RuntimeLeaving) -> None:
    """It said why before it went. Going to sleep gives it the longer window."""
    for a in _attempts(d):
        if a.runtime_id != command.runtime_id or a.incarnation != command.incarnation or not a.open:
            continue
        if a.state not in (AttemptState.DISPATCHED, AttemptState.LOST, *IN_FLIGHT):
            continue
        note(d, a, "leaving", reason=command.reason)
        if command.reason == "sleep" and a.state is not AttemptState.LOST:
            lose(d, a, "asleep", asleep=True)


def slept(d: Draft, command: c.RuntimeSlept) -> None:
    """The computer slept while attempts were open."""
    for a in _attempts(d):
        if a.runtime_id == command.runtime_id and a.state in (AttemptState.DISPATCHED, AttemptState.LOST, *IN_FLIGHT):
            note(d, a, "slept", slept_ms=command.slept_ms)


def look_again(d: Draft) -> None:
    """The view changed: ask for what is lost though its journal answers; withdraw what the world has overtaken."""
    for a in _attempts(d):
        if a.state is AttemptState.LOST:
            _ask_lost(d, a)
        elif a.state is AttemptState.ACKNOWLEDGED and a.cancel is None:
            call = d.call(a.tool_call_id)
            blocked = world_changed(d, call, a)
            if blocked is not None and blocked.detail != "age":  # age is judged by the runtime's start_within_ms
                d.emit(e.CancelRequested(tool_call_id=a.tool_call_id, number=a.number, why=CancelWhy.WITHDRAWN))


def _ask_lost(d: Draft, a: Attempt) -> None:
    able = any(r.journal_id == a.journal_id and r.bridges and r.healthy for r in d.view.runtimes)
    asked = a.asked_at_ms or 0
    again = d.now - asked >= 2 * d.interval(a) or proof_of(a, d.view) > max(asked, a.lost_at_ms or 0)
    if able and again:
        ask_journal(d, a.tool_call_id, a.number, a.due_at_ms or d.now)
