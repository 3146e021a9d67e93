"""Frames that cannot be read: kept raw, counted by shape, answered, their attempt reconciled (PROTOCOL.md §8).

Owns the consequences of a `FrameFault` and the bound on how many one connection may cause. Never closes a connection
for a single fault.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import msgspec
from msgspec import UNSET

from caisey.control.clock import Times
from caisey.control.connections import Connection
from caisey.control.directory.store import Directory
from caisey.control.ledger import Ledger, Subject, Unreadable
from caisey.control.places import Places
from caisey.control.statements import unknown_attempt
from caisey.control.storable import storable
from caisey.control.streams import About, Streams, Submit
from caisey.core import commands as c
from caisey.core import events as e
from caisey.core.errors import Fault
from caisey.protocol import limits
from caisey.protocol.codec import encode
from caisey.protocol.faults import FrameFault
from caisey.protocol.frames import ShapeFault
from caisey.protocol.outline import fingerprint
from caisey.protocol.salvage import salvage
from caisey.protocol.shapes import Shape
from caisey.storage.contract import Log, Overloaded, Write

MINUTE_MS: Final = 60_000
FAULTS_NAMED: Final = 50  # in the evidence of one attempt; the ledger has them all
POINTER_LENGTH: Final = 300
BROKEN_MESSAGES: Final = {
    limits.CLOSE_TOO_LARGE: ("frame.too_large", f"message of at most {limits.MESSAGE_BYTES} bytes", "a longer one"),
    limits.CLOSE_INVALID_UTF8: ("frame.invalid_json", "UTF-8", "other bytes"),
}
"""Close codes of messages that the transport refused, recorded without their bytes."""


class Misreadings:
    """See the module."""

    def __init__(
        self,
        *,
        directory: Directory,
        places: Places,
        streams: Streams,
        ledger: Ledger,
        log: Log,
        submit: Submit,
        times: Times,
    ) -> None:
        self._directory = directory
        self._places = places
        self._streams = streams
        self._ledger = ledger
        self._log = log
        self._submit = submit
        self._times = times
        self._banned_until: dict[str, int] = {}

    def take(self, connection: Connection, fault: FrameFault) -> None:
        """Record it, answer it, and let its attempt be reconciled."""
        reference = fault.about
        about = self._about(connection, fault)
        named = (reference.tool_call_id, reference.number) if about is not None and reference is not None else None
        frame = Unreadable(fault.code, fault.frame_type, fault.size, fault.raw, named)
        shape = Shape(fault.errors, fault.outline, fault.fingerprint)
        writes = self._record(connection, frame, shape)
        if about is None:
            self._append(connection, [*writes, *self._unknown_statement(connection, fault)])
        else:
            self._streams.flush(about.tool_call_id, about.number)
            self._submit(about, _command(about, fault), writes)
        if fault.answerable:
            connection.send(encode(fault.problem()))
        self._count(connection)

    def transport_closed(self, connection: Connection, code: int) -> None:
        """The transport itself refused a message of this connection."""
        broken = BROKEN_MESSAGES.get(code)
        if broken is not None:
            fault = ShapeFault(pointer="", expected=broken[1], found=broken[2])
            shape = Shape((fault,), None, fingerprint(f"frame {broken[0]}", [fault]))
            self._append(connection, self._record(connection, Unreadable(broken[0], None, 0, b""), shape))

    def banned(self, runtime_id: str) -> bool:
        """Whether it caused so many faults that it has to wait before its next connect."""
        until = self._banned_until.get(runtime_id)
        if until is None:
            return False
        if until > self._times.monotonic_ms():
            return True
        del self._banned_until[runtime_id]
        return False

    def subject(self, connection: Connection, tool: str, tool_version: int = 0) -> Subject:
        """Whose document it is, for the ledger."""
        runtime = connection.runtime
        endpoint = self._directory.endpoints.get(runtime.endpoint.endpoint_id)
        return Subject(
            organization_id=runtime.endpoint.organization_id,
            client_group_id=endpoint.client_group_id if endpoint else None,
            endpoint_id=runtime.endpoint.endpoint_id,
            runtime_id=runtime.runtime_id,
            runtime_version=runtime.version,
            tool=tool,
            tool_version=tool_version,
        )

    def _about(self, connection: Connection, fault: FrameFault) -> About | None:
        if fault.about is None:
            return None
        try:
            return self._places.about(connection, fault.about)
        except Fault:
            return None

    def _unknown_statement(self, connection: Connection, fault: FrameFault) -> list[Write]:
        """Also one that cannot be read in full speaks of work that the log does not know (PROTOCOL.md §5)."""
        if fault.frame_type != "statement" or fault.about is None or self._places.of(fault.about.tool_call_id):
            return []
        endpoint = self._directory.endpoints.get(connection.runtime.endpoint.endpoint_id)
        return [] if endpoint is None else [unknown_attempt(endpoint, self._times.now_ms())]

    def _record(self, connection: Connection, frame: Unreadable, shape: Shape) -> list[Write]:
        now = self._times.now_ms()
        subject = self.subject(connection, frame.frame_type or "frame")
        raw = self._ledger.keep(subject.runtime_id, frame, shape.fingerprint, now)
        return [self._ledger.count("frame", subject, shape, now), *raw]

    def _append(self, connection: Connection, writes: list[Write]) -> None:
        try:
            connection.until(self._log.append([], writes).committed)
        except Overloaded:
            return  # a frame that says nothing of any attempt is not worth an overload

    def _count(self, connection: Connection) -> None:
        """More than so many in a minute end the connection; the next one has to wait."""
        now = self._times.monotonic_ms()
        times = connection.fault_times
        if times is None:
            times = connection.fault_times = deque(maxlen=limits.FAULTS_PER_MINUTE + 1)
        times.append(now)
        if len(times) > limits.FAULTS_PER_MINUTE and now - times[0] < MINUTE_MS:
            self._banned_until[connection.runtime.runtime_id] = now + limits.WAIT_AFTER_FAULTS_MS
            connection.close(limits.CLOSE_FAULTS, "too many unreadable frames")


def _command(about: About, fault: FrameFault) -> c.RuntimeCommand:
    faults = tuple(e.Shape(x.pointer[:POINTER_LENGTH], x.expected, x.found) for x in fault.errors[:FAULTS_NAMED])
    if fault.frame_type != "finished":
        return about.command(c.ReceiveShapeFault, code=fault.code, faults=faults)
    parts = salvage(fault)
    return about.command(
        c.ReceiveFinished,
        journal_sequence=_sequence(fault.document),
        execution=None if parts.execution is None else storable(msgspec.to_builtins(parts.execution)),
        result=None if parts.result is UNSET else storable(parts.result),
        has_result=parts.result is not UNSET,
        changes=tuple(storable(msgspec.to_builtins(change)) for change in parts.changes or ()),
        faults=faults,
        readable=False,
    )


def _sequence(document: Any) -> int:
    """The sequence of an unreadable frame, where that much of it can be read."""
    said = document.get("journal_sequence") if isinstance(document, dict) else None
    return said if type(said) is int and 0 <= said <= limits.MAX_SIGNED_INTEGER else 0
