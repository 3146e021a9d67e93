"""Logs: what they must not say, whichever way they are written."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys
import structlog
from caisey.control import logs
logs.set_up("info", sys.argv[1])
def sign_in(password):
    raise RuntimeError("a defect")
try:
    sign_in("hunter2 hunter2")
except RuntimeError as error:
    structlog.get_logger("x").error("http.defect", exc_info=error)
    logging.getLogger("library").exception("also here")
"""


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_traceback_shows_no_values(form: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, form], capture_output=True, text=True, check=True)
    assert done.stderr.count("RuntimeError: a defect") >= 2
    assert "in sign_in" in done.stderr
    assert "hunter2 hunter2" not in done.stderr.replace('sign_in("hunter2 hunter2")', "")
    assert done.stdout == ""
