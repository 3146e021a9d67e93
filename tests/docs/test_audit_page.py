"""`docs/audit.md` and `docs/storage.md` name what the code has."""

from __future__ import annotations

import re

from caisey.core.audit import HEADER_FIELDS, Broken
from caisey.storage.sqlite import checkpoints, log
from tests.docs.pages import DOCS


def test_every_break_is_explained_once() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (DOCS / "audit.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [broken.value for broken in Broken]


def test_the_header_is_named_in_full() -> None:
    named = ", ".join(f"`{name}`" for name in HEADER_FIELDS)
    assert named in (DOCS / "audit.md").read_text(encoding="utf-8")


def test_the_bounds_are_the_bounds() -> None:
    page = (DOCS / "storage.md").read_text(encoding="utf-8")
    mib = 1024 * 1024
    assert f"{log.MAX_PENDING_UNITS:,} units and about {log.MAX_PENDING_BYTES // mib} MiB wait" in page
    assert f"At {checkpoints.RESTART_BYTES // mib} MiB the write-ahead log begins anew" in page
