"""What a finished command answered: its result, put together where it came as a stream, and held against its schema.

Owns the way from a `finished` frame to its command. The result's shape is judged here and by the tool's definition
alone; what follows from a fault is the verdict's affair.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import UNSET

from caisey.control.ledger import Ledger, Subject
from caisey.control.sessions import Sessions
from caisey.control.storable import storable
from caisey.control.streams import About, Streams, Submit, attempt_in
from caisey.core import commands as c
from caisey.core import events as e
from caisey.core.errors import Fault
from caisey.protocol import frames as f
from caisey.protocol import limits
from caisey.protocol.outline import fingerprint
from caisey.protocol.shapes import Shape
from caisey.protocol.strict_json import NotJsonError, depth_exceeds, is_utf8, parse, without_strings
from caisey.storage.contract import Write
from caisey.tools.catalogue import find
from caisey.tools.checking import RESULT, result_shape


class Results:
    """See the module. `subject_of` names whose document it is, for the ledger."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        streams: Streams,
        submit: Submit,
        ledger: Ledger,
        subject_of: Callable[[About, e.CallSpec], Subject],
        now_ms: Callable[[], int],
    ) -> None:
        self._sessions = sessions
        self._streams = streams
        self._submit = submit
        self._ledger = ledger
        self._subject_of = subject_of
        self._now_ms = now_ms

    def take(self, about: About, frame: f.Finished, writes: list[Write]) -> Awaitable[None] | None:
        """An awaitable comes back where the result has to be read from the store first. Raises Fault."""
        self._streams.flush(about.tool_call_id, about.number)
        session = self._sessions.peek(about.session_id)
        attempt = attempt_in(session, about.tool_call_id, about.number)
        heard_before = attempt.finished is not None and not attempt.finished.stated
        streamed = frame.execution.streams.get("result")
        if frame.result is UNSET and streamed is not None and not streamed.truncated and not heard_before:
            return self._read(about, frame, streamed.bytes, writes)
        self._finish(about, frame, writes, frame.result, None)
        return None

    async def _read(self, about: About, frame: f.Finished, size: int, writes: list[Write]) -> None:
        if size > limits.RESULT_BYTES:
            shape = _whole(f"JSON of at most {limits.RESULT_BYTES} bytes", f"stream of {size} bytes")
            self._finish(about, frame, writes, UNSET, shape)
            return
        data = await self._streams.whole(about, "result", size)
        if data is None:
            self._finish(about, frame, writes, UNSET, _whole("the whole stream", "part of the stream"))
            return
        try:
            bare = without_strings(data)
            if not is_utf8(data) or depth_exceeds(bare):
                raise NotJsonError
            document, breaches = parse(data, bare)
        except NotJsonError:
            self._finish(about, frame, writes, UNSET, _whole("JSON", f"text of {size} bytes"))
            return
        broken = Shape(tuple(breaches), None, fingerprint(RESULT, breaches)) if breaches else None
        self._finish(about, frame, writes, UNSET if broken else document, broken)

    def _finish(self, about: About, frame: f.Finished, writes: list[Write], result: Any, shape: Shape | None) -> None:
        session = self._sessions.peek(about.session_id)
        if session is None:
            raise Fault("frame.not_yours")
        spec = session.calls[about.tool_call_id].spec
        tool = find(spec.tool, spec.tool_version)
        if shape is None and result is not UNSET and tool is not None:
            shape = result_shape(tool, result)
        if shape is not None:
            writes.append(self._ledger.count("result", self._subject_of(about, spec), shape, self._now_ms()))
        command = about.command(
            c.ReceiveFinished,
            journal_sequence=frame.journal_sequence,
            execution=msgspec.to_builtins(frame.execution),
            result=None if result is UNSET else storable(result),
            has_result=result is not UNSET,
            changes=tuple(storable(msgspec.to_builtins(change)) for change in frame.changes),
            faults=tuple(e.Shape(x.pointer, x.expected, x.found) for x in shape.faults) if shape else (),
        )
        self._submit(about, command, writes)


def _whole(expected: str, found: str) -> Shape:
    faults = (f.ShapeFault(pointer="", expected=expected, found=found),)
    return Shape(faults, None, fingerprint(RESULT, faults))
