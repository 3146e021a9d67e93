"""The cells of state × event: which there are, and which of them nothing can reach, each with its reason.

Owns the two sets that the stated seeds are held to: a cell that can be reached is visited by one of them, and one that
is said to be out of reach is visited by none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from caisey.core.attempt import NEUTRAL, TRANSITIONS
from caisey.core.events import type_of_class
from caisey.core.states import AttemptState

Cell = tuple[str, str]

MOVES: Final = frozenset((str(state), type_of_class(event)) for state, row in TRANSITIONS.items() for event in row)
CELLS: Final = MOVES | {(str(state), type_of_class(event)) for state in AttemptState for event in NEUTRAL}

UNSENT: Final = ("queued", "held", "awaiting_approval")
SENT: Final = ("dispatched", "acknowledged", "started", "lost", "ended")


def _cells(states: Iterable[str], *events: str) -> list[Cell]:
    return [(state, f"attempt.{event}") for state in states for event in events]


_REASONS: Final = {
    "nothing asks for an approval": [
        *_cells(["queued"], "approval_asked"),
        *_cells(["awaiting_approval"], "approval_given", "ended", "cancel_requested", "check_asked", "window_passed"),
    ],
    "it was sent to nobody, so nobody's word about it counts (frame.not_yours), and there is nobody to ask": _cells(
        UNSENT,
        *("finished", "refused", "stated", "noted", "output", "output_conflict", "gap", "progressed"),
        *("input_accepted", "reconcile_asked"),
    ),
    "only what waits to be sent has its runtime checked": _cells(SENT, "check_asked"),
    "no window is open in this state": _cells(["queued", "acknowledged", "started", "ended"], "window_passed"),
    "progress is of a command that runs; before and after that it only proves life": _cells(
        ["dispatched", "acknowledged", "lost", "ended"], "progressed"
    ),
    "input is given to a command that runs": _cells(
        [*UNSENT, "dispatched", "acknowledged", "lost", "ended"], "input_given"
    ),
    "a notice, and input, are of a command that has started; what has started is never merely received again": _cells(
        [*UNSENT, "dispatched", "acknowledged"], "noticed", "input_accepted"
    ),
    "an end takes the notice away": _cells(["ended"], "noticed"),
    "what has ended cannot be cancelled": _cells(["ended"], "cancel_requested"),
}

UNREACHABLE: Final[dict[Cell, str]] = {cell: why for why, cells in _REASONS.items() for cell in cells}
REACHABLE: Final = CELLS - UNREACHABLE.keys()


def wrong_with(visited: Iterable[Cell]) -> list[str]:
    """What the seeds that visited these cells say against the table; nothing if it is exact."""
    seen = set(visited) & CELLS
    missed = [f"{state} × {event} was visited by no seed" for state, event in sorted(REACHABLE - seen)]
    return missed + [
        f"{cell[0]} × {cell[1]} was visited; it was thought that {UNREACHABLE[cell]}"
        for cell in sorted(seen & UNREACHABLE.keys())
    ]
