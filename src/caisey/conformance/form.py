"""What a cell of the failure matrix is: what is specified, what was found, and where the two differ.

Owns the form and the comparison. Knows no control plane.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from caisey.protocol.fields import BridgeKind

if TYPE_CHECKING:
    from caisey.conformance.bench import Bench
    from caisey.practice.runtime import Act

Effect = Literal["read_only", "idempotent", "mutating"]
EFFECTS: Final[tuple[Effect, ...]] = ("read_only", "idempotent", "mutating")
REPEATABLE: Final[tuple[Effect, ...]] = ("read_only", "idempotent")
MUTATING: Final[tuple[Effect, ...]] = ("mutating",)

Verdict = tuple[str, str]
Prompt = dict[str, Any]

AGAIN: Final = "sent again"
AGAIN_ANEW: Final = "sent again, a new consent by policy"
AGAIN_FREE: Final = "sent again when it was free"

LATE: Final = "known after"

SLACK_S: Final = 0.5
"""How much later than its window a thing may be known (DESIGN.md §4: "orphan known: ack window + 0.5 s")."""

WINDOWS: Final[dict[str, float]] = {
    "heartbeat_interval": 1.0,
    "ack_window": 1.5,
    "reconcile_window": 3.0,
    "stall_after": 2.5,
    "hold_expiry": 20.0,
    "sleep_expiry": 60.0,
}
"""The policy of the test's client group, in seconds: so short that a stall lasts seconds."""

SPANS: Final[dict[str, tuple[str, float]]] = {
    "at once": ("at once", 0.0),
    "ask": ("half the ack window", WINDOWS["ack_window"] / 2),
    "ack": ("ack window", WINDOWS["ack_window"]),
    "closed": ("at once", 0.05),
    "silence": ("3 heartbeats", 3 * WINDOWS["heartbeat_interval"]),
    "reconcile": ("reconcile window", WINDOWS["reconcile_window"]),
    "stall": ("stall_after", WINDOWS["stall_after"]),
    "busy": ("5 s", 5.0),
    "hold": ("hold_expiry", 2.0),
    "return": ("10 s of its return", 10.0),
}
"""The spans that a bar may name, with their length under `WINDOWS`. `hold`: the row's own policy. `return`: from
when the control plane serves again; the agents come back, each after its back-off, and their journals are asked."""


@dataclass(frozen=True)
class Known:
    """When it must be known: from one event of the log to another, within a span and the slack."""

    span: str
    since: str = "attempt.dispatched"
    until: str = "attempt.ended"

    def words(self) -> str:
        """The bar in words."""
        words = SPANS[self.span][0]
        return words if words == "at once" else f"within {words}"

    def most_s(self, slack_s: float) -> float:
        return SPANS[self.span][1] + slack_s


@dataclass(frozen=True)
class Expected:
    """One cell as it is specified.

    `verdicts`: (kind, ran) of each try of the step, in order. `by_itself`: how each further try was made, with nobody
    asking. `then`: where it stands. `offered` must be among what a person may do, `withheld` must not. `evidence`:
    facts that the record must hold. `starts`: how often the made-up command was really let go, which the control
    plane cannot know; each consent at most once in any case.
    """

    verdicts: tuple[Verdict, ...]
    then: Literal["done", "waits for a person", "held", "running"] = "done"
    known: Known | None = None
    by_itself: tuple[str, ...] = ()
    offered: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    code: str | None = None
    evidence: tuple[str, ...] = ()
    starts: int = 1


@dataclass
class Found:
    """One cell as it was found."""

    verdicts: tuple[Verdict, ...] = ()
    then: str = ""
    seconds: float | None = None
    by_itself: tuple[str, ...] = ()
    offered: tuple[str, ...] = ()
    code: str | None = None
    evidence: tuple[str, ...] = ()
    starts: int = 0
    label: str = ""
    """What a technician reads."""
    doubled: tuple[str, ...] = ()
    """Consents that started more than once. Never anything but empty."""
    failure: str | None = None
    """Why the row could not be played to its end."""


