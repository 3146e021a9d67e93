"""Style sheets, scripts and icons, under addresses that name their content.

Owns what is served below `/static/`. One digest stands for all files together, so that a script finds its neighbours by
relative imports and a new version of any of them is a new address for all.
"""

from __future__ import annotations

import gzip
import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final, NamedTuple

PREFIX: Final = "/static/"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
}
_DIGEST_LENGTH: Final = 12


class StaticFile(NamedTuple):
    """One file, as it is and compressed."""

    body: bytes
    gzipped: bytes
    media_type: str
    tag: str


class StaticFiles:
    """All of them, read once."""

    def __init__(self) -> None:
        self._files = dict(sorted(_found(files("caisey.web").joinpath("static"), "")))
        whole = hashlib.sha256()
        for name, file in self._files.items():
            whole.update(f"{name}\0{file.tag}\0".encode())
        self.digest = whole.hexdigest()[:_DIGEST_LENGTH]

    def url(self, name: str) -> str:
        """The address of a file, good for ever. Raises KeyError for one that is not there."""
        if name not in self._files:
            raise KeyError(f"no static file {name}")
        return f"{PREFIX}{self.digest}/{name}"

    def find(self, path: str) -> tuple[StaticFile, bool] | None:
        """The file below `/static/` and whether its address names its content; None where there is none."""
        digest, _, name = path.partition("/")
        if digest == self.digest and name in self._files:
            return self._files[name], True
        # The address of another version: this one's content is the best there is, and must not be kept for it.
        if len(digest) == _DIGEST_LENGTH and name in self._files:
            return self._files[name], False
        found = self._files.get(path)
        return None if found is None else (found, False)

    @property
    def names(self) -> tuple[str, ...]:
        """What there is."""
        return tuple(self._files)


def _found(folder: Traversable, prefix: str) -> list[tuple[str, StaticFile]]:
    found: list[tuple[str, StaticFile]] = []
    for entry in folder.iterdir():
        name = f"{prefix}{entry.name}"
        if entry.is_dir():
            found += _found(entry, f"{name}/")
            continue
        media_type = _TYPES.get(name[name.rfind(".") :])
        if media_type is not None:
            body = entry.read_bytes()
            tag = hashlib.sha256(body).hexdigest()[:32]
            found.append((name, StaticFile(body, gzip.compress(body, 9, mtime=0), media_type, tag)))
    return found
