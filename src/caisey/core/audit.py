"""The audit chain: what the digest of an event covers, and whether a chain of events holds.

Owns the digest of one event, the signed head, and offline verification (API.md, "Event"; RECOVERY.md §9, invariant 9).
Never draws a salt, reads a clock or holds a key: they are arguments.

    field digest = SHA-256(salt ‖ name ‖ canonical value)                       one per top-level field of the payload
    digest       = SHA-256(previous ‖ canonical header ‖ sorted field digests)   all digests as their 32 bytes

Each part ends where it says it ends (fixed length, or one JSON value), so no two events are digested as the same bytes.
A field can be redacted: value and salt are deleted, its digest is kept in `digests`. The chain still holds, and
without the salt nobody can try values against the digest.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from caisey.core.canonical import canonical

DIGEST_BYTES: Final = 32
SALT_BYTES: Final = 16
GENESIS: Final = bytes(DIGEST_BYTES)
"""What the first event of an organization names as its previous digest."""

FIELD_NAME: Final = re.compile("[a-z][a-z_]{0,63}")
"""The spelling of a payload's top-level names."""

HEADER_FIELDS: Final = ("sequence", "at", "organization_id", "session_id", "type", "actor", "reason")
EVENT_FIELDS: Final = frozenset({*HEADER_FIELDS, "payload", "salts", "previous", "digest"})
HEAD_FIELDS: Final = frozenset({"sequence", "digest", "at", "signature"})

_HEAD_PREFIX: Final = b"caisey-head-v1\n"
_HEX_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_HEX_SALT: Final = re.compile(r"[0-9a-f]{32}")


class Broken(StrEnum):
    """What is wrong at the first place where a chain does not hold."""

    FORM = "form"  # not an event or a head as this version writes them
    GAP = "gap"  # the sequence does not follow: something was dropped, doubled or moved
    PREVIOUS = "previous"  # does not name the digest of the event before it
    DIGEST = "digest"  # what it says is not what was digested
    ORGANIZATION = "organization"  # belongs to another chain
    HEAD_DIGEST = "head_digest"  # a signed head names another digest for that sequence
    HEAD_SIGNATURE = "head_signature"  # a head was not signed by the control plane's key
    TAIL = "tail"  # a signed head vouches for events that are not here
    UNSIGNED_TAIL = "unsigned_tail"  # events after the last head: nothing vouches for them, or for their being all


class Break(msgspec.Struct, frozen=True):
    """The first place that does not hold. `sequence` is what stands there, or what was expected where nothing does."""

    what: Broken
    sequence: int
    detail: str


class Head(msgspec.Struct, frozen=True):
    """The end of a chain at one moment, signed by the control plane."""

    sequence: int
    digest: str
    at: str
    signature: str


class Report(msgspec.Struct, frozen=True):
    """What verification found: `head` proves everything up to `holds_to`, if its signature could be checked."""

    events: int
    redacted_fields: int
    holds_to: int | None
    head: Head | None
    signatures_checked: bool
    broken: Break | None

    @property
    def ok(self) -> bool:
        """Whether every line held and the last event is under a signed head."""
        return self.broken is None


def field_digest(salt: bytes, name: str, value: bytes) -> bytes:
    """Digest one field; `value` is its canonical form. `ValueError`: its name does not fit `FIELD_NAME`."""
    return sha256(salt + field_name(name) + value).digest()


def field_name(name: str) -> bytes:
    """The name as it is digested. Without digits and quotes, a name and a value cannot be divided in another way."""
    if FIELD_NAME.fullmatch(name) is None:
        raise ValueError("the names of a payload are lowercase words joined by underscores")
    return name.encode()


def event_digest(previous: bytes, header: bytes, fields: Iterable[bytes]) -> bytes:
    """Digest one event; `header` is the canonical object of `HEADER_FIELDS`, `fields` the field digests."""
    return sha256(previous + header + b"".join(sorted(fields))).digest()


def head_bytes(sequence: int, digest: str, at: str) -> bytes:
    """What the control plane signs for a head."""
    return _HEAD_PREFIX + canonical({"sequence": sequence, "digest": digest, "at": at})


def signed_head(sequence: int, digest: str, at: str, signature: bytes) -> Head:
    """A head with the signature over its `head_bytes`."""
    return Head(sequence, digest, at, base64.b64encode(signature).decode())


def head_holds(head: Head, public_key: Ed25519PublicKey) -> bool:
    """Whether the signature, in its one spelling, is that key's over this head."""
    try:
        raw = base64.b64decode(head.signature, validate=True)
        if base64.b64encode(raw).decode() != head.signature:
            return False
        public_key.verify(raw, head_bytes(head.sequence, head.digest, head.at))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def digest_of(event: Mapping[str, Any]) -> bytes:
    """The digest that a public event should carry, from its own words. Raises `ValueError` naming a wrong form."""
    unknown = event.keys() - EVENT_FIELDS - {"digests"}
    missing = EVENT_FIELDS - event.keys()
    if unknown or missing:
        raise ValueError(f"fields missing: {sorted(missing)}, unknown: {sorted(unknown)}")
    payload, salts, kept = event["payload"], event["salts"], event.get("digests", {})
    if not (isinstance(payload, dict) and isinstance(salts, dict) and isinstance(kept, dict)):
        raise ValueError("payload, salts and digests are objects")
    if payload.keys() != salts.keys() or payload.keys() & kept.keys():
        raise ValueError("each field has a salt, or, once redacted, a digest")
    fields = [_checked_hex(_HEX_DIGEST, kept[name]) for name in kept]
    for name, value in payload.items():
        fields.append(field_digest(_checked_hex(_HEX_SALT, salts[name]), name, canonical(value)))
    previous = _checked_hex(_HEX_DIGEST, event["previous"])
    return event_digest(previous, canonical({name: event[name] for name in HEADER_FIELDS}), fields)


