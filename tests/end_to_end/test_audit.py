"""API.md **Event**: the hash chain, verified here offline from the page alone; RECOVERY.md §9, 9."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from tests.end_to_end.client import Api, shell
from tests.end_to_end.fleet import Desk
from tests.end_to_end.server import Server
from tests.foreign.work import answers, in_turn, silent

HEADER = ("sequence", "at", "organization_id", "session_id", "type", "actor", "reason")


@pytest.fixture
def busy(desk: Desk) -> Desk:
    """Something happened: an answer, a stall, an action, policy."""
    desk.policy(max_automatic=1)
    desk.api.wait_verdict(desk.ask(script=in_turn(silent, answers())), ("answered", "yes"))
    desk.answered(shell("x", "mutating"))
    return desk


def export(api: Api) -> list[dict[str, Any]]:
    answer = api.send("GET", "/audit/export")
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines() if line]


def events_of(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if "previous" in line]


def head_of(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The signed head "{`sequence`, `digest`, `at`, `signature`}" that "ends each export"."""
    last = lines[-1]
    head = last.get("head", last)
    assert set(head) >= {"sequence", "digest", "at", "signature"}
    return dict(head)


def salts_of(event: dict[str, Any]) -> Iterator[tuple[bytes, str, bytes]]:
    for name, value in event["payload"].items():
        yield decoded(event["salts"][name]), name, rfc8785.dumps(value)


def decoded(salt: str) -> bytes:
    """16 bytes, in hex or base64."""
    try:
        found = bytes.fromhex(salt)
    except ValueError:
        found = base64.b64decode(salt + "=" * (-len(salt) % 4))
    assert len(found) == 16
    return found


def leaves(event: dict[str, Any]) -> list[bytes]:
    """The sorted list of SHA-256(salt, name, canonical value), "one per top-level payload field"."""
    return sorted(hashlib.sha256(salt + name.encode() + value).digest() for salt, name, value in salts_of(event))


def readings(event: dict[str, Any]) -> set[str]:
    """`digest` = SHA-256 over `previous`, the header fields, and the sorted leaves, in each plain reading of it."""
    header = {name: event[name] for name in HEADER}
    plain = leaves(event)
    texts = [leaf.hex() for leaf in plain]
    previous = event["previous"]
    shapes: list[Any] = [
        {**header, "previous": previous, "payload": texts},
        {**header, "previous": previous, "leaves": texts},
        {"previous": previous, "header": header, "payload": texts},
        {"previous": previous, "header": header, "leaves": texts},
        [previous, header, texts],
        [previous, [header[name] for name in HEADER], texts],
        [previous, *[header[name] for name in HEADER], texts],
    ]
    inputs = [rfc8785.dumps(shape) for shape in shapes]
    for before in (bytes.fromhex(previous or ""), (previous or "").encode()):
        inputs.append(before + rfc8785.dumps(header) + b"".join(plain))
        inputs.append(before + rfc8785.dumps(header) + rfc8785.dumps(texts))
        inputs.append(before + rfc8785.dumps(header) + "".join(texts).encode())
        inputs.append(before + b"\n" + rfc8785.dumps(header) + b"\n" + b"".join(plain))
        inputs.append(before + b"".join(rfc8785.dumps(header[name]) for name in HEADER) + b"".join(plain))
    return {hashlib.sha256(data).hexdigest() for data in inputs}


def test_the_chain_holds_from_the_first_event_to_the_last(busy: Desk) -> None:
    """§9, 9: "The audit chain verifies, offline, from the first event to the last"."""
    lines = export(busy.api)
    events = events_of(lines)
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    for former, event in pairwise(events):
        assert event["previous"] == former["digest"]
    assert head_of(lines)["sequence"] == events[-1]["sequence"]
    assert head_of(lines)["digest"] == events[-1]["digest"]


def test_every_digest_is_what_the_page_says(busy: Desk) -> None:
    """API.md: "`digest` = SHA-256 over `previous`, the header fields, and the sorted list of …"."""
    for event in events_of(export(busy.api)):
        assert set(event["salts"]) == set(event["payload"])
        assert event["digest"] in readings(event), event


def test_the_audit_lines_are_the_events(busy: Desk) -> None:
    """API.md: "**Event** (log, SSE, audit line: the same)"."""
    ours = [event for event in events_of(export(busy.api)) if event["session_id"] == busy.session_id]
    assert ours == busy.api.events(busy.session_id)
    page = busy.api.get("/audit", after=ours[0]["sequence"] - 1, limit=1)
    assert page["items"][0] == ours[0]


def verify(server: Server, lines: list[dict[str, Any]], path: Path, expect_good: bool) -> None:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    done = server.cli_raw("audit", "verify", str(path))
    assert (done.returncode == 0) is expect_good, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr


def test_the_command_line_verifies_it_offline(busy: Desk, server: Server, tmp_path: Path) -> None:
    """API.md: "`caisey audit verify FILE` checks it offline"; "verify says up to which head it holds"."""
    lines = export(busy.api)
    verify(server, lines, tmp_path / "good", True)


@pytest.mark.parametrize("what", ["payload", "actor", "reason", "dropped", "swapped", "head"])
def test_any_change_is_found(busy: Desk, server: Server, tmp_path: Path, what: str) -> None:
    """§9, 9, seen from the other side."""
    lines = export(busy.api)
    middle = len(lines) // 2
    victim = next(line for line in lines[middle:] if line.get("payload"))
    if what == "payload":
        name = next(iter(victim["payload"]))
        victim["payload"][name] = "something else"
    elif what == "actor":
        victim["actor"] = {"kind": "person", "id": "usr_someone_else"}
    elif what == "reason":
        victim["reason"] = "another reason"
    elif what == "dropped":
        lines.remove(victim)
    elif what == "swapped":
        lines[middle], lines[middle + 1] = lines[middle + 1], lines[middle]
    else:
        head = lines[-1].get("head", lines[-1])
        head["sequence"] += 1
    verify(server, lines, tmp_path / "bad", False)


def test_actions_of_people_are_there(busy: Desk) -> None:
    """RECOVERY §9, 6: "in the transcript, the audit log and any share made afterwards"."""
    kinds = {event["actor"]["kind"] for event in events_of(export(busy.api))}
    assert len(kinds) >= 2, "people and the control plane itself are told apart"


def test_the_export_holds_no_secret(busy: Desk, server: Server) -> None:
    """API.md: "only a hash is stored"."""
    text = busy.api.send("GET", "/audit/export").text
    assert "cst_" not in text
    assert "cse_" not in text
    assert server.token() not in server.log.read_text(errors="replace")
