"""A fresh clone installs what is pinned, from wherever its machine installs from, and nothing else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
WANTED = {
    "runtime": PROJECT["dependencies"],
    "server": PROJECT["dependencies"] + EXTRAS["server"],
    "dev": PROJECT["dependencies"] + EXTRAS["server"] + EXTRAS["dev"],
}
NAME = re.compile(r"[A-Za-z0-9._-]+")


def text_of(lock: str) -> str:
    return (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")


def normal(requirement: str) -> str:
    found = NAME.match(requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def pins(lock: str) -> dict[str, str]:
    lines = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text_of(lock), re.MULTILINE)
    return {normal(name): version for name, version in lines}


@pytest.mark.parametrize("lock", sorted(WANTED))
def test_everything_is_pinned_with_hashes(lock: str) -> None:
    assert {normal(requirement) for requirement in WANTED[lock]} <= pins(lock).keys()
    for block in re.split(r"\n(?=\S)", text_of(lock)):
        if block and not block.startswith("#"):
            assert re.match(r"[A-Za-z0-9._-]+==\S+", block), block.splitlines()[0]
            assert "--hash=sha256:" in block, block.splitlines()[0]


@pytest.mark.parametrize("lock", sorted(WANTED))
def test_no_host_and_no_path_is_named(lock: str) -> None:
    assert not re.search(r"://|^-|@ |file:/|/tmp|localhost", text_of(lock), re.MULTILINE)


def test_the_three_agree() -> None:
    everything = pins("dev")
    for lock in ("runtime", "server"):
        assert pins(lock).items() <= everything.items()


def test_a_runtime_installs_without_the_servers_dependencies() -> None:
    own = {normal(requirement) for requirement in EXTRAS["server"]}
    assert not own & pins("runtime").keys()


def test_every_target_of_the_makefile_says_what_it_does() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE))
