"""The data directory is private, and belongs to one process at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from caisey.storage.contract import DataDirectoryInUse, DataDirectoryUnsafe
from caisey.storage.data_directory import DataDirectory

HOLD = """
import sys
from pathlib import Path
from caisey.storage.data_directory import DataDirectory
with DataDirectory(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_it_is_made_private_whatever_the_umask(tmp_path: Path) -> None:
    former = os.umask(0)
    try:
        with DataDirectory(tmp_path / "data") as data:
            assert mode(data.database) == 0o600
            assert mode(tmp_path / "data") == 0o700
            assert mode(tmp_path / "data" / "lock") == 0o600
    finally:
        os.umask(former)


def test_a_second_process_is_told_who_has_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "data")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(DataDirectoryInUse, match=f"process {process.pid}") as raised:
            DataDirectory(tmp_path / "data")
        assert raised.value.pid == process.pid
        process.kill()
    DataDirectory(tmp_path / "data").close()


def test_it_can_be_had_again_after_it_was_closed(tmp_path: Path) -> None:
    first = DataDirectory(tmp_path / "data")
    with pytest.raises(DataDirectoryInUse):
        DataDirectory(tmp_path / "data")
    first.close()
    first.close()
    DataDirectory(tmp_path / "data").close()


@pytest.mark.parametrize("bits", [0o750, 0o701, 0o777])
def test_a_directory_that_others_can_use_is_refused(tmp_path: Path, bits: int) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(bits)
    with pytest.raises(DataDirectoryUnsafe, match="chmod 700"):
        DataDirectory(tmp_path / "data")


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    with DataDirectory(tmp_path / "data") as data:
        data.database.chmod(0o640)
        with pytest.raises(DataDirectoryUnsafe, match="chmod 600"):
            _ = data.database


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    with DataDirectory(tmp_path / "data") as data:
        (tmp_path / "data" / "caisey.db").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(DataDirectoryUnsafe, match="cannot be opened"):
            _ = data.database
    assert not (tmp_path / "elsewhere").exists()


def test_a_path_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")
    with pytest.raises(DataDirectoryUnsafe):
        DataDirectory(tmp_path / "data")
