"""The audit chain: holds as written, holds redacted, and shows the first place where anything was touched."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import assume, given
from hypothesis import strategies as st

from caisey.core import audit
from caisey.core.audit import Broken
from caisey.core.canonical import canonical

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key()
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))

Line = dict[str, Any]

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
payloads = st.dictionaries(st.from_regex(audit.FIELD_NAME, fullmatch=True), values, max_size=4)


def make_event(sequence: int, previous: str, payload: Line) -> Line:
    event: Line = {
        "sequence": sequence,
        "at": f"2026-01-02T03:04:{sequence % 60:02}.000Z",
        "organization_id": "org_" + "0" * 26,
        "session_id": None if sequence % 3 == 0 else "ses_" + "1" * 26,
        "type": "prompt_accepted",
        "actor": {"kind": "user", "id": "usr_" + "2" * 26},
        "reason": None if sequence % 2 else "because",
        "payload": payload,
        "salts": {name: sha256(f"{sequence}{name}".encode()).hexdigest()[:32] for name in payload},
        "previous": previous,
        "digest": "",
    }
    event["digest"] = audit.digest_of(event).hex()
    return event


def make_chain(contents: list[Line]) -> list[Line]:
    lines: list[Line] = []
    previous = audit.GENESIS.hex()
    for sequence, payload in enumerate(contents, start=1):
        lines.append(make_event(sequence, previous, payload))
        previous = lines[-1]["digest"]
    return lines


def make_head(event: Line, key: Ed25519PrivateKey = KEY) -> Line:
    words = (event["sequence"], event["digest"], "2026-01-02T04:00:00.000Z")
    head = audit.signed_head(*words, key.sign(audit.head_bytes(*words)))
    return {"sequence": head.sequence, "digest": head.digest, "at": head.at, "signature": head.signature}


def closed(events: list[Line]) -> list[Line]:
    return [*events, make_head(events[-1])]


chains = st.lists(payloads, min_size=1, max_size=5).map(make_chain)
FIXED = make_chain([{"tool": "shell", "n": 1}, {"text": "ä", "list": [1, {"a": None}]}, {}, {"x": True, "e": -0.5}])


def as_file(lines: list[Line]) -> list[bytes]:
    return [canonical(line) + b"\n" for line in lines]


def broken(lines: list[Line], **options: Any) -> tuple[Broken, int]:
    report = audit.verify(lines, PUBLIC, **options)
    assert not report.ok
    assert report.broken is not None
    return report.broken.what, report.broken.sequence


def redacted(event: Line, names: list[str]) -> Line:
    event = copy.deepcopy(event)
    for name in names:
        value, salt = event["payload"].pop(name), event["salts"].pop(name)
        digest = audit.field_digest(bytes.fromhex(salt), name, canonical(value))
        event.setdefault("digests", {})[name] = digest.hex()
    return event


@given(chains)
def test_a_closed_chain_holds_to_its_end(events: list[Line]) -> None:
    report = audit.verify_file(as_file(closed(events)), PUBLIC)
    assert report.ok
    assert (report.events, report.holds_to, report.signatures_checked) == (len(events), len(events), True)


@given(chains, st.data())
def test_redaction_does_not_break_the_chain(events: list[Line], data: st.DataObject) -> None:
    lines = [redacted(event, [name for name in event["payload"] if data.draw(st.booleans())]) for event in events]
    report = audit.verify(closed(lines), PUBLIC)
    assert report.ok
    assert report.redacted_fields == sum(len(line.get("digests", {})) for line in lines)


@given(chains, st.data())
def test_any_changed_byte_is_found(events: list[Line], data: st.DataObject) -> None:
    file = b"".join(as_file(closed(events)))
    place = data.draw(st.integers(0, len(file) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != file[place]))
    changed = file[:place] + bytes([byte]) + file[place + 1 :]
    assume_means_something_else(file, changed)
    assert not audit.verify_file(BytesIO(changed), PUBLIC).ok


def assume_means_something_else(before: bytes, after: bytes) -> None:
    """`\\u001F` says what `\\u001f` says: a change of spelling alone is not a change of a word on record."""
    try:
        same = [json.loads(line) for line in before.splitlines()] == [json.loads(line) for line in after.splitlines()]
    except ValueError:
        return
    assume(not same or not after.endswith(b"\n"))


def test_each_byte_of_an_export_counts() -> None:
    """Every place, not a sample: one bit turned, and another byte in its stead."""
    file = b"".join(as_file(closed(FIXED)))
    meaning = [json.loads(line) for line in file.splitlines()]
    for place, byte in enumerate(file):
        for other in {byte ^ 1, byte ^ 32, ord("0") if byte != ord("0") else ord("1")}:
            changed = file[:place] + bytes([other]) + file[place + 1 :]
            if not says_the_same(changed, meaning):
                assert not audit.verify_file(BytesIO(changed), PUBLIC).ok, (place, bytes([byte]), bytes([other]))


def says_the_same(file: bytes, meaning: list[Line]) -> bool:
    """A change of spelling alone: `1E1` for `1e1`, `\\u001F` for `\\u001f`."""
    try:
        return file.endswith(b"\n") and [json.loads(line) for line in file.splitlines()] == meaning
    except ValueError:
        return False


def test_each_place_where_an_export_may_be_cut_is_found() -> None:
    file = b"".join(as_file(closed(FIXED)))
    for length in range(len(file)):
        assert not audit.verify_file(BytesIO(file[:length]), PUBLIC).ok, length


def test_each_field_of_an_export_counts() -> None:
    """Gone, or another value: at every depth, in events and in the head."""
    lines = closed(FIXED)
    places = [(at, path) for at, line in enumerate(lines) for path in paths_of(line)]
    assert len(places) > 60
    for at, path in places:
        for change in (without_it, other_value):
            changed = copy.deepcopy(lines)
            change(changed[at], path)
            assert not audit.verify(changed, PUBLIC).ok, (at, path, change.__name__)


def paths_of(value: object, before: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*before, key)
        yield from paths_of(each, (*before, key))


def parent_of(line: Line, path: tuple[str | int, ...]) -> Any:
    found: Any = line
    for key in path[:-1]:
        found = found[key]
    return found


def without_it(line: Line, path: tuple[str | int, ...]) -> None:
    del parent_of(line, path)[path[-1]]


def other_value(line: Line, path: tuple[str | int, ...]) -> None:
    parent = parent_of(line, path)
    parent[path[-1]] = {"other": parent[path[-1]]}


@given(chains, st.data())
def test_any_dropped_line_is_found(events: list[Line], data: st.DataObject) -> None:
    lines = closed(events)
    del lines[data.draw(st.integers(0, len(lines) - 1))]
    assert not audit.verify(lines, PUBLIC).ok


@given(chains, st.data())
def test_any_cut_of_the_file_is_found(events: list[Line], data: st.DataObject) -> None:
    file = b"".join(as_file(closed(events)))
    cut = file[: data.draw(st.integers(0, len(file) - 1))]
    assert not audit.verify_file(BytesIO(cut), PUBLIC).ok


@given(st.lists(payloads, min_size=2, max_size=5).map(make_chain), st.randoms(use_true_random=False))
def test_any_other_order_is_found(events: list[Line], random: Any) -> None:
    lines = closed(events)
    shuffled = random.sample(lines, len(lines))
    # A head may stand before the events it vouches for; their order may not change.
    same = [line for line in shuffled if "signature" not in line] == events
    assert audit.verify(shuffled, PUBLIC).ok == same


@given(chains, st.data())
def test_any_doubled_event_is_found(events: list[Line], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(events) - 1))
    assert not audit.verify(closed([*events[: place + 1], *events[place:]]), PUBLIC).ok


def test_each_break_is_named_with_its_place() -> None:
    def changed(index: int, **fields: Any) -> list[Line]:
        return closed([{**event, **(fields if at == index else {})} for at, event in enumerate(FIXED)])

    assert broken(changed(1, reason="another")) == (Broken.DIGEST, 2)
    assert broken(changed(1, payload={"text": "ä", "list": [1, {"a": 0}]})) == (Broken.DIGEST, 2)
    assert broken(changed(2, previous="0" * 64)) == (Broken.PREVIOUS, 3)
    assert broken(changed(2, sequence=7)) == (Broken.GAP, 7)
    assert broken(changed(2, sequence=3.0)) == (Broken.FORM, 3)
    assert broken(changed(3, organization_id="org_" + "9" * 26)) == (Broken.ORGANIZATION, 4)
    assert broken(changed(0, extra=1)) == (Broken.FORM, 1)
    assert broken(changed(0, digest=FIXED[0]["digest"].upper())) == (Broken.DIGEST, 1)
    assert broken(changed(0, salts={"tool": "00"})) == (Broken.FORM, 1)
    assert broken([FIXED[0], *closed(FIXED[2:])]) == (Broken.GAP, 3)
    assert broken([]) == (Broken.UNSIGNED_TAIL, 1)
    assert broken(FIXED) == (Broken.UNSIGNED_TAIL, 1)
    assert broken([*FIXED[:2], make_head(FIXED[1]), *FIXED[2:]]) == (Broken.UNSIGNED_TAIL, 3)
    assert broken([*FIXED[:2], make_head(FIXED[3])]) == (Broken.TAIL, 3)
    assert broken([*FIXED, {**make_head(FIXED[3]), "digest": "0" * 64}]) == (Broken.HEAD_SIGNATURE, 4)
    assert broken([*FIXED, make_head(FIXED[3], STRANGER)]) == (Broken.HEAD_SIGNATURE, 4)
    assert broken([*FIXED, make_head({**FIXED[3], "digest": "0" * 64})]) == (Broken.HEAD_DIGEST, 4)
    assert broken([make_head({**FIXED[3], "digest": "0" * 64}), *FIXED]) == (Broken.HEAD_DIGEST, 4)
    assert broken([*FIXED, make_head(FIXED[1])]) == (Broken.GAP, 2)
    assert broken([*FIXED, {**make_head(FIXED[3]), "more": 1}]) == (Broken.FORM, 4)
    assert broken([*FIXED, {**make_head(FIXED[3]), "sequence": "4"}]) == (Broken.FORM, 4)


def test_what_held_before_the_break_is_said() -> None:
    lines = [*FIXED[:2], make_head(FIXED[1]), {**FIXED[2], "reason": "another"}, FIXED[3], make_head(FIXED[3])]
    report = audit.verify(lines, PUBLIC)
    assert (report.events, report.holds_to) == (2, 2)


def test_a_name_and_a_value_cannot_be_divided_anew() -> None:
    lines = make_chain([{"a": 12}])
    lines[0]["payload"] = {"a1": 2}
    lines[0]["salts"] = {"a1": lines[0]["salts"]["a"]}
    assert broken(closed(lines)) == (Broken.FORM, 1)


def test_a_part_of_a_chain_holds_from_its_start_alone() -> None:
    part = closed(FIXED[2:])
    assert audit.verify(part, PUBLIC, start=(2, FIXED[1]["digest"])).ok
    assert broken(part, start=(2, FIXED[0]["digest"])) == (Broken.PREVIOUS, 3)
    assert broken(part) == (Broken.GAP, 3)


def test_without_a_key_the_report_says_that_nobody_was_checked() -> None:
    report = audit.verify([*FIXED, make_head(FIXED[3], STRANGER)])
    assert report.ok
    assert not report.signatures_checked


@pytest.mark.parametrize("line", [None, 7, "text", [1], {}, {"sequence": True}, {"signature": 1}])
def test_any_json_is_a_verdict_and_never_a_crash(line: object) -> None:
    assert broken([line])[0] is Broken.FORM  # type: ignore[list-item]  # hostile lines are the point


@given(st.lists(st.binary(max_size=40).map(lambda raw: raw + b"\n"), max_size=3))
def test_any_bytes_are_a_verdict_and_never_a_crash(lines: list[bytes]) -> None:
    assert not audit.verify_file(lines, PUBLIC).ok


def test_the_digest_is_fixed_for_ever() -> None:
    """Computed once by hand from the page; a change here breaks every chain in the field."""
    event = make_event(1, audit.GENESIS.hex(), {"tool": "shell"})
    header = (
        b'{"actor":{"id":"usr_22222222222222222222222222","kind":"user"},"at":"2026-01-02T03:04:01.000Z",'
        b'"organization_id":"org_00000000000000000000000000","reason":null,"sequence":1,'
        b'"session_id":"ses_11111111111111111111111111","type":"prompt_accepted"}'
    )
    field = sha256(bytes.fromhex(event["salts"]["tool"]) + b"tool" + b'"shell"').digest()
    assert event["digest"] == sha256(bytes(32) + header + field).hexdigest()
