"""The nasty frames: those kept in `corpus/`, one a file, and those that are too large to be kept.

Owns the collection. Whoever has a door for frames throws all of them at it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from caisey.protocol import limits

CORPUS: Final = Path(__file__).parent / "corpus"
MIB: Final = 1 << 20
_ABOUT: Final = b'"attempt":{"tool_call_id":"tcl_1","number":1}'


def _padded(size: int) -> bytes:
    """A frame that is right in everything but its size."""
    head = b'{"type":"acknowledged",%s,"journal_sequence":1,"padding":"' % _ABOUT
    return head + b"x" * (size - len(head) - 2) + b'"}'


def _wide(item: bytes, times: int, last: bytes = b"0") -> bytes:
    """A receipt with an array that nobody knows."""
    return b'{"type":"acknowledged",%s,"journal_sequence":1,"x":[%s%s]}' % (_ABOUT, item * times, last)


LARGE: Final[dict[str, bytes]] = {
    "a-mib": _padded(MIB),
    "a-mib-and-a-byte": _padded(MIB + 1),
    "almost-four-mib": _padded(4 * MIB - 1),
    "a-mib-of-brackets": b"[" * MIB,
    "a-mib-of-pairs": b"[]" * (MIB // 2),
    "objects-in-objects": b'{"a":' * (MIB // 8),
    "half-a-mib-of-digits": b'{"type":"acknowledged",%s,"journal_sequence":%s}' % (_ABOUT, b"9" * (MIB // 2)),
    "many-keys": json.dumps({"type": "acknowledged", **{f"k{i}": i for i in range(60_000)}}).encode(),
    "the-same-key-again-and-again": b'{"type":"acknowledged"' + b',"a":1' * 100_000 + b"}",
    "a-long-key": b'{"%s":1,"type":"acknowledged"}' % (b"k" * (MIB - 100)),
    "escapes": b'{"type":"acknowledged","a":"%s"}' % (rb"\u0061" * 150_000),
    "many-faults": b'{"type":"heartbeat","in_flight":[%s]}' % b",".join([b"7"] * 300_000),
    "half-a-million-numbers": _wide(b"0,", MIB // 2 - 100),
    "numbers-with-exponents": _wide(b"1e99,", MIB // 5 - 100),
    "empty-texts": _wide(b'"",', MIB // 3 - 100),
    "objects-side-by-side": _wide(b'{"a":0},', limits.JSON_CONTAINERS - 10),
    "more-objects-side-by-side": _wide(b'{"a":0},', limits.JSON_CONTAINERS + 10),
    "trees-side-by-side": _wide(b"[" * 20 + b"]" * 20 + b",", MIB // 41 - 100),
    "a-large-integer-behind-many-numbers": _wide(b"0,", MIB // 2 - 100, b"99999999999999999999"),
    "a-lone-surrogate-behind-many-numbers": _wide(b"0,", MIB // 2 - 100, rb'"\ud800"'),
    "a-doubled-key-behind-many-numbers": _wide(b"0,", MIB // 2 - 100, b'{"a":0,"a":0}'),
    "a-fault-beside-many-numbers": _wide(b"0,", MIB // 2 - 100).replace(b'"number":1', b'"number":0'),
    "spaces": b" " * (MIB - 2) + b"{}",
}

SMALL: Final[dict[str, bytes]] = {path.name: path.read_bytes() for path in sorted(CORPUS.iterdir())}
TAKEN: Final = frozenset(
    {"a-mib", "half-a-million-numbers", "numbers-with-exponents", "empty-texts", "objects-side-by-side"}
)
"""Large, and nothing else."""
TOO_LARGE: Final = frozenset(
    {
        "a-mib-and-a-byte",
        "almost-four-mib",
        "a-mib-of-pairs",
        "more-objects-side-by-side",
        "trees-side-by-side",
    }
)
NASTY: Final[dict[str, bytes]] = SMALL | LARGE


def is_text(data: bytes) -> bool:
    """Whether a WebSocket may carry it as text at all."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
