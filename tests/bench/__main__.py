"""`make bench`: every figure of the budgets, or those named, with its bars beside it.

    python -m tests.bench [FIGURE …] [--runs 3] [--quiet 60] [--json FILE] [--write]

A benchmark is no test: bars that are not met are printed, and the exit code is 0. It is 1 where a figure could not be
measured at all.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec
import uvloop

from tests.bench import page
from tests.bench.figure import Figure
from tests.bench.machine import wait_until_quiet
from tests.bench.registered import FIGURES
from tests.bench.results import Results, measure, run_line, table


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="make bench", description="Print the figures of the budgets.")
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"one of {', '.join(FIGURES)} (default: all)")
    parser.add_argument("--runs", type=int, default=1, help="of each figure; the best one counts")
    parser.add_argument("--quiet", type=float, default=0, metavar="S", help="wait so long for others, before each run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all runs there, as JSON")
    parser.add_argument("--write", action="store_true", help="keep the results and write docs/performance.md anew")
    parser.add_argument("--page", action="store_true", help="only write docs/performance.md from the kept results")
    return parser.parse_args()


def main() -> int:
    """Measure the named figures, or all."""
    asked = arguments()
    unknown = [name for name in asked.figures if name not in FIGURES]
    if unknown:
        sys.stderr.write(f"unknown: {', '.join(unknown)}; there are {', '.join(FIGURES)}\n")
        return 2
    if asked.page:
        page.write(Results.kept())
        return 0
    wanted: list[Figure] = [FIGURES[name] for name in asked.figures or FIGURES]
    found, failed = Results(), []
    for figure in wanted:
        sys.stdout.write(f"\n{figure.name}: {figure.title}\n")
        for _ in range(asked.runs):
            wait_until_quiet(asked.quiet)
            try:
                run = uvloop.run(measure(figure))
            except Exception as error:  # noqa: BLE001  # whatever it was, the next figure may still be measured
                failed.append(figure.name)
                words = str(error).strip().splitlines() or [""]
                sys.stdout.write(f"  could not be measured: {type(error).__name__}: {words[0]} … {words[-1]}\n")
                continue
            found.add(figure.name, run)
            sys.stdout.write(run_line(figure, run))
            sys.stdout.flush()
    sys.stdout.write("\n" + table(found))
    if asked.json:
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(found.as_document())))
    if asked.write:
        kept = Results.kept()
        kept.replace(found)
        kept.keep()
        page.write(Results.kept())  # as it is kept: rounded
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
