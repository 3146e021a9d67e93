"""The token that a page puts into its forms, so that another site cannot press them.

Owns its form. The token follows from the secret in the browser's cookie, which only our own pages can have read it
with: nothing is stored, and a new browser session has a new token. It is masked anew for each response, so that
compression cannot leak it piece by piece.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final

HEADER: Final = "x-csrf-token"
FIELD: Final = "csrf"
_BYTES: Final = 32
_TEXT_LENGTH: Final = len(base64.urlsafe_b64encode(bytes(2 * _BYTES)))


def token_for(secret: str) -> str:
    """A token for the holder of a cookie's secret; another text each time."""
    mask = secrets.token_bytes(_BYTES)
    return base64.urlsafe_b64encode(mask + _masked(mask, _expected(secret))).decode()


def fits(secret: str, token: str | None) -> bool:
    """Whether `token` was made for the holder of this secret."""
    if token is None or len(token) != _TEXT_LENGTH or not token.isascii():
        return False
    try:
        data = base64.b64decode(token, altchars=b"-_", validate=True)
    except binascii.Error:
        return False
    if len(data) != 2 * _BYTES:
        return False
    return hmac.compare_digest(_masked(data[:_BYTES], data[_BYTES:]), _expected(secret))


def _expected(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"caisey console form", hashlib.sha256)


def _masked(mask: bytes, data: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(mask, data, strict=True))
