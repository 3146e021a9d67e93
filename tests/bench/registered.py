"""Which modules hold figures, in the order of the page.

To add one: write `tests/bench/NAME.py` with functions under `@figure(...)` (see `figure.py`), and name it here.
"""

from __future__ import annotations

from tests.bench import console, processes, prompts, sizes, stalls
from tests.bench.figure import FIGURES

MODULES = (prompts, sizes, stalls, processes, console)

__all__ = ["FIGURES", "MODULES"]
