"""`make chaos`: break the real programs in every way that there is a scene for, and say what held.

python -m tests.chaos [--only NAME]... [--seed N] [--kills N] [--rate N]

One seed gives every scene its plan; what did not hold is run again alone with `--only NAME --seed N`.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time

from tests.chaos.scenes import SCENES, Size, run


def main() -> int:
    """Exit 1 if anything did not hold, or if nothing was tried."""
    given = _arguments()
    began = time.monotonic()
    reports = []
    for name in given.only or SCENES:
        size = SCENES[name].full
        if name == "kills":
            size = Size(given.kills or size.rounds, given.rate or size.rate)
        at = time.monotonic()
        report = run(name, given.seed, size)
        reports.append(report)
        print(report.text(), flush=True)
        print(f"  took    {time.monotonic() - at:.0f} s", flush=True)
        if report.broken:
            print(f"  repeat  python -m tests.chaos --only {name} --seed {given.seed}", flush=True)
    broken = sum(len(report.broken) for report in reports)
    held = sum(len(report.held) for report in reports)
    skipped = [report.name for report in reports if report.skipped is not None]
    print(
        f"seed {given.seed}: {len(reports) - len(skipped)} scenes, {held} things held, {broken} did not"
        + (f"; skipped: {', '.join(skipped)}" if skipped else "")
        + f"; {time.monotonic() - began:.0f} s"
    )
    return 1 if broken or not held else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", action="append", choices=list(SCENES), metavar="NAME", help=", ".join(SCENES))
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31))
    parser.add_argument("--kills", type=int, help="how many of the scene kills")
    parser.add_argument("--rate", type=float, help="prompts a second beside them")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
