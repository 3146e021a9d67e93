"""`file_read` and `file_write`, carried out for real."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from caisey.protocol import limits
from caisey.tools.builtin import file_write
from caisey.tools.builtin.report import Order, ToolError
from tests.tools.carrying_out import code_of, outcome_of, result_of


def read(path: Path, **arguments: Any) -> Any:
    return result_of("file_read", {"path": str(path), **arguments})


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


EINS = sha256(b"eins\n")


@pytest.fixture
def undo(tmp_path: Path) -> str:
    return str(tmp_path / "undo")


# ---------------------------------------------------------------------------------------------------------------------
# Reading
# ---------------------------------------------------------------------------------------------------------------------


def test_a_text_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("grüß\tgott\n\x1b[1m", encoding="utf-8")
    result = read(path)
    assert result["text"] == "grüß\tgott\n\x1b[1m"
    assert (result["encoding"], result["bytes"], result["truncated"]) == ("utf-8", path.stat().st_size, False)
    assert result["sha256"] == sha256(path.read_bytes())


def test_other_encodings(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes("wörter".encode("utf-16"))
    assert (read(path)["encoding"], read(path)["text"]) == ("utf-16", "wörter")
    path.write_bytes(b"\xef\xbb\xbfword")
    assert (read(path)["encoding"], read(path)["text"]) == ("utf-8", "word")
    for binary in (b"\x00\x01", b"caf\xe9", b"\x7fELF\x02", b"a\x01b"):
        path.write_bytes(binary)
        result = read(path)
        assert (result["encoding"], base64.b64decode(result["data"])) == ("base64", binary)


def test_parts(tmp_path: Path) -> None:
    path = tmp_path / "a"
    content = "äöü" * 10
    path.write_text(content, encoding="utf-8")
    head = read(path, length=3)
    assert (head["text"], head["truncated"], head["bytes"]) == ("ä", True, 60)
    tail = read(path, offset=-3)
    assert (tail["text"], tail["offset"], tail["truncated"]) == ("ü", 58, True)
    assert read(path, offset=-1000)["text"] == content
    beyond = read(path, offset=1000)
    assert (beyond["text"], beyond["truncated"]) == ("", True)
    assert read(path, offset=2, length=2)["text"] == "ö"
    assert head["sha256"] == tail["sha256"] == sha256(path.read_bytes())


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    result = read(path)
    assert (result["text"], result["bytes"], result["truncated"]) == ("", 0, False)


def test_a_file_without_a_size_of_its_own_is_read() -> None:
    result = read(Path("/proc/self/status"))
    assert "Name:" in result["text"]
    assert result["bytes"] > 0


def test_text_that_json_makes_longer_is_cut_to_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text('"\n' * 131_072)
    result = read(path, length=262_144)
    assert len(json.dumps(result)) <= limits.RESULT_BYTES
    assert result["truncated"]
    assert result["bytes"] == 262_144


def test_what_cannot_be_read_has_a_code(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert code_of("file_read", {"path": str(tmp_path / "nothing")}) == "tool.not_found"
    assert code_of("file_read", {"path": str(tmp_path)}) == "tool.not_a_file"
    assert code_of("file_read", {"path": "/dev/zero"}) == "tool.not_a_file"
    assert code_of("file_read", {"path": str(fifo)}) == "tool.not_a_file"


def test_a_name_that_is_no_text_is_reported(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff"
    Path(os.fsdecode(path)).write_text("x")
    link = tmp_path / "link"
    link.symlink_to(os.fsdecode(path))
    assert read(link)["text"] == "x"
    written = outcome_of("file_write", {"path": str(link), "text": "y"}, undo_dir=str(tmp_path / "undo"))
    assert written.error is None
    assert Path(os.fsdecode(path)).read_text() == "y"


# ---------------------------------------------------------------------------------------------------------------------
# Writing
# ---------------------------------------------------------------------------------------------------------------------


def test_writing_and_putting_back(tmp_path: Path, undo: str) -> None:
    path = tmp_path / "a"

    def write(**arguments: Any) -> Any:
        return outcome_of("file_write", {"path": str(path), **arguments}, undo_dir=undo)

    first = write(text="eins\n")
    assert path.read_text() == "eins\n"
    assert first.result["former_sha256"] is None
    assert [(change.before, change.after) for change in first.changes] == [("absent", f"sha256:{EINS}")]
    second = write(data=base64.b64encode(b"\x00\xff").decode())
    assert path.read_bytes() == b"\x00\xff"
    assert second.result["former_sha256"] == first.result["sha256"]

    back = write(undo_id=second.result["undo_id"])
    assert path.read_text() == "eins\n"
    assert back.result["sha256"] == first.result["sha256"]
    again = write(undo_id=back.result["undo_id"])
    assert path.read_bytes() == b"\x00\xff"
    assert again.changes[0].before == f"sha256:{first.result['sha256']}"

    gone = write(undo_id=first.result["undo_id"])
    assert not path.exists()
    assert gone.result["sha256"] is None
    assert gone.changes[0].after == "absent"


def test_no_content_is_reported(tmp_path: Path, undo: str) -> None:
    path = tmp_path / "a"
    path.write_text("former secret")
    outcome = outcome_of("file_write", {"path": str(path), "text": "new secret"}, undo_dir=undo)
    assert "secret" not in str(outcome)


def test_writing_the_same_is_no_change(tmp_path: Path, undo: str) -> None:
    path = tmp_path / "a"
    path.write_text("x")
    assert outcome_of("file_write", {"path": str(path), "text": "x"}, undo_dir=undo).changes == ()


def test_permissions(tmp_path: Path, undo: str) -> None:
    path = tmp_path / "a"
    result_of("file_write", {"path": str(path), "text": "x", "mode": "0600"}, undo_dir=undo)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    result_of("file_write", {"path": str(path), "text": "y", "mode": "0600"}, undo_dir=undo)
    assert path.stat().st_mode & 0o777 == 0o640
    result_of("file_write", {"path": str(tmp_path / "b"), "text": "x"}, undo_dir=undo)
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o644


def test_what_is_kept_is_private(tmp_path: Path, undo: str) -> None:
    result_of("file_write", {"path": str(tmp_path / "a"), "text": "x"}, undo_dir=undo)
    assert Path(undo).stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in Path(undo).iterdir()] == [0o600]


def test_a_link_keeps_pointing(tmp_path: Path, undo: str) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("x")
    link.symlink_to(target)
    result_of("file_write", {"path": str(link), "text": "y"}, undo_dir=undo)
    assert link.is_symlink()
    assert target.read_text() == "y"


def test_a_file_that_is_not_the_expected_one_stays(tmp_path: Path, undo: str) -> None:
    path = tmp_path / "a"
    path.write_text("x")
    arguments = {"path": str(path), "text": "y", "former_sha256": sha256(b"other")}
    assert code_of("file_write", arguments, undo_dir=undo) == "tool.file_changed"
    assert path.read_text() == "x"
    result_of("file_write", arguments | {"former_sha256": sha256(b"x")}, undo_dir=undo)
    assert path.read_text() == "y"


def test_undoing_what_is_not_known(tmp_path: Path, undo: str) -> None:
    written = result_of("file_write", {"path": str(tmp_path / "a"), "text": "x"}, undo_dir=undo)
    other = {"path": str(tmp_path / "b"), "undo_id": written["undo_id"]}
    assert code_of("file_write", other, undo_dir=undo) == "tool.undo_unknown"
    assert code_of("file_write", other | {"undo_id": "0" * 32}, undo_dir=undo) == "tool.undo_unknown"
    assert not (tmp_path / "b").exists()


def test_places_where_nothing_can_be_written(tmp_path: Path, undo: str) -> None:
    assert code_of("file_write", {"path": str(tmp_path), "text": ""}, undo_dir=undo) == "tool.not_a_file"
    assert code_of("file_write", {"path": str(tmp_path / "no" / "a"), "text": ""}, undo_dir=undo) == "tool.not_found"
    assert code_of("file_write", {"path": str(tmp_path / "a"), "data": "a=="}, undo_dir=undo) == "tool.os_error"


def test_what_cannot_be_kept_is_not_overwritten(tmp_path: Path, undo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_write, "KEPT_BYTES", 3)
    path = tmp_path / "a"
    path.write_text("long")
    with pytest.raises(ToolError) as failure:
        file_write.run(Order("linux", {"path": str(path), "text": "y"}, undo))
    assert failure.value.code == "tool.file_too_large"
    assert path.read_text() == "long"


def test_a_failed_write_leaves_the_file_and_nothing_else(
    tmp_path: Path, undo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_text("x")
    replace = os.replace

    def fails_here(source: str, target: str) -> None:
        if target == str(path):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails_here)
    with pytest.raises(OSError, match="No space"):
        file_write.run(Order("linux", {"path": str(path), "text": "y"}, undo))
    assert path.read_text() == "x"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a", "undo"]


def test_copies_are_bounded(tmp_path: Path, undo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_write, "KEPT_COPIES", 3)
    orders = [Order("linux", {"path": str(tmp_path / "a"), "text": str(number)}, undo) for number in range(6)]
    last = [file_write.run(order) for order in orders][-1]
    assert len(list(Path(undo).iterdir())) == 3
    assert isinstance(last.result, dict)
    assert (Path(undo) / str(last.result["undo_id"])).exists()
    monkeypatch.setattr(file_write, "KEPT_TOTAL_BYTES", 1)
    file_write.run(orders[0])
    assert len(list(Path(undo).iterdir())) == 1