@dataclass(frozen=True)
class Difference:
    """One column of a cell that is not as specified."""

    column: str
    expected: str
    found: str


Drive = Callable[["Bench", Effect], Awaitable[Found]]


@dataclass(frozen=True, eq=False)
class Stall:
    """One row: what goes wrong, how it is brought about, and what is specified for each effect.

    `act`: what the runtime plays; `drive`: who brings it about where asking once is not enough. `alone`: it disturbs
    its whole endpoint, so nothing else runs there meanwhile. `spoils`: the endpoint is of no use afterwards.
    `second`: the endpoint has a second runtime, with a journal of its own. `bridge`: how it is connected. `restarts`:
    the control plane is killed and started again meanwhile, which takes one that may be.
    """

    name: str
    group: str
    what: str
    rule: str
    cells: Mapping[Effect, Expected]
    act: Act | None = None
    drive: Drive | None = None
    alone: bool = False
    spoils: bool = False
    second: bool = False
    bridge: BridgeKind = "websocket"
    restarts: bool = False


@dataclass
class Cell:
    """One row under one effect, played."""

    stall: Stall
    effect: Effect
    expected: Expected
    found: Found
    differences: list[Difference] = field(default_factory=list)
    times_played: int = 1

    @property
    def may_be_the_load(self) -> bool:
        """Whether what is wrong with it may come of the rows beside it: anything but a start too many."""
        return bool(self.differences) and not self.found.doubled and self.found.starts <= self.expected.starts

    @property
    def ok(self) -> bool:
        return not self.differences

    @property
    def name(self) -> str:
        return f"{self.stall.name} · {self.effect}"


def every(effects: tuple[Effect, ...], expected: Expected) -> dict[Effect, Expected]:
    """The same for several effects."""
    return dict.fromkeys(effects, expected)


def compared(expected: Expected, found: Found, slack_s: float) -> list[Difference]:
    """Every column that is not as specified."""
    if found.failure is not None:
        return [Difference("played", "the row, to its end", found.failure)]
    pairs = [
        ("detected as", _kinds(expected.verdicts), _kinds(found.verdicts)),
        ("ran", _rans(expected.verdicts), _rans(found.verdicts)),
        ("by itself", words_of(expected.by_itself), words_of(found.by_itself)),
        ("then", expected.then, found.then),
        ("started", times(expected.starts), times(found.starts)),
        ("one start per consent", "nothing", words_of(found.doubled)),
    ]
    if expected.code is not None:
        pairs.append(("code", expected.code, str(found.code)))
    differences = [Difference(column, wanted, got) for column, wanted, got in pairs if wanted != got]
    missing = [action for action in expected.offered if action not in found.offered]
    if missing:
        differences.append(Difference("offered", words_of(expected.offered), words_of(found.offered)))
    excess = [action for action in expected.withheld if action in found.offered]
    if excess:
        differences.append(Difference("withheld", words_of(expected.withheld), words_of(excess)))
    lacking = [fact for fact in expected.evidence if fact not in found.evidence]
    if lacking:
        differences.append(Difference("evidence", words_of(expected.evidence), words_of(found.evidence)))
    return differences + _late(expected, found, slack_s)


def _late(expected: Expected, found: Found, slack_s: float) -> list[Difference]:
    if expected.known is None:
        return []
    most_s = expected.known.most_s(slack_s)
    if found.seconds is None:
        return [Difference(LATE, f"at most {most_s:.2f} s", "never")]
    if found.seconds > most_s:
        return [Difference(LATE, f"at most {most_s:.2f} s", f"{found.seconds:.2f} s")]
    return []


def _kinds(verdicts: tuple[Verdict, ...]) -> str:
    return words_of([kind for kind, _ in verdicts], " → ")


def _rans(verdicts: tuple[Verdict, ...]) -> str:
    return words_of([ran for _, ran in verdicts], " → ")


def words_of(names: tuple[str, ...] | list[str], between: str = ", ") -> str:
    """Names in a row; `nothing` where there are none."""
    return between.join(names) or "nothing"


def times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
