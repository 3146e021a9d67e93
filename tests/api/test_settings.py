"""Settings: in rising order file, environment, flags; each one documented."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from caisey.settings import ServerSettings, SettingsError, load, variable_of

PAGE = Path(__file__).parents[2] / "docs" / "operating" / "settings.md"


def test_what_is_named_later_counts(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[server]\ndata_dir = "/from/file"\nlisten = "127.0.0.1:1"\nlog_level = "error"\n')
    environment = {"CAISEY_LISTEN": "127.0.0.1:2", "CAISEY_LOG_LEVEL": "warning", "CAISEY_CONFIG": str(file)}
    found = load(ServerSettings, flags={"log_level": "debug", "public_url": None}, environment=environment)
    assert found == ServerSettings(data_dir=Path("/from/file"), listen="127.0.0.1:2", log_level="debug")


def test_a_file_in_the_data_directory_is_found(tmp_path: Path) -> None:
    (tmp_path / "caisey.toml").write_text("[server]\nenrollments_per_minute = 7\n")
    for where in ({"flags": {"data_dir": tmp_path}}, {"environment": {"CAISEY_DATA_DIR": str(tmp_path)}}):
        settings = load(ServerSettings, **{"flags": {}, "environment": {}, **where})  # type: ignore[arg-type]
        assert settings.enrollments_per_minute == 7
        assert settings.data_dir == tmp_path


def test_lists_in_the_environment() -> None:
    environment = {"CAISEY_DATA_DIR": "x", "CAISEY_TRUSTED_PROXIES": "10.0.0.1, 10.0.0.2"}
    assert load(ServerSettings, flags={}, environment=environment).trusted_proxies == ("10.0.0.1", "10.0.0.2")


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"listen": "8700"}, "listen"),
        ({"listen": "host:70000"}, "listen"),
        ({"public_url": "ftp://x"}, "public_url"),
        ({"public_url": "https://x/?a=b"}, "public_url"),
        ({"tls_key": "/k"}, "tls_certificate"),
        ({"log_level": "loud"}, "log_level"),
        ({"enrollments_per_minute": 0}, "enrollments_per_minute"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_what_does_not_fit_is_named(values: dict[str, Any], word: str) -> None:
    with pytest.raises(SettingsError, match=word):
        load(ServerSettings, flags={"data_dir": "x", **values}, environment={})


@pytest.mark.parametrize("text", ["[server", "server = 1", "[server]\ncolour = 1"])
def test_a_file_that_does_not_fit(tmp_path: Path, text: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    with pytest.raises(SettingsError):
        load(ServerSettings, flags={"data_dir": "x"}, environment={}, file=file)
    with pytest.raises(SettingsError):
        load(ServerSettings, flags={"data_dir": "x"}, environment={}, file=tmp_path / "absent.toml")


def test_a_setting_without_a_line_on_the_page_does_not_exist() -> None:
    rows = {
        cells[0].strip("`"): (cells[1].strip("`"), cells[2].strip("`"))
        for cells in (re.split(r"\s*\|\s*", line.strip("| \n")) for line in PAGE.read_text().splitlines())
        if len(cells) == 4 and cells[0].startswith("`")
    }
    fields = {field.name: field for field in msgspec.structs.fields(ServerSettings)}
    assert set(rows) == set(fields)
    for name, (variable, default) in rows.items():
        assert variable == variable_of(name)
        field = fields[name]
        if field.default not in (None, (), msgspec.NODEFAULT):
            assert default == str(field.default), name