def _checked_hex(shape: re.Pattern[str], text: object) -> bytes:
    """Bytes from their one spelling: lowercase, of the right length."""
    if not isinstance(text, str) or shape.fullmatch(text) is None:
        raise ValueError("digests and salts are lowercase hexadecimal of their length")
    return bytes.fromhex(text)


class Verifier:
    """Checks the lines of one organization's chain in order, and stops judging at the first that does not hold.

    A chain without any head does not hold: nothing vouches for it, or for its not having been emptied.

    `start` is the sequence and digest of the event before the first line; an export from the very first event needs
    none. Without a `public_key` heads are compared with the chain, but nobody's word is checked.
    """

    def __init__(self, public_key: Ed25519PublicKey | None = None, start: tuple[int, str] | None = None) -> None:
        self._key = public_key
        self._sequence, self._digest = start or (0, GENESIS.hex())
        self._organization: str | None = None
        self._events = 0
        self._redacted = 0
        self._head: Head | None = None
        self._heads_ahead: list[Head] = []
        self._broken: Break | None = None

    def line(self, line: object) -> None:
        """Take the next line, an event or a head, as parsed JSON."""
        if self._broken is not None:
            return
        if not isinstance(line, dict):
            self._break(Broken.FORM, self._sequence + 1, "a line is a JSON object")
        elif "signature" in line:
            self._take_head(line)
        else:
            self._take_event(line)

    def unreadable(self, detail: str) -> None:
        """Take a line that is no JSON at all."""
        if self._broken is None:
            self._break(Broken.FORM, self._sequence + 1, detail)

    def finish(self) -> Report:
        """Say what was found. A chain that goes on after its last head does not hold to its end."""
        if self._broken is None:
            covered = 0 if self._head is None else self._head.sequence
            if self._heads_ahead:
                vouched = max(head.sequence for head in self._heads_ahead)
                self._break(Broken.TAIL, self._sequence + 1, f"a signed head vouches for events up to {vouched}")
            elif self._head is None or covered < self._sequence:
                self._break(Broken.UNSIGNED_TAIL, covered + 1, "no signed head covers the end")
        return Report(
            events=self._events,
            redacted_fields=self._redacted,
            holds_to=None if self._head is None else self._head.sequence,
            head=self._head,
            signatures_checked=self._key is not None,
            broken=self._broken,
        )

    def _take_event(self, event: dict[str, Any]) -> None:
        expected, found = self._sequence + 1, event.get("sequence")
        if type(found) is not int:
            return self._break(Broken.FORM, expected, "an event has a sequence")
        if found != expected:
            return self._break(Broken.GAP, found, f"expected {expected}")
        if self._organization is not None and event.get("organization_id") != self._organization:
            return self._break(Broken.ORGANIZATION, found, "an event of another organization")
        if event.get("previous") != self._digest:
            return self._break(Broken.PREVIOUS, found, "does not name the digest of the event before it")
        try:
            digest = digest_of(event).hex()
        except ValueError as error:
            return self._break(Broken.FORM, found, str(error))
        if event["digest"] != digest:
            return self._break(Broken.DIGEST, found, "what it says is not what was digested")
        self._organization = event["organization_id"]
        self._sequence, self._digest = found, digest
        self._events += 1
        self._redacted += len(event.get("digests", {}))
        for head in [head for head in self._heads_ahead if head.sequence == found]:
            self._heads_ahead.remove(head)
            self._compare(head)
        return None

    def _take_head(self, line: dict[str, Any]) -> None:
        try:
            head = msgspec.convert(line, Head, strict=True)
        except msgspec.ValidationError as error:
            return self._break(Broken.FORM, self._sequence, f"not a head: {error}")
        if line.keys() != HEAD_FIELDS or _HEX_DIGEST.fullmatch(head.digest) is None:
            return self._break(Broken.FORM, self._sequence, "not a head")
        if self._key is not None and not head_holds(head, self._key):
            return self._break(Broken.HEAD_SIGNATURE, head.sequence, "not signed by the control plane's key")
        if head.sequence == self._sequence:
            return self._compare(head)
        if head.sequence < self._sequence:
            return self._break(Broken.GAP, head.sequence, "a head stands after later events")
        self._heads_ahead.append(head)
        return None

    def _compare(self, head: Head) -> None:
        if head.digest != self._digest:
            return self._break(Broken.HEAD_DIGEST, head.sequence, "a signed head names another digest")
        self._head = head
        return None

    def _break(self, what: Broken, sequence: int, detail: str) -> None:
        self._broken = Break(what, sequence, detail)


def verify(
    lines: Iterable[object], public_key: Ed25519PublicKey | None = None, start: tuple[int, str] | None = None
) -> Report:
    """Check a whole chain, given as parsed lines; see `Verifier`."""
    verifier = Verifier(public_key, start)
    for line in lines:
        verifier.line(line)
    return verifier.finish()


def verify_file(
    lines: Iterable[bytes], public_key: Ed25519PublicKey | None = None, start: tuple[int, str] | None = None
) -> Report:
    """Check an export, JSON lines as read from a file. A last line without its line end was cut."""
    verifier = Verifier(public_key, start)
    decode = msgspec.json.decode
    for line in lines:
        if not line.endswith(b"\n"):
            verifier.unreadable("a line without its end: the file was cut")
            break
        try:
            parsed = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            verifier.unreadable(f"not JSON: {type(error).__name__}")
            break
        verifier.line(parsed)
    return verifier.finish()
