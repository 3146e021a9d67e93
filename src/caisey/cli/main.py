"""The entry point of `caisey`.

Owns the way in, and one shortcut: an endpoint has the runtime's dependencies alone, so `caisey runtime` works there
without those of the command line, and `caisey runtime run` never loads them, because it stays for months.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

NEEDED = "typer"
_NOT_INSTALLED = 1


def main() -> None:
    """Run the program with the words of the command line, and end with its exit code."""
    words = sys.argv[1:]
    runs = words[:2] == ["runtime", "run"] and "--help" not in words
    if runs or (words[:1] == ["runtime"] and find_spec(NEEDED) is None):
        from caisey.runtime.__main__ import main as runtime

        sys.exit(runtime(words[1:]))
    if find_spec(NEEDED) is None:
        sys.stderr.write("Only `caisey runtime` is installed here. For the rest: pip install 'caisey[server]'\n")
        sys.exit(_NOT_INSTALLED)
    from caisey.cli.program import app
    from caisey.cli.terminal import prepare_streams

    prepare_streams()
    app(prog_name="caisey")


if __name__ == "__main__":
    main()
