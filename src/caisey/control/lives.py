"""Who is it that holds a key: the same process, its next life, one that was set back, or a second one (PROTOCOL.md §3).

Owns the judgement of a hello whose signature holds, as a table over what is known of the runtime. Pure: it asks nobody
and closes nothing. Whether the former incarnation still answers is the caller's question; `SET_BACK_OR_CLONE` says that
it has to be asked.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

REPLACED_KEPT: Final = 32
"""Former incarnations told apart from ones never seen. An older one has a lower start number, which says the same."""


class Life(NamedTuple):
    """What is stored of a runtime's last known incarnation."""

    runtime_id: str
    incarnation: str
    start_number: int
    boot_id: str
    machine_fingerprint: str
    replaced: tuple[str, ...] = ()  # oldest first

    @classmethod
    def unknown(cls, runtime_id: str) -> Life:
        """A person has said that the key may be held: whoever comes next holds it."""
        return cls(runtime_id, "", -1, "", "")


class Claim(NamedTuple):
    """What a hello says of its process."""

    incarnation: str
    start_number: int
    boot_id: str
    machine_fingerprint: str


class Standing(StrEnum):
    """What a hello is, seen against the life before it."""

    FIRST = "first"  # none was known
    SAME = "same"
    NEXT = "next"  # never seen, a higher start number: it replaces the former
    SET_BACK_OR_CLONE = "set_back_or_clone"  # set back, if the former does not answer; else two hold the key
    CLONE = "clone"  # two hold the key


def judge(life: Life | None, claim: Claim, enrolled_fingerprint: str | None) -> Standing:
    """The standing of a claim. `enrolled_fingerprint` stands in where no life is known."""
    known = enrolled_fingerprint if life is None else life.machine_fingerprint
    if known and claim.machine_fingerprint != known:
        return Standing.CLONE
    if life is None or not life.incarnation:
        return Standing.FIRST
    if claim.incarnation == life.incarnation:
        # One life has one start and one boot: the same name with another of either is another process.
        same = (claim.start_number, claim.boot_id) == (life.start_number, life.boot_id)
        return Standing.SAME if same else Standing.CLONE
    if claim.incarnation in life.replaced:
        return Standing.CLONE
    return Standing.NEXT if claim.start_number > life.start_number else Standing.SET_BACK_OR_CLONE


def after(life: Life | None, runtime_id: str, claim: Claim) -> Life:
    """What is known once the claim was accepted."""
    if life is None or not life.incarnation:
        replaced: tuple[str, ...] = ()
    elif life.incarnation == claim.incarnation:
        replaced = life.replaced
    else:
        replaced = (*life.replaced, life.incarnation)[-REPLACED_KEPT:]
    return Life(runtime_id, *claim, replaced)
