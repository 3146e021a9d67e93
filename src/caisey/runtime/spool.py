"""What commands wrote, on disk until the control plane holds it.

Owns the spool directory, one folder for each execution, as the runtime reads it: bytes from an offset on, gaps with
their reason, the end record with the tool's result, and the bound on what all of it may take. The shim writes these
files (`shim.sink`, `shim.marks`); nothing here changes a byte of them, only whole folders go.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct

from caisey.protocol import limits
from caisey.protocol.fields import GapReason, StreamName
from caisey.runtime.processes import End, Identity, StartSeen
from caisey.runtime.shim.marks import CHILD, END, read_mark
from caisey.tools.outcome import ToolOutcome, read_outcome

STREAMS: Final[tuple[StreamName, ...]] = ("stdout", "stderr", "result")
TOTAL_BYTES: Final = 1024 * limits.MIB
"""What the spool may hold of all executions together."""
_RESULT_VALUE: Final = "result.value"


class Layout(Struct, frozen=True):
    """Where the bytes of one ended stream lie: a head, a ring with its last bytes, or a file of the result alone."""

    bytes: int
    head: int
    tail: int = 0
    ring: int = 0
    base: int = 0
    why: GapReason = "limit"
    file: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of a stream, from `offset` on."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Hole:
    """Bytes of a stream that will not come."""

    offset: int
    length: int
    why: GapReason


_LAYOUTS: Final = msgspec.json.Decoder(dict[StreamName, Layout])


def layouts_of(layout: bytes | None) -> dict[StreamName, Layout]:
    """The layouts in a journal record; none where they were settled, or the command has not ended."""
    return _LAYOUTS.decode(layout) if layout is not None else {}


def child_in(folder: Path) -> StartSeen | None:
    """Who the command of an execution is, as its shim wrote it down when it let it go."""
    mark = read_mark(str(folder), CHILD)
    if mark is None:
        return None
    return StartSeen(Identity(mark["pid"], mark["process_key"]), mark["process_started_ms"])


class Spool:
    """The spool of one journal. Runtimes that share the journal share it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, name: str) -> Path:
        return self.root / name

    # -- the end ------------------------------------------------------------------------------------------------------

    def end_record(self, name: str) -> End | None:
        """The end record of an execution, with the tool's result read from its stream; `None`: it has none (yet)."""
        mark = read_mark(str(self.folder(name)), END)
        if mark is None:
            return None
        execution: dict[str, Any] = mark["execution"]
        streams: dict[str, dict[str, Any]] = execution["streams"]
        layouts = {stream: Layout(bytes=streams[stream]["bytes"], **where) for stream, where in mark["spool"].items()}
        outcome = self._outcome(name, layouts.get("result"))
        if outcome is None:
            return End(msgspec.json.encode(execution), msgspec.json.encode(layouts))
        # It can be read, so it travels as JSON and not as a stream; a value too long for that becomes the stream.
        del streams["result"], layouts["result"]
        result = None if outcome.result is UNSET else msgspec.json.encode(outcome.result)
        changes = msgspec.json.encode(outcome.changes) if outcome.changes else None
        if result is not None and len(result) > limits.INLINE_RESULT_BYTES:
            self._keep_value(name, result)
            layouts["result"] = Layout(bytes=len(result), head=len(result), file=_RESULT_VALUE)
            digest = hashlib.sha256(result).hexdigest()
            streams["result"] = {"bytes": len(result), "sha256": digest, "blank": False, "truncated": False}
            result = None
        return End(msgspec.json.encode(execution), msgspec.json.encode(layouts), result, changes)

    def _outcome(self, name: str, layout: Layout | None) -> ToolOutcome | None:
        """What the tool said on its result stream, where that is whole and readable."""
        if layout is None:
            return None
        data = b"".join(part.data for part in self.parts(name, "result", layout, 0) if isinstance(part, Chunk))
        return read_outcome(data) if len(data) == layout.bytes else None

    def _keep_value(self, name: str, value: bytes) -> None:
        fd = os.open(self.folder(name) / _RESULT_VALUE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(value)

    # -- output -------------------------------------------------------------------------------------------------------

    def running(self, name: str, stream: StreamName, offset: int, until: int, size: int) -> Chunk | None:
        """The next bytes of a stream that still grows; `until` is how far its head can be read by now."""
        data = self._read(self.folder(name) / stream, offset, min(size, until - offset))
        return Chunk(offset, data) if data else None

    def left_behind(self, name: str, stream: StreamName, offset: int, size: int) -> Chunk | None:
        """The next bytes of a stream whose shim died: the head is all that is known of it."""
        data = self._read(self.folder(name) / stream, offset, size)
        return Chunk(offset, data) if data else None

    def next_part(self, name: str, stream: StreamName, layout: Layout, offset: int, size: int) -> Chunk | Hole | None:
        """What follows at `offset` in a stream that has ended: at most `size` bytes, or a hole; `None` at its end."""
        if offset >= layout.bytes:
            return None
        tail_start = layout.bytes - layout.tail
        if offset < layout.head:
            path, end = self.folder(name) / (layout.file or stream), layout.head
            data = self._read(path, offset, min(size, end - offset))
        elif offset < tail_start:
            return Hole(offset, tail_start - offset, layout.why)
        else:
            place = (offset - layout.base) % layout.ring
            end = min(layout.bytes, offset + layout.ring - place)
            data = self._read(self.folder(name) / f"{stream}.tail", place, min(size, end - offset))
        return Chunk(offset, data) if data else Hole(offset, end - offset, "lost")

    def parts(self, name: str, stream: StreamName, layout: Layout, offset: int) -> Iterator[Chunk | Hole]:
        """Everything of an ended stream from `offset` on."""
        while (part := self.next_part(name, stream, layout, offset, limits.OUTPUT_CHUNK_BYTES)) is not None:
            yield part
            offset = part.offset + (len(part.data) if isinstance(part, Chunk) else part.length)

    @staticmethod
    def _read(path: Path, offset: int, size: int) -> bytes:
        if size <= 0:
            return b""
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return b""
        try:
            return os.pread(fd, size, offset)
        finally:
            os.close(fd)

    # -- bounds -------------------------------------------------------------------------------------------------------

    def drop(self, name: str) -> None:
        """Let the folder of a settled execution go."""
        shutil.rmtree(self.folder(name), ignore_errors=True)

    def sweep(self, needed: Collection[str], live: Collection[str]) -> None:
        """Drop folders that no unsettled attempt needs and no live incarnation may be preparing."""
        for folder in self.root.iterdir():
            if folder.name not in needed and folder.name.partition("-")[0] not in live:
                shutil.rmtree(folder, ignore_errors=True)


class Budget:
    """How much each execution may keep, so that all of them stay below the total."""

    def __init__(self, total: int = TOTAL_BYTES) -> None:
        self._free = total
        self._held: dict[str, int] = {}

    def hold(self, name: str, wanted: int) -> tuple[int, Literal["limit", "spool_full"]]:
        """Set bytes aside for one stream triple. Returns how many each stream may keep, and why not more."""
        share = min(wanted, self._free // len(STREAMS))
        self._held[name] = share * len(STREAMS)
        self._free -= share * len(STREAMS)
        return share, "limit" if share == wanted else "spool_full"

    def holds(self, kept: Mapping[str, int]) -> None:
        """Count what a former life of the runtime left in the spool."""
        for name, size in kept.items():
            self._held[name] = size
            self._free -= size

    def shrink(self, name: str, size: int) -> None:
        """After the end: only what was really kept counts."""
        if name in self._held:
            self._free += self._held[name] - size
            self._held[name] = size

    def release(self, name: str) -> None:
        self._free += self._held.pop(name, 0)
