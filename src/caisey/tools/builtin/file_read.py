"""`file_read`: a file or a part of it, as text where it is text.

Owns the reading of one regular file. Never opens what would block or act (pipes, devices), and never reads more into
memory than it shows.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat

from caisey.tools.builtin.report import RESULT_BUDGET, Order, Report, Row, ToolError

DEFAULT_LENGTH = 65_536
HASHED_WHOLE_BYTES = 256 * 1024 * 1024
BLOCK = 1024 * 1024
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_LONGEST_CHARACTER = 4
_BINARY = frozenset(map(chr, {*range(0x20), 0x7F} - {0x07, 0x08, 0x09, 0x0A, 0x0C, 0x0D, 0x1B}))
"""Control characters that no text has. What colours a log or rings a bell is text."""


def run(order: Order) -> Report:
    """Read it. The hash covers the whole file, up to a size where hashing would cost more than the answer is worth."""
    path = order.text("path")
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ToolError("tool.not_a_file", f"{path} is not a regular file.")
        offset = order.number("offset", 0)
        start = max(0, status.st_size + offset) if offset < 0 else offset
        os.lseek(descriptor, start, os.SEEK_SET)
        part = _read(descriptor, order.number("length", DEFAULT_LENGTH))
        size, sha256, hashed = status.st_size, hashlib.sha256(part).hexdigest(), "part"
        if size <= HASHED_WHOLE_BYTES:
            # Files of /proc say they have no bytes, and logs grow: what was hashed is the file.
            size, sha256, hashed = *_hash_whole(descriptor), "file"
    finally:
        os.close(descriptor)
    lead = _torn_bytes(part) if start > 0 else 0
    shown, kept = _shown(part[lead:], whole=start == 0 and len(part) >= size)
    result = {
        "path": path,
        "bytes": size,
        "sha256": sha256,
        "sha256_of": hashed,
        "offset": start + lead,
        **shown,
        "truncated": start > 0 or kept < size,
    }
    return Report(result)


def _torn_bytes(part: bytes) -> int:
    """How many bytes at the front belong to a character that began before it."""
    return next((place for place, byte in enumerate(part[:_LONGEST_CHARACTER]) if byte & 0xC0 != 0x80), 0)


def _read(descriptor: int, length: int) -> bytes:
    blocks = []
    while length > 0:
        block = os.read(descriptor, min(length, BLOCK))
        if not block:
            break
        blocks.append(block)
        length -= len(block)
    return b"".join(blocks)


def _hash_whole(descriptor: int) -> tuple[int, str]:
    """How many bytes the file has, and their hash; bounded where it grows while it is read."""
    digest = hashlib.sha256()
    os.lseek(descriptor, 0, os.SEEK_SET)
    size = 0
    while size <= HASHED_WHOLE_BYTES:
        block = os.read(descriptor, BLOCK)
        if not block:
            break
        digest.update(block)
        size += len(block)
    return size, digest.hexdigest()


def _shown(part: bytes, *, whole: bool) -> tuple[Row, int]:
    """The part as JSON carries it, and how many of its bytes that is: escapes can make text longer than it is."""
    while True:
        row, kept = _spelled(part, whole=whole)
        if len(json.dumps(row)) <= RESULT_BUDGET:
            return row, kept
        part, whole = part[: len(part) // 2], False


def _spelled(part: bytes, *, whole: bool) -> tuple[Row, int]:
    if part[:2] in _UTF16_MARKS:
        even = part if len(part) % 2 == 0 else part[:-1]
        text = _decoded(even, "utf-16")
        if text is not None:
            return {"encoding": "utf-16", "text": text}, len(even)
    # A part that is cut may end in the middle of a character.
    for cut in range(1 if whole else _LONGEST_CHARACTER):
        shorter = part[: len(part) - cut]
        text = _decoded(shorter, "utf-8")
        if text is not None:
            return {"encoding": "utf-8", "text": text.removeprefix("\ufeff")}, len(shorter)
    return {"encoding": "base64", "data": base64.b64encode(part).decode()}, len(part)


def _decoded(part: bytes, encoding: str) -> str | None:
    try:
        text = part.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if _BINARY.intersection(text) else text
