"""The foreign runtime itself: it keeps the page where it should, and breaks it where a test tells it to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.foreign.loop import LoopThread
from tests.foreign.runtime import Runtime
from tests.foreign.stub import PollStub, WebSocketStub
from tests.foreign.wire import Frame, NotAFrameError, fresh_id, parse
from tests.foreign.work import Gate, Work, acknowledges_then_dies, answers, runs_until, silent, starts_then_dies


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.fixture
def stub(loop: LoopThread) -> Iterator[WebSocketStub]:
    stub = WebSocketStub(loop)
    yield stub
    stub.close()


@pytest.fixture
def runtime(loop: LoopThread, stub: WebSocketStub) -> Iterator[Runtime]:
    runtime = known(Runtime(loop, stub.url), stub)
    yield runtime
    runtime.die()


def known(runtime: Runtime, stub: WebSocketStub | PollStub) -> Runtime:
    runtime.runtime_id, runtime.trusted = fresh_id("rtm"), [stub.keys.public]
    stub.runtime_key = runtime.keys.public
    return runtime


def test_it_works_as_the_page_says(runtime: Runtime, stub: WebSocketStub) -> None:
    runtime.script = answers(b"hello\n", result={"a": 1})
    runtime.connect()
    stub.push(stub.dispatch())
    order = [stub.next(kind) for kind in ("acknowledged", "started", "output", "finished")]
    assert [frame["attempt"] for frame in order] == [{"tool_call_id": "tcl_1", "number": 1}] * 4
    assert order[0]["journal_sequence"] < order[1]["journal_sequence"] < order[3]["journal_sequence"]
    assert order[3]["execution"]["streams"]["stdout"]["bytes"] == 6
    assert order[3]["result"] == {"a": 1}
    assert runtime.recording.faults == []


def test_the_same_number_repeats_its_receipts_and_starts_nothing(runtime: Runtime, stub: WebSocketStub) -> None:
    runtime.connect()
    stub.push(stub.dispatch())
    first = stub.next("finished")
    stub.push(stub.dispatch())
    assert stub.next("acknowledged")
    assert stub.next("finished") == first
    assert len(runtime.works) == 1


def test_a_second_number_of_a_started_consent_is_answered_with_what_ran(runtime: Runtime, stub: WebSocketStub) -> None:
    runtime.connect()
    stub.push(stub.dispatch())
    stub.next("finished")
    stub.push(stub.dispatch(2))
    said = stub.next("statement")
    assert (said["attempt"]["number"], said["state"]) == (1, "finished")
    assert said["answers"] == {"tool_call_id": "tcl_1", "number": 2}
    stub.push(stub.dispatch(3, consent=2))
    assert stub.next("acknowledged")["attempt"]["number"] == 3


def test_a_promise_is_kept(runtime: Runtime, stub: WebSocketStub) -> None:
    runtime.script = silent
    runtime.connect()
    stub.push(stub.dispatch())
    stub.push({"type": "reconcile", "attempts": [{"tool_call_id": "tcl_1", "number": 1, "consent": 1}]})
    assert stub.next("statement")["state"] == "never_received"
    stub.push(stub.dispatch())
    assert stub.next("statement")["state"] == "closed"
    assert not runtime.works or all(work.record is None for work, _ in runtime.works.values())


def test_changed_arguments_are_refused_or_answered_with_what_ran(runtime: Runtime, stub: WebSocketStub) -> None:
    runtime.connect()
    stub.push(stub.dispatch())
    stub.next("finished")
    stub.push(stub.dispatch(2, arguments={"command": "false"}))
    assert stub.next("problem")["code"] == "dispatch.changed"
    assert stub.next("statement")["attempt"]["number"] == 1
    stub.push(stub.dispatch(3, consent=2, arguments={"command": "false"}))
    assert stub.next("refused")["code"] == "dispatch.changed"


def test_a_process_that_died_unseen_is_process_gone(runtime: Runtime, stub: WebSocketStub) -> None:
    runtime.script = starts_then_dies
    runtime.connect()
    stub.push(stub.dispatch())
    stub.next("started")
    runtime.is_dead()
    runtime.restart()
    assert [s["state"] for s in stub.hello["statements"]] == ["process_gone"]
    assert stub.hello["start_number"] == 2


def test_a_received_whose_owner_is_gone_is_taken_up_again_only_when_told(runtime: Runtime, stub: WebSocketStub) -> None:
    runtime.script = acknowledges_then_dies
    runtime.connect()
    stub.push(stub.dispatch())
    stub.next("acknowledged")
    runtime.is_dead()
    runtime.script = answers()
    runtime.restart()
    assert [s["state"] for s in stub.hello["statements"]] == ["received"]
    assert not runtime.works
    stub.push(stub.dispatch())
    assert stub.next("finished")["attempt"]["number"] == 1


def test_output_is_sent_again_from_the_confirmed_offset(runtime: Runtime, stub: WebSocketStub) -> None:
    gate = Gate()
    runtime.script = runs_until(gate, stdout=b"0123456789")
    runtime.connect()
    stub.push(stub.dispatch())
    stub.next("output")
    about: Frame = {"tool_call_id": "tcl_1", "number": 1}
    stub.push({"type": "confirm", "attempt": about, "offsets": {"stdout": 4}, "settled": False})
    runtime.saw("confirm")
    runtime.drop_links()
    assert stub.next("output")["offset"] == 4
    gate.open()
    assert stub.next("finished")


def test_cancel_ends_the_command(runtime: Runtime, stub: WebSocketStub) -> None:
    runtime.script = runs_until(Gate())
    runtime.connect()
    stub.push(stub.dispatch())
    stub.next("output")
    about: Frame = {"tool_call_id": "tcl_1", "number": 1}
    stub.push(stub.address({"type": "cancel", "attempt": about, "consent": 1}))
    assert stub.next("finished")["execution"]["ended_by"] == "cancel"


def test_it_catches_a_false_signature_and_a_wrong_address(runtime: Runtime, stub: WebSocketStub) -> None:
    runtime.connect()
    stub.push({**stub.dispatch(), "consent": 7})
    assert stub.next("problem")["code"] == "dispatch.signature"
    stub.push(stub.keys.sign({**stub.dispatch(), "incarnation": "another"}))
    assert stub.next("problem")["code"] == "dispatch.misaddressed"
    assert len(runtime.recording.faults) == 2
    assert runtime.journal.rows == {}


def test_manners_bend_what_leaves(runtime: Runtime, stub: WebSocketStub) -> None:
    def twice(frame: Frame) -> list[Frame | str | bytes]:
        return [frame, frame] if frame["type"] == "finished" else [frame]

    runtime.manners.outgoing = twice
    runtime.connect()
    stub.push(stub.dispatch())
    assert stub.next("finished") == stub.next("finished")


def test_a_journal_set_back_forgets(runtime: Runtime, stub: WebSocketStub) -> None:
    runtime.connect()
    before = runtime.journal.snapshot()
    stub.push(stub.dispatch())
    stub.next("finished")
    runtime.journal.set_back(before)
    runtime.restart()
    assert stub.hello["journal_sequence"] == 0
    assert stub.hello["statements"] == []


def test_scripts_may_say_anything(runtime: Runtime, stub: WebSocketStub) -> None:
    async def liar(work: Work) -> None:
        await work.send({"type": "finished", "attempt": "nonsense"})

    runtime.script = liar
    runtime.connect()
    stub.push(stub.dispatch())
    assert stub.next("finished")["attempt"] == "nonsense"


def test_long_polling_works_and_survives_a_lost_answer(loop: LoopThread) -> None:
    stub = PollStub()
    runtime = Runtime(loop, stub.url)
    try:
        assert runtime.enroll(stub.token)["organization"] == "default"
        runtime.connect("longpoll")
        stub.push(stub.dispatch())
        assert stub.next("finished")
        assert stub.next("heartbeat")
        assert runtime.recording.faults == []
    finally:
        runtime.die()
        stub.close()


def test_a_frame_with_a_key_twice_is_no_frame() -> None:
    with pytest.raises(NotAFrameError):
        parse('{"type":"ping","id":"1","id":"2"}')
