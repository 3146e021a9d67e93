"""Output bytes: which are new, which are known, which differ (RECOVERY.md §3, invariant 4).

Owns the cutting of a chunk against what is covered already, and the bound on what is kept. Pure. Bytes that were
confirmed are never replaced: where a chunk says something else about them, that part is kept apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

CONFLICT_BYTES: Final = 1 << 20
"""How many differing bytes are kept of one stream; that they differ is recorded in any case."""

Range = tuple[int, int]  # [start, end)


class Piece(NamedTuple):
    """A part of a chunk: where it belongs, and its bytes."""

    offset: int
    data: bytes


def fresh(piece: Piece, covered: Iterable[Range]) -> Iterator[Piece]:
    """The parts of a chunk that are not covered. `covered` is sorted and disjoint."""
    at, end = piece.offset, piece.offset + len(piece.data)
    for start, stop in covered:
        if stop <= at:
            continue
        if start >= end:
            break
        if start > at:
            yield _part(piece, at, start)
        at = stop
    if at < end:
        yield _part(piece, at, end)


def repeated(piece: Piece, covered: Iterable[Range]) -> Iterator[Range]:
    """The ranges of a chunk that are covered already."""
    end = piece.offset + len(piece.data)
    for start, stop in covered:
        lower, upper = max(start, piece.offset), min(stop, end)
        if lower < upper:
            yield lower, upper


def differing(piece: Piece, stored: Piece) -> Piece | None:
    """The part of a chunk, from the first to the last byte that differs from the stored ones; None if none does."""
    said = piece.data[stored.offset - piece.offset :][: len(stored.data)]
    if said == stored.data:
        return None
    wrong = [place for place, (a, b) in enumerate(zip(said, stored.data, strict=True)) if a != b]
    return Piece(stored.offset + wrong[0], said[wrong[0] : wrong[-1] + 1])


def within(piece: Piece, room: int) -> tuple[Piece | None, Range | None]:
    """What may still be kept of a new piece, and the range that may not. `room`: how many bytes more may be."""
    if len(piece.data) <= room:
        return piece, None
    cut = (piece.offset + room, piece.offset + len(piece.data))
    return (Piece(piece.offset, piece.data[:room]) if room else None), cut


def _part(piece: Piece, start: int, end: int) -> Piece:
    return Piece(start, piece.data[start - piece.offset : end - piece.offset])
