"""The browser that the journeys are driven with: Debian's Chromium, once for each worker.

Owns where it is found and how it is started. Where there is none, browser tests are skipped with a word; where a change
is judged (`CI` is set), a missing browser is a failure.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

PLACES = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--metrics-recording-only",
    "--force-color-profile=srgb",
)
DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}


def executable() -> Path | None:
    """Where the browser is; `CAISEY_CHROMIUM` names another one."""
    named = os.environ.get("CAISEY_CHROMIUM")
    for place in (named, *PLACES) if named else PLACES:
        if place and Path(place).is_file():
            return Path(place)
    found = shutil.which("chromium")
    return Path(found) if found else None


def is_demanded() -> bool:
    """Whether a missing browser is a failure."""
    return os.environ.get("CI", "") not in ("", "0", "false")
