"""A runtime that reads the list of sign-ins from a folder of the test, which the operating system else keeps.

Run as `python -m tests.runtime.signed_in FOLDER run --state-dir DIR`. The form of the files is systemd's.
"""

from __future__ import annotations

import sys

from caisey.runtime.__main__ import main
from caisey.tools.builtin.linux import logins

if __name__ == "__main__":
    logins.SESSIONS, logins.LOGINS = sys.argv[1], "/nowhere"
    raise SystemExit(main(sys.argv[2:]))
