"""How a foreign runtime behaves: every switch that a test may turn, with the honest position as the default."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from tests.foreign.wire import Frame, fresh_id


def as_it_is(frame: Frame) -> Iterable[Frame | str | bytes]:
    return (frame,)


@dataclass
class Machine:
    """The computer. Runtimes of one endpoint share it."""

    hostname: str = "ACCT-07"
    machine_fingerprint: str = field(default_factory=lambda: fresh_id("")[1:].ljust(64, "0"))
    boot_id: str = field(default_factory=lambda: fresh_id("boot"))

    def reboot(self) -> None:
        self.boot_id = fresh_id("boot")


@dataclass
class Manners:
    """`outgoing` sees every frame before it leaves, and says what leaves instead: nothing, two of them, broken text."""

    heartbeats: bool = True
    heartbeat: Callable[[Frame], Frame] = dict
    pongs: Literal["right", "wrong", "none"] = "right"
    reconcile: bool | Callable[[Frame], list[Frame]] = True
    cancel: bool | Callable[[Frame], list[Frame]] = True
    judge: bool = True
    """Whether a dispatch is judged by the journal's table; else every dispatch goes to the script."""
    hello: Callable[[Frame], Frame] = dict
    """Edits the hello before it is signed."""
    sign: Callable[[Frame], Frame] = dict
    """Edits a signed frame after it was signed."""
    statements: Callable[[list[Frame]], list[Frame]] = list
    outgoing: Callable[[Frame], Iterable[Frame | str | bytes]] = as_it_is
    repeat: bool = True
    """Whether receipts that are not settled are repeated on every connection."""
    problems: bool = True
    """Whether it answers a bad frame of the control plane with `problem`."""
    reconnect: bool = True
    back_off_s: float = 0.1
    accepting: bool = True
    slept_ms: int = 0
    deaf: bool = False
    """The bridge stays open, nothing is heard and nothing is said."""
