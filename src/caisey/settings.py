"""Settings: one frozen object per program, from file, environment and flags, in that rising order.

Owns names, defaults and bounds; `docs/operating/settings.md` has a line for each (a test holds the two together). A
secret is never a setting: secrets come from files or from the environment, and flags show in process lists.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

FILE_NAME: Final = "caisey.toml"
ENVIRONMENT_PREFIX: Final = "CAISEY_"
_LISTEN: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\[\]\s]+)):(?P<port>[0-9]{1,5})")
MAX_PORT: Final = 65_535


class SettingsError(Exception):
    """A setting does not fit; the text names it, where it stands and what it should be."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every settings object derives from this. `TABLE` is its table in the file."""

    TABLE = ""


class ServerSettings(Settings, frozen=True, kw_only=True):
    """`caisey serve`."""

    TABLE = "server"

    data_dir: Path
    listen: str = "127.0.0.1:8700"
    public_url: str | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: tuple[str, ...] = ()
    enrollments_per_minute: Annotated[int, Meta(ge=1, le=1_000_000)] = 20
    shutdown_grace_s: Annotated[float, Meta(ge=0, le=600)] = 10.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "text"] = "auto"

    def __post_init__(self) -> None:
        """What no type can say."""
        _ = self.address
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        if self.public_url is not None:
            parts = urlsplit(self.public_url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                raise ValueError("public_url is an http or https URL without query")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on; port 0 takes a free one."""
        match = _LISTEN.fullmatch(self.listen)
        if match is None or int(match["port"]) > MAX_PORT:
            raise ValueError("listen is HOST:PORT, or [IPV6]:PORT")
        return match["six"] or match["host"], int(match["port"])


S = TypeVar("S", bound=Settings)


def load(kind: type[S], *, flags: Mapping[str, Any], environment: Mapping[str, str], file: Path | None = None) -> S:
    """The settings object. `flags` holds what was given, None counts as not given.

    The file is `file`, else `$CAISEY_CONFIG`, else `caisey.toml` in the data directory where there is one. Raises
    `SettingsError`.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    named = _from_environment(kind, environment)
    chosen = file or _path(environment.get(f"{ENVIRONMENT_PREFIX}CONFIG"))
    data_dir = _path(given.get("data_dir") or named.get("data_dir"))
    if chosen is None and data_dir is not None and (data_dir / FILE_NAME).is_file():
        chosen = data_dir / FILE_NAME
    values = {**_from_file(kind, chosen), **named, **given}
    try:
        return msgspec.convert(values, kind, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise SettingsError(_words(error, chosen)) from error


def _path(text: Any) -> Path | None:
    return Path(text) if text else None


def _from_file(kind: type[Settings], path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error
    table = document.get(kind.TABLE, {})
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: [{kind.TABLE}] is no table")
    return table


def _from_environment(kind: type[Settings], environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in kind.__struct_fields__:
        text = environment.get(variable_of(name))
        if text:
            found[name] = [part.strip() for part in text.split(",")] if name in _LISTS else text
    return found


_LISTS: Final = frozenset({"trusted_proxies"})


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return f"{ENVIRONMENT_PREFIX}{name.upper()}"


def _decode(kind: type[Any], value: Any) -> Any:
    if kind is Path:
        return Path(value).expanduser()
    raise NotImplementedError(kind)


def _words(error: msgspec.ValidationError, path: Path | None) -> str:
    where = f" ({path}, environment or flags)" if path is not None else " (environment or flags)"
    return f"{error}{where}"
