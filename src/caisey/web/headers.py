"""The headers that protect who reads a page; on every reply of the console.

Owns the content security policy: nothing inline, nothing from elsewhere, in no frame. Pages cannot loosen it.
"""

from __future__ import annotations

from typing import Final

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "manifest-src 'self'",
    )
)

GUARDS: Final[tuple[tuple[str, str], ...]] = (
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    # Not `no-referrer`: a browser would send `Origin: null` with forms then, and the origin is what we check.
    ("referrer-policy", "same-origin"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)

NO_STORE: Final = ("cache-control", "no-store")
FOR_EVER: Final = ("cache-control", "public, max-age=31536000, immutable")
ASK_AGAIN: Final = ("cache-control", "no-cache")
