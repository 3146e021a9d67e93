"""What a runtime may say that is not so: well-formed frames about attempts that it has, whatever became of them.

Owns the list of lies. RECOVERY.md lets every word move what it may move and no more: the control plane keeps its own
rules, loses no deadline and settles, whatever is said to it. What depends on the truth is not asked of a liar.
"""

from __future__ import annotations

from collections.abc import Callable

from caisey.core.attempt import Attempt, Stream
from caisey.protocol import frames as f
from caisey.protocol.codec import encode
from caisey.protocol.fields import StatementState

Lie = Callable[[f.Reference, Attempt, int, str], f.FromRuntime]


def _execution() -> f.Execution:
    nothing = f.StreamSummary(bytes=0, sha256="0" * 64, blank=True, truncated=False)
    return f.Execution(
        exit_code=0, signal=None, ended_by="itself", tree_ended=True, started_ms=1, ended_ms=2,
        streams={"stdout": nothing},
    )  # fmt: skip


def _stated(state: StatementState) -> Lie:
    def told(about: f.Reference, a: Attempt, sequence: int, journal_id: str) -> f.FromRuntime:
        execution = _execution() if state == "finished" else None
        owner = f.Owner(runtime_id="rtm_9", incarnation="gone") if state in ("received", "started") else None
        return f.Statement(
            attempt=about, state=state, journal_id=journal_id, journal_sequence=sequence,
            execution=execution, owner=owner,
        )  # fmt: skip

    return told


def _reached(a: Attempt) -> int:
    return a.streams.get("stdout", Stream()).confirmed


LIES: dict[str, Lie] = {
    "other bytes": lambda about, a, sequence, journal_id: f.Output(
        attempt=about, stream="stdout", offset=0, data=b"?" * max(8, _reached(a) // 2)
    ),
    "more bytes": lambda about, a, sequence, journal_id: f.Output(
        attempt=about, stream="stdout", offset=_reached(a), data=b"more"
    ),
    "gap": lambda about, a, sequence, journal_id: f.Gap(
        attempt=about, stream="stdout", offset=_reached(a), length=7, why="lost"
    ),
    "progress": lambda about, a, sequence, journal_id: f.Progress(
        attempt=about, cpu_ms=9_999, bytes={"stdout": 1}, last_output_ms=1, waiting_for_input=True
    ),
    "input accepted": lambda about, a, sequence, journal_id: f.InputAccepted(attempt=about, sequence=max(1, a.inputs)),
    "acknowledged": lambda about, a, sequence, journal_id: f.Acknowledged(attempt=about, journal_sequence=sequence),
    "started": lambda about, a, sequence, journal_id: f.Started(
        attempt=about, journal_sequence=sequence, pid=1, process_key="1"
    ),
    "refused": lambda about, a, sequence, journal_id: f.Refused(
        attempt=about, journal_sequence=sequence, code="runtime.busy"
    ),
    "finished": lambda about, a, sequence, journal_id: f.Finished(
        attempt=about, journal_sequence=sequence, execution=_execution()
    ),
    **{
        f"states {state}": _stated(state)
        for state in ("never_received", "received", "started", "process_gone", "finished", "superseded", "closed")
    },
}


def fits(name: str, a: Attempt) -> bool:
    """Whether the lie is about something, so that it is worth telling of this attempt rather than of another."""
    if name == "refused":
        return not a.final_word
    return name != "input accepted" or a.inputs > a.inputs_accepted


def told(name: str, a: Attempt, sequence: int) -> list[bytes]:
    """The frames of a lie about this attempt. Other bytes than before: so there are some before."""
    about = f.Reference(tool_call_id=a.tool_call_id, number=a.number)
    names = ["more bytes", name] if name == "other bytes" else [name]
    return [encode(LIES[each](about, a, sequence, a.journal_id or "")) for each in names]
