"""Passwords: made into hashes and compared with them, away from the event loop and a few at a time.

Owns the parameters (argon2id as RFC 9106 recommends where memory is short) and what a password must be. Each hash takes
64 MiB for a moment, so at most two are made at once and few may wait. Must never keep or log a password.
"""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from caisey.core.errors import Fault

T = TypeVar("T")

AT_ONCE: Final = 2
MAY_WAIT: Final = 32
MIN_LENGTH: Final = 12
MAX_LENGTH: Final = 256
MIN_DISTINCT: Final = 5
_OBVIOUS: Final = ("caisey", "password", "passwort", "qwertz", "qwerty", "123456789", "letmein")


class Passwords:
    """See the module."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._workers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="passwords")
        self._taken = 0
        # What an unknown member's password is compared with, so that the answer takes as long.
        self._nobody: str | None = None

    async def hash(self, password: str) -> str:
        """What is stored of it. Raises `server.overloaded`."""
        return await self._away(self._hasher.hash, _spelled(password))

    async def verify(self, known: str | None, password: str) -> bool:
        """Whether it is the password of this hash; of None it never is, and takes as long. `server.overloaded`."""
        if len(password) > MAX_LENGTH:
            password = ""
        return await self._away(self._compare, known, _spelled(password))

    def is_outdated(self, known: str) -> bool:
        """Whether it was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(known)

    def close(self) -> None:
        """End the threads; what still waits is given up."""
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _compare(self, known: str | None, password: str) -> bool:
        if known is None:
            if self._nobody is None:
                self._nobody = self._hasher.hash(secrets.token_urlsafe(16))
            self._matches(self._nobody, password)
            return False
        return self._matches(known, password)

    def _matches(self, known: str, password: str) -> bool:
        try:
            return self._hasher.verify(known, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _away(self, work: Callable[..., T], *arguments: Any) -> T:
        if self._taken >= AT_ONCE + MAY_WAIT:
            raise Fault("server.overloaded")
        self._taken += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._workers, work, *arguments)
        finally:
            self._taken -= 1


def check(password: str, *, of: tuple[str, ...]) -> None:
    """Raises `password.too_weak` with the reason. `of`: what others know of the person (address, name)."""
    spelled = _spelled(password)
    if len(spelled) < MIN_LENGTH:
        raise Fault("password.too_weak", f"It has fewer than {MIN_LENGTH} characters.")
    if len(spelled) > MAX_LENGTH:
        raise Fault("password.too_weak", f"It has more than {MAX_LENGTH} characters.")
    if len(set(spelled)) < MIN_DISTINCT:
        raise Fault("password.too_weak", "It repeats the same few characters.")
    plain = spelled.casefold()
    for known in (*_OBVIOUS, *of):
        rest = plain.replace(known.casefold(), "") if known else plain
        if len(rest) < len(plain) and len(rest) < MIN_LENGTH // 2:
            raise Fault("password.too_weak", "It is little more than a word that others guess first.")


def _spelled(password: str) -> str:
    """The same characters typed on two keyboards are the same password."""
    return unicodedata.normalize("NFC", password)
