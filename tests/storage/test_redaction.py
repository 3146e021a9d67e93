"""A field that was taken out leaves the chain whole, and says that it was there."""

from __future__ import annotations

import json
from pathlib import Path

from caisey.core import audit
from caisey.core.canonical import canonical
from tests.storage.logs import KEY, ONE, every_line, in_loop, sqlite_log
from tests.storage.logs import entry as entry_of

REDACT = "UPDATE events SET payload = ?, salts = ?, digests = ? WHERE organization_id = ? AND sequence = ?"


@in_loop
async def test_a_redacted_row_is_read_as_what_is_left(tmp_path: Path) -> None:
    async with sqlite_log(tmp_path / "data") as log:
        await log.append([entry_of(name="Ada", note="kept", z=1), entry_of()]).committed
        (event, _) = await log.read_organization(ONE)
        digest = audit.field_digest(bytes.fromhex(event.salts["name"]), "name", canonical("Ada"))
        left = {name: value for name, value in event.payload.items() if name != "name"}
        salts = b"".join(bytes.fromhex(event.salts[name]) for name in sorted(left))
        values = (json.dumps(left), salts, json.dumps({"name": digest.hex()}), ONE, 1)
        await log.append([], [(REDACT, values)]).committed
        lines = await every_line(log, ONE)
    assert lines[0]["payload"] == left
    assert lines[0]["digests"] == {"name": digest.hex()}
    assert "digests" not in lines[1]
    report = audit.verify(lines, KEY.public_key())
    assert report.ok
    assert report.redacted_fields == 1
