"""What the console reaches besides the API: who is at the door, and from where requests may come.

Owns the list alone; `wiring` fills it in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caisey.control.browser_sessions import BrowserSessions
    from caisey.control.clock import Times
    from caisey.control.directory.store import Directory
    from caisey.control.origins import Origins
    from caisey.control.sign_in import SignIn


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleServices:
    """See the module."""

    clock: Times
    directory: Directory
    browsers: BrowserSessions
    origins: Origins
    sign_in: SignIn
