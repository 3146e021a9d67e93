"""From which pages a request with a cookie may come.

Owns the names by which this control plane is known to browsers: that of its public URL, and those of loopback. A name
that is not known is refused before anything is looked at, so that a foreign name that is made to point here (DNS
rebinding) reads nothing. What may change something must also say that it comes from one of our own pages.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

_LOOPBACK_NAMES: Final = frozenset({"localhost"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
HOST_LENGTH: Final = 262


class Origins:
    """`public_url` is how people reach the console, where that is not a loopback address."""

    def __init__(self, public_url: str | None) -> None:
        parts = urlsplit(public_url) if public_url else None
        self._public_scheme = parts.scheme if parts else ""
        self._public = (parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]) if parts else None

    def knows(self, host: str | None) -> bool:
        """Whether `Host` names this control plane."""
        named = _split(host)
        return named is not None and (
            _is_loopback(named[0]) or (self._public is not None and named[0] == self._public[0])
        )

    def safe_for_secrets(self, scheme: str, host: str | None, origin: str | None = None) -> bool:
        """Whether what is typed cannot be read on the way: TLS, or this very machine.

        Where a proxy ends TLS the browser's own word counts: its `Origin`, or, before there is one, that the public
        URL says https.
        """
        named = _split(host)
        if scheme == "https" or (named is not None and _is_loopback(named[0])):
            return True
        if named is None or self._public is None or self._public_scheme != "https" or named[0] != self._public[0]:
            return False
        return origin is None or origin.startswith("https://")

    def is_own(self, scheme: str, host: str | None, origin: str | None, fetch_site: str | None) -> bool:
        """Whether a request that may change something comes from a page of this very origin.

        Browsers say `Origin` with every form and every write of a script. Where it is missing, only
        `Sec-Fetch-Site: same-origin` counts.
        """
        if fetch_site is not None and fetch_site != "same-origin":
            return False
        if origin is None:
            return fetch_site == "same-origin"
        named = _split(host, scheme)
        try:
            parts = urlsplit(origin)
            port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
        except ValueError:
            return False
        if named is None or port is None or parts.scheme not in _DEFAULT_PORTS:
            return False
        # Where people come over TLS, a page that came without it is not ours, whoever sent it.
        if parts.scheme == "http" and self._public_scheme == "https" and self._public and named[0] == self._public[0]:
            return False
        # Behind a proxy that ends TLS the scheme may differ from ours; the name and the port may not.
        if (parts.hostname or "") != named[0]:
            return False
        return port == named[1] or (parts.hostname or "", port) == self._public


def host_name(host: str | None) -> str | None:
    """The name in a `Host` header that passkeys may be bound to; None for an address, or nothing."""
    named = _split(host)
    if named is None:
        return None
    try:
        ipaddress.ip_address(named[0])
    except ValueError:
        return named[0]
    return None


def _split(host: str | None, scheme: str = "http") -> tuple[str, int] | None:
    """Name and port of a `Host` header."""
    if not host or len(host) > HOST_LENGTH or any(c in host for c in "/@?#\\ "):
        return None
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname, parts.port
    except ValueError:
        return None
    return (name, port or _DEFAULT_PORTS.get(scheme, 80)) if name else None


def _is_loopback(name: str) -> bool:
    if name in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
