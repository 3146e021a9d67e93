"""Which addresses a runtime may speak to (PROTOCOL.md §1): TLS only, except to this very computer.

Owns the one check. A person may say `--insecure-http`; nothing else lowers it.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit, urlunsplit


class InsecureAddressError(ValueError):
    """The URL would send secrets in the clear, or is none."""


def checked_url(url: str, *, insecure_http: bool = False) -> SplitResult:
    """The parts of a control plane's URL. Raises `InsecureAddressError`."""
    parts = urlsplit(url.rstrip("/"))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InsecureAddressError("the control plane's URL begins with https:// and names a host")
    if parts.query or parts.fragment or parts.username:
        raise InsecureAddressError("the control plane's URL holds no query, fragment or user")
    if parts.scheme == "http" and not insecure_http and not _is_loopback(parts.hostname):
        raise InsecureAddressError(
            "plain http is for this computer alone; use https, or --insecure-http at your own risk"
        )
    return parts


def http_url(url: str, path: str, *, insecure_http: bool = False) -> str:
    parts = checked_url(url, insecure_http=insecure_http)
    return urlunsplit((parts.scheme, parts.netloc, parts.path + path, "", ""))


def websocket_url(url: str, path: str, *, insecure_http: bool = False) -> str:
    parts = checked_url(url, insecure_http=insecure_http)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return urlunsplit((scheme, parts.netloc, parts.path + path, "", ""))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
