"""The product's own control plane with planted defects, for `caisey conformance` to find. Started as a program."""

from __future__ import annotations

from typing import Any

import msgspec

from caisey.cli.main import main
from caisey.core import recovery, verdict
from caisey.core.states import Effect, Kind, Ran


def a_change_is_run_again_by_itself() -> None:
    recovery.TABLE[Kind.RUNTIME_DIED, Ran.PARTLY, Effect.MUTATING] = recovery.Automatic.RETRY


def a_time_out_proves_that_nothing_ran() -> None:
    right = verdict._from_silence

    def wrong(findings: Any) -> Any:
        found = right(findings)
        return found and msgspec.structs.replace(found, ran=Ran.NO)

    verdict._from_silence = wrong


def nothing_is_ever_empty() -> None:
    verdict.is_blank = lambda _: False


def what_was_stopped_did_not_run() -> None:
    right = verdict.judge_execution

    def wrong(execution: dict[str, Any]) -> Any:
        judged = right(execution)
        return (judged[0], Ran.NO) if judged is not None and judged[0] is Kind.CANCELLED else judged

    verdict.judge_execution = wrong


DEFECTS = {
    a_change_is_run_again_by_itself: ("the agent shuts down · mutating", "by itself"),
    a_time_out_proves_that_nothing_ran: ("no reply · mutating", "ran"),
    nothing_is_ever_empty: ("empty, of a read · read_only", "detected as"),
    what_was_stopped_did_not_run: ("stopped in the middle · mutating", "ran"),
}
"""Each defect, and the cell and column in which it has to be seen."""

if __name__ == "__main__":
    for defect in DEFECTS:
        defect()
    main()
