"""Identifiers: a prefix that names the kind of thing, and 26 characters that name the thing.

Owns the prefixes of the public API and the one spelling of an id. Never draws randomness itself: the caller passes
the random bytes, so that the core stays replayable.

An id is the prefix, an underscore and 26 characters of lowercase Crockford base32 (no `i`, `l`, `o`, `u`): 130 bits.
Ids are opaque and carry no order; events are ordered by their sequence alone.
"""

from __future__ import annotations

import re
from typing import Final

ORGANIZATION: Final = "org"
CLIENT_GROUP: Final = "grp"
ENDPOINT: Final = "ept"
RUNTIME: Final = "rtm"
SESSION: Final = "ses"
PROMPT: Final = "pmt"
TOOL_CALL: Final = "tcl"
APPROVAL: Final = "apr"
SHARE: Final = "shr"
USER: Final = "usr"
POLICY: Final = "pol"
TOKEN: Final = "tok"
BROWSER_SESSION: Final = "bse"
PASSKEY: Final = "psk"
SNIPPET: Final = "snp"

PREFIXES: Final = frozenset(
    {
        ORGANIZATION,
        CLIENT_GROUP,
        ENDPOINT,
        RUNTIME,
        SESSION,
        PROMPT,
        TOOL_CALL,
        APPROVAL,
        SHARE,
        USER,
        POLICY,
        TOKEN,
        BROWSER_SESSION,
        PASSKEY,
        SNIPPET,
    }
)

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
BODY_LENGTH: Final = 26
RANDOM_BYTES: Final = 17
"""How many random bytes an id takes: 136 bits, of which the first 130 are used."""

_BITS_PER_CHARACTER = 5
_PAIRS = tuple(first + second for first in ALPHABET for second in ALPHABET)
_SHIFTS = tuple(range((BODY_LENGTH - 2) * _BITS_PER_CHARACTER, -1, -2 * _BITS_PER_CHARACTER))
_UNUSED_BITS = RANDOM_BYTES * 8 - BODY_LENGTH * _BITS_PER_CHARACTER
_SHAPE = re.compile(rf"([a-z]{{3}})_[{ALPHABET}]{{{BODY_LENGTH}}}")


def new_id(prefix: str, random: bytes) -> str:
    """Spell an id. `random` is exactly `RANDOM_BYTES` bytes from a cryptographic source; `prefix` is in `PREFIXES`."""
    if prefix not in PREFIXES:
        raise ValueError(f"unknown id prefix: {prefix!r}")
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"an id takes {RANDOM_BYTES} random bytes, not {len(random)}")
    number = int.from_bytes(random) >> _UNUSED_BITS
    body = "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])
    return f"{prefix}_{body}"


def is_id(value: object, prefix: str) -> bool:
    """Whether `value` is an id of that kind, spelled exactly as `new_id` spells it."""
    if not isinstance(value, str):
        return False
    match = _SHAPE.fullmatch(value)
    return match is not None and match[1] == prefix and prefix in PREFIXES
