"""What every test has in common: how Hypothesis explores, and that a failure can be repeated.

Holds no fixtures of the product: those stand beside the tests that use them.
"""

from __future__ import annotations

import os
import random
import signal

import pytest
from hypothesis import HealthCheck, settings

# A machine that judges a change must judge it by the same cases twice; exploring is for the people who develop.
# Both print the blob that repeats a failure (`@reproduce_failure`), and neither mistakes a slow machine for a defect.
settings.register_profile("judge", deadline=None, print_blob=True, derandomize=True, database=None)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.register_profile(
    "long",
    deadline=None,
    print_blob=True,
    max_examples=5_000,
    suppress_health_check=[HealthCheck.too_slow],
)

_default = "judge" if os.environ.get("CI") else "explore"
settings.load_profile(os.environ.get("CAISEY_HYPOTHESIS_PROFILE", _default))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose Hypothesis's seed here, so that it is known, printed, and the same in every worker.

    And Ctrl-C means what it says: whoever runs the tests in the background has it ignored, and programs inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("hypothesis_seed", None) is None:
        config.option.hypothesis_seed = str(random.randrange(2**32))


def pytest_report_header(config: pytest.Config) -> str:
    """How to see the same cases again, at the head of a run."""
    if settings.default is not None and settings.default.derandomize:
        return "hypothesis: the same cases in every run; again: CI=1 .venv/bin/python -m pytest TEST"
    return f"hypothesis: again: .venv/bin/python -m pytest TEST --hypothesis-seed={config.option.hypothesis_seed}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    """And once more after what failed."""
    if exitstatus == pytest.ExitCode.TESTS_FAILED:
        terminalreporter.line(pytest_report_header(config))
