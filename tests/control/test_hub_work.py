"""Frames become commands and effects become frames: a request from its dispatch to what the journal may forget."""

from __future__ import annotations

import pytest

from caisey.core.states import Kind
from tests.control.plane import Plane
from tests.foreign.runtime import Runtime
from tests.foreign.work import answers


@pytest.mark.parametrize("kind", ["websocket", "longpoll"])
def test_a_request_is_answered_and_settled(plane: Plane, runtime: Runtime, kind: str) -> None:
    runtime.script = answers(b"hello\n")
    runtime.connect(kind)
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    verdict = plane.ended(call).verdict
    assert verdict is not None
    assert verdict.kind is Kind.ANSWERED
    settled = runtime.saw("confirm", where=lambda seen: seen.about(call) and seen.frame["settled"])
    assert settled.frame["offsets"] == {"stdout": 6}
    stored = plane.rows("SELECT stream, offset, data FROM output WHERE tool_call_id = ?", call)
    assert stored == [("stdout", 0, b"hello\n")]
