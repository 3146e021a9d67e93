"""Which modules hold figures, in the order of the page.

To add one: write `tests/bench/NAME.py` with functions under `@figure(...)` (see `figure.py`), and name it here.
"""

from __future__ import annotations

from tests.bench import console, console_lists, processes, prompts, sizes, stalls
from tests.bench.figure import Figure, found

MODULES = (prompts, sizes, stalls, processes, console, console_lists)
FIGURES: dict[str, Figure] = {
    figure.name: figure for module in MODULES for figure in found if figure.measure.__module__ == module.__name__
}

__all__ = ["FIGURES", "MODULES"]
