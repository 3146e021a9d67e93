"""Where the control plane is and which token to send: flags, environment, the CLI's own file.

Owns the file `cli.toml` and the rule that a token goes to no other address than the one it belongs to. Never takes a
secret from a flag, and never reads one from a file that others may read.

    default = "local"

    [profiles.local]
    url = "http://127.0.0.1:8440"
    token_file = "/var/lib/caisey/token"
"""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from caisey.cli.faults import NotAllowed, UsageFault

URL_VARIABLE = "CAISEY_URL"
TOKEN_VARIABLE = "CAISEY_TOKEN"  # noqa: S105  # the name of a variable, no secret
TOKEN_FILE_VARIABLE = "CAISEY_TOKEN_FILE"  # noqa: S105  # likewise
PROFILE_VARIABLE = "CAISEY_PROFILE"
CONFIG_VARIABLE = "CAISEY_CLI_CONFIG"

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOKEN_BYTES = 4096


@dataclass(frozen=True)
class Profile:
    """One control plane. `token_file` may be missing: then the token comes from the environment."""

    url: str
    token_file: Path | None = None


@dataclass(frozen=True)
class Profiles:
    """The whole file."""

    default: str | None = None
    profiles: Mapping[str, Profile] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """What a command talks to. `token` is a secret."""

    url: str
    token: str


def config_path(environ: Mapping[str, str]) -> Path:
    """`CAISEY_CLI_CONFIG`, else `cli.toml` below the user's configuration directory."""
    if path := environ.get(CONFIG_VARIABLE):
        return Path(path)
    below = environ.get("XDG_CONFIG_HOME")
    directory = Path(below) if below and Path(below).is_absolute() else Path.home() / ".config"
    return directory / "caisey" / "cli.toml"


def read(path: Path) -> Profiles:
    """The file's profiles; none where there is no file. UsageFault where it does not fit."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Profiles()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageFault(f"{path} cannot be read: {error}") from error
    profiles: dict[str, Profile] = {}
    table = document.get("profiles", {})
    for name, entry in table.items() if isinstance(table, dict) else ():
        url = entry.get("url") if isinstance(entry, dict) else None
        token_file = entry.get("token_file") if isinstance(entry, dict) else None
        if not isinstance(url, str) or not isinstance(token_file, str | None):
            raise UsageFault(f"{path}: profile {name} needs `url`, and may have `token_file`, both text")
        profiles[name] = Profile(url, (path.parent / token_file) if token_file else None)
    default = document.get("default")
    return Profiles(default if isinstance(default, str) else None, profiles)


def store(path: Path, name: str, profile: Profile, *, make_default: bool) -> None:
    """Add or replace one profile; the file is written anew as a whole, readable by its owner alone."""
    if not _NAME.fullmatch(name):
        raise UsageFault("A profile's name has letters, digits, - and _ only")
    known = read(path)
    everything = {**known.profiles, name: profile}
    lines = [f"default = {json.dumps(name if make_default or known.default is None else known.default)}"]
    for key in sorted(everything):
        lines += ["", f"[profiles.{json.dumps(key)}]", f"url = {json.dumps(everything[key].url)}"]
        if token_file := everything[key].token_file:
            lines.append(f"token_file = {json.dumps(str(token_file))}")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(path, "\n".join(lines) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_secret(path: Path) -> str:
    """The one secret in a file. UsageFault where others may read it, where there is none, or where it is too long."""
    try:
        mode = path.stat().st_mode
        if os.name == "posix" and stat.S_ISREG(mode) and mode & 0o077:
            raise UsageFault(f"Others may read the secret in {path}", hint=f"Close it: chmod 600 {path}")
        with path.open("rb") as file:
            data = file.read(_TOKEN_BYTES + 1)
    except OSError as error:
        raise UsageFault(f"{path} cannot be read: {error.strerror or error}") from error
    return _checked_secret(data, str(path))


def _checked_secret(data: bytes, where: str) -> str:
    secret = data.decode("ascii", "replace").strip()
    if not secret or len(data) > _TOKEN_BYTES or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise UsageFault(f"{where} does not hold one token")
    return secret


def normal_url(url: str) -> str:
    """The address without a slash at its end. UsageFault for anything but http and https with a host."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise UsageFault(f"{url!r} is not the address of a control plane", hint="Write it like https://caisey.example")
    return url.rstrip("/")


def is_loopback(url: str) -> bool:
    """Whether the address is this machine."""
    return (urlsplit(url).hostname or "") in LOOPBACK


def resolve(
    environ: Mapping[str, str],
    *,
    url: str | None = None,
    token_file: str | None = None,
    profile: str | None = None,
    insecure_http: bool = False,
) -> Target:
    """Flags before environment before file. A profile's token is sent to that profile's address only."""
    address, saved = _address(environ, url, profile)
    if address.startswith("http://") and not is_loopback(address) and not insecure_http:
        raise UsageFault(
            f"{address} is not encrypted: the token could be read on the way",
            hint="Use https://, or add --insecure-http where the way itself is safe.",
        )
    token = _token(environ, token_file, saved)
    if token is None:
        raise NotAllowed(
            f"No token for {address}",
            hint=f"Set {TOKEN_VARIABLE}, or name a file with --token-file; `caisey tokens create` makes one.",
        )
    return Target(address, token)


def _address(environ: Mapping[str, str], url: str | None, profile: str | None) -> tuple[str, Profile | None]:
    known = read(config_path(environ))
    name = profile or environ.get(PROFILE_VARIABLE)
    if name and name not in known.profiles:
        there = ", ".join(sorted(known.profiles)) or "none"
        raise UsageFault(f"There is no profile {name}", hint=f"Profiles in {config_path(environ)}: {there}")
    saved = known.profiles.get(name or known.default or "")
    # A flag outranks the environment: --profile is not overruled by CAISEY_URL.
    asked = url or (None if profile else environ.get(URL_VARIABLE))
    if asked:
        address = normal_url(asked)
        same = saved is not None and normal_url(saved.url) == address
        return address, saved if same else None
    if saved is None:
        raise UsageFault(
            "No control plane is named",
            hint=f"Set {URL_VARIABLE}, or --url; `caisey up` starts one on this machine and remembers it.",
        )
    return normal_url(saved.url), saved


def _token(environ: Mapping[str, str], token_file: str | None, saved: Profile | None) -> str | None:
    if token_file:
        return read_secret(Path(token_file))
    if token := environ.get(TOKEN_VARIABLE):
        return _checked_secret(token.encode("utf-8", "replace"), TOKEN_VARIABLE)
    if path := environ.get(TOKEN_FILE_VARIABLE):
        return read_secret(Path(path))
    if saved is not None and saved.token_file is not None:
        return read_secret(saved.token_file)
    return None
