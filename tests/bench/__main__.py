"""`make bench`: every figure of the budgets, or those named.

python -m tests.bench [FIGURE …]
"""

from __future__ import annotations

import asyncio
import sys

from tests.bench.figures import FIGURES


def main() -> int:
    """Measure the named figures, or all."""
    names = sys.argv[1:] or list(FIGURES)
    unknown = [n for n in names if n not in FIGURES]
    if unknown:
        sys.stderr.write(f"unknown: {', '.join(unknown)}; there are {', '.join(FIGURES)}\n")
        return 2
    for name in names:
        asyncio.run(FIGURES[name]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
