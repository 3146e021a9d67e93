"""What an honest runtime does with each frame of the control plane, unless its manners say otherwise."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tests.foreign.journal import Record
from tests.foreign.wire import Attempt, Frame, attempt_of, encode, signing_input
from tests.foreign.work import Work

if TYPE_CHECKING:
    from tests.foreign.link import Link
    from tests.foreign.runtime import Runtime


class Hearing:
    """Bound to one runtime; `hear` is its only door."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._doors: dict[str, Callable[[Link, Frame], Awaitable[None]]] = {
            "dispatch": self._dispatch,
            "cancel": self._cancel,
            "reconcile": self._reconcile,
            "confirm": self._confirm,
            "input": self._input,
            "ping": self._ping,
            "cadence": self._cadence,
            "keys": self._keys,
            "heartbeat_ack": self._nothing,
            "problem": self._nothing,
        }

    async def hear(self, link: Link, frame: Frame) -> None:
        fault = self._runtime.check_trust(frame)
        if fault is not None:
            if self._runtime.manners.problems:
                await link.send({"type": "problem", "code": fault, "about": frame.get("attempt")})
            return
        door = self._doors.get(frame["type"])
        if door is None:
            await link.send({"type": "problem", "code": "frame.unexpected", "about": None})
            return
        await door(link, frame)

    async def _nothing(self, link: Link, frame: Frame) -> None:
        """It is in the recording."""

    async def _dispatch(self, link: Link, frame: Frame) -> None:
        runtime, journal = self._runtime, self._runtime.journal
        attempt, consent = attempt_of(frame), frame["consent"]
        judgement = journal.judge(frame, runtime.incarnation) if runtime.manners.judge else "take"
        record = journal.record(attempt)
        runtime.recording.add("note", "judged", {"attempt": frame["attempt"], "as": judgement})
        if judgement == "take":
            runtime.work(Work(runtime, frame))
        elif judgement == "take_up_again" and record is not None:
            record.owner, record.sequence = runtime.owner, journal.write()
            runtime.work(Work(runtime, frame, record))
        elif judgement == "repeat" and record is not None:
            await self.repeat(record)
        elif judgement == "lower":
            await runtime.send(journal.statement(journal.note(attempt, consent, runtime.owner)))
        elif judgement == "closed":
            await runtime.send(journal.statement(journal.note(attempt, consent, runtime.owner, "closed")))
        elif judgement == "changed_refuse":
            await Work(runtime, frame).refuse("dispatch.changed")
        elif judgement == "changed_problem":
            await runtime.send({"type": "problem", "code": "dispatch.changed", "about": frame["attempt"]})
            await self._state_what_is(attempt, consent)
        else:
            await self._state_what_is(attempt, consent)

    async def _state_what_is(self, attempt: Attempt, consent: int) -> None:
        """Runs nothing: notes the number, states the attempt that ran or lives."""
        runtime, journal = self._runtime, self._runtime.journal
        row = journal.rows[attempt[0]]
        ran = journal.started(attempt[0], consent) or next((r for r in row.records.values() if r.alive), None)
        noted = journal.note(attempt, consent, runtime.owner)
        if ran is None or ran is noted:
            await runtime.send(journal.statement(noted))
        else:
            await runtime.send(journal.statement(ran, answers=attempt))

    async def repeat(self, record: Record) -> None:
        for receipt in list(record.receipts.values()):
            await self._runtime.send(receipt)

    async def _cancel(self, link: Link, frame: Frame) -> None:
        runtime, journal, manner = self._runtime, self._runtime.journal, self._runtime.manners.cancel
        if callable(manner):
            for said in manner(frame):
                await runtime.send(said)
        if manner is not True:
            return
        attempt, record = attempt_of(frame), journal.record(attempt_of(frame))
        if record is None or record.state in ("received", "closed", "superseded"):
            runtime.end_work(attempt)
            await runtime.send(journal.promise(attempt, frame["consent"], runtime.owner, "cancel"))
        elif record.state == "started" and record.alive:
            runtime.end_work(attempt)
            stopped = Work(runtime, {**frame, "arguments": {}}, record)
            await stopped.finish(exit_code=None, signal=15, ended_by="cancel")
        elif record.state == "finished":
            await self.repeat(record)
        else:
            await runtime.send(journal.statement(record))

    async def _reconcile(self, link: Link, frame: Frame) -> None:
        runtime, manner = self._runtime, self._runtime.manners.reconcile
        if callable(manner):
            for said in manner(frame):
                await runtime.send(said)
        if manner is not True:
            return
        for asked in frame["attempts"]:
            await self.state((asked["tool_call_id"], asked["number"]), asked["consent"])

    async def state(self, attempt: Attempt, consent: int) -> None:
        """The journal's word about one attempt; a closing record first, where that word is a promise."""
        runtime, journal = self._runtime, self._runtime.journal
        record = journal.record(attempt)
        if record is None:
            await runtime.send(journal.promise(attempt, consent, runtime.owner, "reconcile"))
            return
        await runtime.send(journal.statement(record))
        last = record.receipts.get("finished") or record.receipts.get("refused")
        if last is not None:
            await runtime.send(last)

    async def _confirm(self, link: Link, frame: Frame) -> None:
        self.take_confirmation(frame)

    def take_confirmation(self, frame: Frame) -> None:
        record = self._runtime.journal.record(attempt_of(frame))
        if record is None:
            return
        record.confirmed.update(frame.get("offsets") or {})
        record.settled = record.settled or frame.get("settled") is True

    async def _input(self, link: Link, frame: Frame) -> None:
        work = self._runtime.works.get(attempt_of(frame))
        if work is not None:
            work[0].inputs.put_nowait(frame)
        accepted = {"type": "input_accepted", "attempt": frame["attempt"], "sequence": frame["sequence"]}
        await self._runtime.send({**accepted, "journal_sequence": self._runtime.journal.sequence})

    async def _ping(self, link: Link, frame: Frame) -> None:
        manner = self._runtime.manners.pongs
        if manner == "none":
            return
        pong: Frame = {"type": "pong", "id": frame["id"]}
        if frame.get("nonce") is not None:
            signed = self._runtime.keys.sign({**pong, "nonce": frame["nonce"]})
            pong = signed if manner == "right" else {**signed, "signature": encode(signing_input(signed)[:64])}
        await link.send(pong)

    async def _cadence(self, link: Link, frame: Frame) -> None:
        link.set_interval(int(frame["heartbeat_interval_ms"]))

    async def _keys(self, link: Link, frame: Frame) -> None:
        self._runtime.trusted += [key["public_key"] for key in frame["keys"]]
