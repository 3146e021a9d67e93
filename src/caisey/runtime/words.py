"""What is said after a judgement was written (RECOVERY.md §5, PROTOCOL.md §4, §5).

Owns the way from an outcome to frames, and nothing else: what is said here is committed already.
"""

from __future__ import annotations

from caisey.protocol.frames import AnyFrame, Problem, Reference
from caisey.runtime.journal import Outcome
from caisey.runtime.judge import Close, Repeat, Say, Take, TakeUpAgain, Why
from caisey.runtime.records import acknowledged, receipts, refused, statement


def reply(outcome: Outcome, journal_id: str) -> list[AnyFrame]:
    """The frames that answer a dispatch, a cancel or a reconcile. Nothing where a process tree is to be ended first."""
    record, asked = outcome.record, outcome.asked
    match outcome.judgement:
        case Take() | TakeUpAgain():
            said: list[AnyFrame] = [acknowledged(record)]
        case Repeat():
            said = [*receipts(record, journal_id)]
        case Say(changed=changed):
            answers = asked if asked != record.key else None
            said = [problem("dispatch.changed", asked.reference)] if changed else []
            said.append(statement(record, journal_id, answers=answers))
        case Close(why=Why.REFUSED):
            said = [refused(record)]
        case Close(why=Why.RECONCILE, unknown=True):
            said = [statement(record, journal_id, never=True)]
        case Close():
            said = [statement(record, journal_id)]
        case _:
            said = []
    return [*(statement(other, journal_id) for other in outcome.others), *said]


def problem(code: str, about: Reference | None) -> Problem:
    """A fault that is told and changes nothing."""
    return Problem(code=code, about=about)
