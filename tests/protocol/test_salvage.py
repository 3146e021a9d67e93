"""What is still read of a `finished` that did not fit: whole parts, or nothing."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from caisey.protocol.codec import decode_from_runtime, encode
from caisey.protocol.faults import FrameFault
from caisey.protocol.frames import Change
from caisey.protocol.salvage import Salvaged, salvage
from tests.protocol.examples import EXECUTION, FROM_RUNTIME

FINISHED = json.loads(encode(FROM_RUNTIME[9]))
NOTHING = Salvaged(None, None, msgspec.UNSET)


def salvaged(text: str) -> Salvaged:
    fault = decode_from_runtime(text)
    assert isinstance(fault, FrameFault)
    return salvage(fault)


def of(**changes: Any) -> Salvaged:
    return salvaged(json.dumps(FINISHED | changes))


def test_the_execution_is_read_beside_a_broken_result() -> None:
    parts = of(result={"x": 2**70})
    assert parts.execution == EXECUTION
    assert parts.changes == (Change(what="service cups", before="running", after="stopped"),)
    assert parts.result is msgspec.UNSET


def test_the_result_is_read_beside_a_broken_execution() -> None:
    parts = of(execution={"exit_code": "0"})
    assert parts.execution is None
    assert parts.result == FINISHED["result"]


def test_changes_are_read_whole_or_not_at_all() -> None:
    assert of(changes=[{"what": "a"}, {"what": 7}]).changes is None


def test_an_execution_with_numbers_out_of_range_is_not_read() -> None:
    assert of(execution=FINISHED["execution"] | {"x": 2**70}).execution is None


@pytest.mark.parametrize("text", ["", "[]", '{"type":"started"}', '{"type":"finished","type":"finished"}'])
def test_nothing_is_read_of_another_frame_or_of_no_json(text: str) -> None:
    assert salvaged(text) == NOTHING
