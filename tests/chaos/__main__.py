"""`make chaos`: break real processes, and say what held.

python -m tests.chaos [--kills 200] [--rate 20] [--seed N]
"""

from __future__ import annotations

import argparse
import secrets
import sys

from tests.chaos.kills import run


def main() -> int:
    """Exit 1 if anything did not hold."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31))
    given = parser.parse_args()
    report = run(given.seed, given.kills, given.rate)
    sys.stdout.write(report.text() + "\n")
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
