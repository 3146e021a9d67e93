"""Second factors: time-based one-time codes (RFC 6238), and the recovery codes for a lost device.

Owns both forms; pure, it reads no clock and draws no randomness but for new secrets. SHA-1, six digits and 30 seconds
are what every authenticator understands. Which step was used already is for the caller to know.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct
from typing import Final
from urllib.parse import quote

STEP_MS: Final = 30_000
DIGITS: Final = 6
WINDOW: Final = 1
"""Steps before and after: clocks differ, and people type slowly."""
SECRET_BYTES: Final = 20
ISSUER: Final = "Caisey"

RECOVERY_CODES: Final = 10
_RECOVERY_BYTES: Final = 10
_RECOVERY_GROUP: Final = 4


def new_secret() -> bytes:
    """160 random bits, as RFC 4226 wants."""
    return secrets.token_bytes(SECRET_BYTES)


def code_at(secret: bytes, step: int) -> str:
    """The code of a time step."""
    digest = hmac.digest(secret, struct.pack(">Q", step), hashlib.sha1)
    place = digest[-1] & 0x0F
    number = int.from_bytes(digest[place : place + 4]) & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}d}"


def step_of(secret: bytes, code: str, now_ms: int, *, after: int) -> int | None:
    """The step that `code` belongs to, if it is a present one and later than `after`; else None.

    Every step of the window is compared, in constant time each.
    """
    spelled = code.replace(" ", "")
    if len(spelled) != DIGITS or not (spelled.isascii() and spelled.isdecimal()):
        return None
    present = now_ms // STEP_MS
    found = None
    for step in range(max(present - WINDOW, 0), present + WINDOW + 1):
        if hmac.compare_digest(code_at(secret, step), spelled) and step > after and found is None:
            found = step
    return found


def spelled(secret: bytes) -> str:
    """The secret as one types it into an authenticator."""
    text = base64.b32encode(secret).decode()
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def address(secret: bytes, account: str) -> str:
    """What a QR code holds (`otpauth:`)."""
    key = base64.b32encode(secret).decode()
    return f"otpauth://totp/{ISSUER}:{quote(account, safe='@')}?secret={key}&issuer={ISSUER}"


def new_recovery_codes() -> tuple[str, ...]:
    """Codes of 80 bits, each good once."""
    return tuple(_recovery_code() for _ in range(RECOVERY_CODES))


def recovery_digest(code: str) -> str:
    """What is stored of a recovery code; 80 random bits need no salt."""
    plain = "".join(code.split()).replace("-", "").upper()
    return hashlib.sha256(plain.encode()).hexdigest()


def _recovery_code() -> str:
    text = base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode()
    return "-".join(text[at : at + _RECOVERY_GROUP] for at in range(0, len(text), _RECOVERY_GROUP))
