"""Planted defects: what must be found when a rule of the product is broken on purpose.

Each is a patch of the product's own functions, planted in a process of its own. It is found when a story breaks an
invariant within the stated number of seeds. `python -m tests.simulation --defects` prints each with the seed and the
invariant that found it, and fails if one is not found. Defects below the seams of the simulation (the operating system,
the socket, the shape of a frame) are named with the test that finds them.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from msgspec.structs import replace as changed

from caisey.control import inbound, output, sweeper, views
from caisey.control import sessions as shell
from caisey.control.journals import Journals
from caisey.control.news import News
from caisey.control.projection import Projection
from caisey.core import attempt as core_attempt
from caisey.core import commands, effects, events, recovery, tool_call
from caisey.core import verdict as verdicts
from caisey.core.decide import deadlines, receipts, sending, settle
from caisey.core.states import AttemptState, Effect, Kind, Ran
from caisey.protocol.codec import encode
from caisey.protocol.frames import Acknowledged, Confirm
from caisey.runtime import agent, executor, judge, outbox, records
from caisey.runtime.database import Database
from caisey.runtime.journal import Journal, Outcome
from caisey.runtime.judge import Close, Repeat, State, Take
from caisey.runtime.records import AttemptRecord, Key
from tests.simulation.regressions import REGRESSIONS
from tests.simulation.runs import run
from tests.simulation.story import Event, Story, story


class Defect(NamedTuple):
    """`plant` breaks the product in this process; it is found within `seeds`."""

    name: str
    plant: Callable[[], None]
    seeds: int = 200


def _around(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put `make(original)` in the place of a function."""
    setattr(owner, name, make(getattr(owner, name)))


def _everywhere(original: Any, new: Any) -> None:
    """Also where it was imported by name."""
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("caisey."):
            for name, value in list(vars(module).items()):
                if value is original:
                    setattr(module, name, new)


def _instead(original: Any, new: Callable[..., Any]) -> None:
    _everywhere(original, new)


# -- the journal -------------------------------------------------------------------------------------------------------


def acknowledge_before_journal() -> None:
    def make(take: Any) -> Any:
        async def wrong(self: Any, dispatch: Any) -> Any:
            sequence = self._writer.sequence + 1
            self._attempts.post(Acknowledged(attempt=dispatch.attempt, journal_sequence=sequence))
            await self._writer.drain()
            return await take(self, dispatch)

        return wrong

    _around(executor.Executor, "take", make)


def _unwritten(why: judge.Why) -> Callable[[], None]:
    def plant() -> None:
        def make(write: Any) -> Any:
            def wrong(self: Any, call_id: str, row: Any, asked: Any, judgement: Any, *hint: Any) -> Any:
                if isinstance(judgement, Close) and judgement.why is why:
                    record = AttemptRecord(
                        tool_call_id=call_id, number=asked.number, consent=asked.consent, state=State.CLOSED,
                        sequence=self._database.next_sequence(), why=why, code=judgement.code,
                    )  # fmt: skip
                    return Outcome(Key(call_id, asked.number), judgement, record)
                return write(self, call_id, row, asked, judgement, *hint)

            return wrong

        _around(Journal, "_write", make)

    return plant


def _judging(change: Callable[[Any, Any, bool, Any], Any]) -> Callable[[], None]:
    """`change(row, asked, alive, judge)` stands in for the table."""

    def plant() -> None:
        right = judge.judge
        judge.judge = lambda row, dispatch, alive: change(row, dispatch, alive, right)

    return plant


def _same_number_anew(row: Any, asked: Any, alive: bool, right: Any) -> Any:
    said = right(row, asked, alive)
    return Take() if isinstance(said, Repeat) else said


def dispatch_not_judged() -> None:
    _judging(lambda row, asked, alive, right: Take())()


def claim_not_atomic() -> None:
    def wrong(self: Any, key: Any, shelter: Any, around: Any) -> Any:
        record = self.record(key)
        spool = {"shim_pid": shelter.shim.pid, "shim_key": shelter.shim.key, "spool": shelter.spool}
        return changed(record, state=State.STARTED, started_sequence=record.sequence, **spool)

    Journal.claim = wrong  # type: ignore[method-assign]


def go_before_claim() -> None:
    from tests.simulation.machine import Held, SimLauncher

    def make(prepare: Any) -> Any:
        async def wrong(self: Any, order_in: Any) -> Any:
            held = await prepare(self, order_in)
            held._job.go()
            held.go = lambda watcher: Held.watch(held, watcher)
            return held

        return wrong

    _around(SimLauncher, "prepare", make)


def settled_row_forgotten() -> None:
    def make(confirm: Any) -> Any:
        def wrong(self: Any, key: Any, offsets: Any, *, settled: bool) -> Any:
            record = confirm(self, key, offsets, settled=settled)
            if record is not None and record.settled:
                for table in ("attempts", "consents", "tool_calls"):
                    self._database.execute(f"DELETE FROM {table} WHERE tool_call_id = ?", (key.tool_call_id,))  # noqa: S608
            return record

        return wrong

    _around(Journal, "confirm", make)


def end_record_not_looked_for() -> None:
    def make(look: Any) -> Any:
        def wrong(self: Any, record: Any) -> Any:
            if record.state is State.STARTED and not self._census.alive(record.shelter.shim):
                return self._ended(record, None)
            return look(self, record)

        return wrong

    _around(Journal, "_looked_at", make)


def gone_while_alive() -> None:
    Journal._child_lives = lambda self, record: False  # type: ignore[method-assign]


def journal_sequence_stands_still() -> None:
    Database.next_sequence = lambda self: 1  # type: ignore[method-assign]


def started_before_go() -> None:
    _everywhere(records.was_let_go, lambda record: record.started_sequence is not None)


# -- the runtime -------------------------------------------------------------------------------------------------------


def never_adopts() -> None:
    async def wrong(self: Any, key: Any) -> None:
        return None

    agent.Agent._adopt = wrong  # type: ignore[method-assign]


def gaps_not_sent() -> None:
    def make(output_of: Any) -> Any:
        def wrong(self: Any, entry: Any, said: Any) -> Any:
            frame = output_of(self, entry, said)
            while type(frame).__name__ == "Gap":
                frame = output_of(self, entry, said)
            return frame

        return wrong

    _around(outbox.Outbox, "_output", make)


def last_word_before_output() -> None:
    outbox.Outbox._output = lambda self, entry, said: None  # type: ignore[method-assign]


def cancel_not_carried_out() -> None:
    executor.Executor.cancel = lambda self, entry: None  # type: ignore[method-assign]


def waiting_lost_in_memory() -> None:
    def make(put: Any) -> Any:
        async def wrong(self: Any, dispatch: Any) -> Any:
            outcome = await put(self, dispatch)
            if outcome.asked.number > 1:
                self._waiting.pop(outcome.asked, None)
            return outcome

        return wrong

    _around(executor.Executor, "take", make)


# -- the core ----------------------------------------------------------------------------------------------------------


def time_out_proves_no() -> None:
    def make(silence: Any) -> Any:
        def wrong(f: Any) -> Any:
            verdict = silence(f)
            return verdict and changed(verdict, ran=Ran.NO)

        return wrong

    _around(verdicts, "_from_silence", make)


def any_end_is_yes() -> None:
    def wrong(execution: Any) -> Any:
        return None

    _everywhere(verdicts.judge_execution, wrong)


def promise_of_any_journal() -> None:
    receipts._trusted = lambda d, command, a, sequence: True


def policy_repeats_mutating() -> None:
    from caisey.core.recovery import Automatic

    recovery.TABLE[Kind.RUNTIME_DIED, Ran.UNCONFIRMED, Effect.MUTATING] = Automatic.RETRY


def moves_without_promise() -> None:
    def make(gate: Any) -> Any:
        return lambda call, consent: frozenset()

    _everywhere(tool_call.journals_owed, make(None))


def next_step_after_anything() -> None:
    def make(end: Any) -> Any:
        def wrong(d: Any, call_id: str, why: str) -> None:
            end(d, call_id, why)
            prompt = d.session.prompts[d.call(call_id).prompt_id]
            for call in d.session.calls_of(prompt):
                if str(call.state) == "pending":
                    settle.start_call(d, call.id, "next_step")
                    return

        return wrong

    _around(settle, "wait_for_person", make)


def owner_gone_ignored() -> None:
    receipts._owner_gone = lambda d, command, a: None


def lost_for_ever() -> None:
    deadlines._TICKS[AttemptState.LOST] = lambda d, a: None


def orphan_never_known() -> None:
    deadlines._TICKS[AttemptState.DISPATCHED] = lambda d, a: None


def hold_for_ever() -> None:
    deadlines._TICKS[AttemptState.HELD] = lambda d, a: None


def reconcile_window_at_once() -> None:
    def wrong(d: Any, a: Any, why: str, asleep: bool = False) -> None:
        d.emit(
            events.AttemptLost(
                tool_call_id=a.tool_call_id, number=a.number, why=why, due_at_ms=d.now + 1, asleep=asleep
            )
        )

    _everywhere(deadlines.lose, wrong)


def sends_to_anybody() -> None:
    sending._usable = lambda runtime: True


def settled_without_all_bytes() -> None:
    effects._complete = lambda a: True


def nothing_owed_on_connect() -> None:
    _everywhere(effects.owed_on_connect, lambda session, journal_id: [])


def statements_not_asked_for() -> None:
    from caisey.core import commands as c
    from caisey.core import decide

    decide._ROUTES[c.StatementsRead] = lambda d, command: None
    decide._ROUTES[c.Advance] = lambda d, command: sending.send_what_can(d, command.freed_runtime_id)


# -- the control plane's shell -----------------------------------------------------------------------------------------


def sent_before_commit() -> None:
    def make(when: Any) -> Any:
        def wrong(self: Any, slot: Any, committed: Any, handled: Any, found: Any) -> Any:
            if found:
                self._hub.run_effects(found)
            return when(self, slot, committed, handled, [])

        return wrong

    _around(shell.Sessions, "_when_committed", make)


def answered_before_commit() -> None:
    def make(when: Any) -> Any:
        def wrong(self: Any, slot: Any, committed: Any, handled: Any, found: Any) -> Any:
            done = when(self, slot, committed, handled, found)
            if not done.done():
                done.set_result(handled)
            return done

        return wrong

    _around(shell.Sessions, "_when_committed", make)


def failed_commit_remembered() -> None:
    shell.Sessions._forget_all = lambda self: None  # type: ignore[method-assign]
    shell.Sessions._forget = lambda self, session_id: None  # type: ignore[method-assign]


def news_lost_with_its_commit() -> None:
    News._keep = lambda self, session_id, told, *, first: None  # type: ignore[method-assign]


def list_forgets_the_clock() -> None:
    def make(project: Any) -> Any:
        def wrong(self: Any, organization_id: str, before: Any, after: Any, records: Any, *more: Any) -> Any:
            known = [r for r in records if not isinstance(r.event, events.ClockStepped)]
            return project(self, organization_id, before, after, known, *more)

        return wrong

    _around(Projection, "project", make)


def row_of_open_work_stays_late() -> None:
    Projection.nearer = lambda self, session, due_ms: []  # type: ignore[method-assign]


def confirmed_before_durable() -> None:
    def make(take: Any) -> Any:
        def wrong(self: Any, connection: Any, frame: Any) -> Any:
            reached = frame.offset + len(frame.data)
            connection.send(encode(Confirm(attempt=frame.attempt, offsets={frame.stream: reached}, settled=False)))
            return take(self, connection, frame)

        return wrong

    _around(inbound.Inbound, "_output", make)


def output_not_deduplicated() -> None:
    _everywhere(output.fresh, lambda piece, covered: iter([piece]))
    _everywhere(output.repeated, lambda piece, covered: iter([]))


def deadline_not_armed() -> None:
    sweeper.Sweeper.wake = lambda self, session_id, due_ms: None  # type: ignore[method-assign]


def deadlines_not_read_at_start() -> None:
    sweeper.Sweeper.start = lambda self, grace_until_ms: None  # type: ignore[method-assign]


def grace_missing() -> None:
    views.Views.grace_until_ms = lambda self, endpoint_id: 0  # type: ignore[method-assign]


def clock_step_ignored() -> None:
    sweeper.SteadyClock.pending_step_ms = lambda self: 0  # type: ignore[method-assign]


def step_moves_no_deadline() -> None:
    _around(core_attempt, "shifted", lambda right: lambda a, by_ms: a)


def step_back_leaves_deadlines() -> None:
    def wrong(self: Any) -> None:
        step = self._clock.pending_step_ms()
        if step:
            for session_id in list(self._due):
                self._submit(session_id, commands.StepClock(by_ms=step))
            self._clock.apply(step)

    sweeper.Sweeper._step = wrong  # type: ignore[method-assign]


def regression_unseen() -> None:
    Journals.went_back = lambda self, journal, challenge, sequence: False  # type: ignore[method-assign]
    receipts._trusted = lambda d, command, a, sequence: True


def settle_never_sent() -> None:
    def make(confirmation: Any) -> Any:
        def wrong(session: Any, tool_call_id: str, number: int) -> Any:
            found = confirmation(session, tool_call_id, number)
            return found and changed(found, settled=False)

        return wrong

    _everywhere(effects.confirmation, make(effects.confirmation))


def closed_bridge_untold() -> None:
    from caisey.core import commands as c
    from caisey.core import decide

    decide._ROUTES[c.BridgeClosed] = lambda d, command: None
    deadlines._TICKS[AttemptState.ACKNOWLEDGED] = lambda d, a: None
    deadlines._TICKS[AttemptState.STARTED] = lambda d, a: None


def finished_dropped() -> None:
    inbound.Inbound._finished = lambda self, connection, frame: None  # type: ignore[method-assign]


DEFECTS = (
    Defect("acknowledged before the journal was written", acknowledge_before_journal),
    Defect("promise not written: never_received", _unwritten(judge.Why.RECONCILE)),
    Defect("promise not written: refused", _unwritten(judge.Why.REFUSED)),
    Defect("promise not written: cancelled", _unwritten(judge.Why.CANCEL)),
    Defect("fence unchecked: every dispatch is taken", dispatch_not_judged),
    Defect("fence: the same number is taken anew", _judging(_same_number_anew)),
    Defect("claim not atomic", claim_not_atomic),
    Defect("go before the claim", go_before_claim),
    Defect("settled row forgotten", settled_row_forgotten),
    Defect("process_gone without a look for the end record", end_record_not_looked_for),
    Defect("process_gone while the command lives", gone_while_alive, 400),
    Defect("journal_sequence stands still", journal_sequence_stands_still),
    Defect("started is said on the claim alone", started_before_go, 400),
    Defect("a running command is never adopted", never_adopts),
    Defect("gaps are not sent", gaps_not_sent),
    Defect("the last word overtakes the output", last_word_before_output),
    Defect("a cancel is not carried out", cancel_not_carried_out),
    Defect("what was taken is lost in memory", waiting_lost_in_memory),
    Defect("a time-out proves no", time_out_proves_no),
    Defect("whatever ended it, it ran to its end", any_end_is_yes),
    Defect("any promise counts", promise_of_any_journal, 1000),
    Defect("policy repeats what may have changed something", policy_repeats_mutating),
    Defect("a call moves to another journal without a promise", moves_without_promise, 400),
    Defect("the next step follows whatever came before", next_step_after_anything),
    Defect("the owner of a received is gone, and nobody minds", owner_gone_ignored, 400),
    Defect("lost for ever", lost_for_ever),
    Defect("an orphan is never known", orphan_never_known),
    Defect("held for ever", hold_for_ever),
    Defect("lost is judged at once", reconcile_window_at_once),
    Defect("sent to anybody", sends_to_anybody),
    Defect("settled without all bytes", settled_without_all_bytes),
    Defect("nothing is said again on connect", nothing_owed_on_connect, 600),
    Defect("what statements do not name is not asked for", statements_not_asked_for),
    Defect("sent before commit", sent_before_commit),
    Defect("answered before commit", answered_before_commit),
    Defect("a failed commit is remembered", failed_commit_remembered),
    Defect("news is lost with its commit", news_lost_with_its_commit),
    Defect("a clock step does not reach the list", list_forgets_the_clock),
    Defect("a deadline that came nearer is not written", row_of_open_work_stays_late, 1000),
    Defect("confirmed before it is durable", confirmed_before_durable),
    Defect("dedup of output dropped", output_not_deduplicated),
    Defect("deadline not armed", deadline_not_armed),
    Defect("deadlines are not read at the start", deadlines_not_read_at_start),
    Defect("grace missing", grace_missing, 400),
    Defect("clock step ignored", clock_step_ignored),
    Defect("a clock step moves no deadline", step_moves_no_deadline),
    Defect("a step back leaves deadlines behind", step_back_leaves_deadlines, 400),
    Defect("a journal that went back is believed", regression_unseen, 1000),
    Defect("nothing is ever settled", settle_never_sent),
    Defect("silence is never noticed", closed_bridge_untold),
    Defect("finished is dropped", finished_dropped),
)

BY_TESTS = {
    # The control plane withdraws what nobody takes up, so no invariant breaks; the runtime's own table is wrong.
    "fence: a received whose owner is gone is never taken up": (
        "tests/runtime/test_judge.py::test_every_row_of_the_table"
    ),
    "a zombie counts as alive": "tests/runtime/test_crashes.py::test_a_zombie_counts_as_dead",
    "`found` leaks a value": "tests/protocol/test_shapes.py::test_no_document_raises_and_no_value_is_told",
    "fence: a closed number is taken": "tests/model/test_fence.py::test_each_rule_alone_is_missed[closed-number]",
    "fence: a consent that has started is taken": "tests/model/test_fence.py::test_each_far_rule_is_missed[consent]",
    "fence: a lower number is taken": "tests/model/test_fence.py::test_each_far_rule_is_missed[lower-number]",
    "fence: two processes of one call": "tests/model/test_fence.py::test_each_wider_rule_alone_is_missed[one-process]",
    "a late start does not reopen": "tests/model/test_fence.py::test_each_rule_alone_is_missed[late-start-reopens]",
    "one runtime runs twice": "tests/runtime/test_shared_journal.py::test_one_runtime_never_runs_twice",
}


ON_RECORD: dict[str, int] = {
    "acknowledged before the journal was written": 0,
    "promise not written: never_received": 3,
    "promise not written: refused": 2,
    "promise not written: cancelled": 69,
    "fence unchecked: every dispatch is taken": 20,
    "fence: the same number is taken anew": 81,
    "claim not atomic": 0,
    "go before the claim": 0,
    "settled row forgotten": 3,
    "process_gone without a look for the end record": 0,
    "process_gone while the command lives": 1,
    "journal_sequence stands still": 0,
    "started is said on the claim alone": 0,
    "a running command is never adopted": 9,
    "gaps are not sent": 37,
    "the last word overtakes the output": 1,
    "a cancel is not carried out": 90,
    "what was taken is lost in memory": 2,
    "a time-out proves no": 2,
    "whatever ended it, it ran to its end": 2,
    "policy repeats what may have changed something": 0,
    "the next step follows whatever came before": 1,
    "the owner of a received is gone, and nobody minds": 22,
    "lost for ever": 3,
    "an orphan is never known": 0,
    "held for ever": 0,
    "lost is judged at once": 0,
    "sent to anybody": 2,
    "settled without all bytes": 86,
    "what statements do not name is not asked for": 0,
    "sent before commit": 0,
    "answered before commit": 2,
    "a failed commit is remembered": 32,
    "a clock step does not reach the list": 10,
    "a deadline that came nearer is not written": 107,
    "confirmed before it is durable": 0,
    "dedup of output dropped": 52,
    "deadline not armed": 0,
    "grace missing": 3,
    "clock step ignored": 0,
    "a clock step moves no deadline": 1,
    "a step back leaves deadlines behind": 0,
    "nothing is ever settled": 0,
    "silence is never noticed": 15,
    "finished is dropped": 0,
}
"""The number of the seed that found each the last time: asked first."""


A_FEW = 40
"""So many stories are tried where the one on record does not show the defect any more."""

# The word that it was taken arrives, the word that it started does not; then the journal goes back to before both.
FORGOTTEN_START = Story(
    "told", False, "hold", 0.02, 0.004,
    (
        Event(2.0, "picture", (1,)),
        Event(3.0, "prompt", ("anna", 2, 0, "mutating 20000 10 1 0 0 0")),
        Event(3.054, "partition", (2, "up", 4.0)),
        Event(3.4, "cut", (2,)),
        Event(5.0, "set_back", (1,)),
    ),
)  # fmt: skip
STORIES: dict[str, Story] = {
    "any promise counts": FORGOTTEN_START,
    "a journal that went back is believed": FORGOTTEN_START,
    # It runs, and nobody hears of it; the other runtime of that computer has a journal of its own. It is judged
    # after the grace of a start, when the one that has it is known not to answer.
    "a call moves to another journal without a promise": Story(
        "told", False, "hold", 0.02, 0.004,
        (
            Event(0.99, "partition", (0, "up", 14.0)),
            Event(1.0, "prompt", ("anna", 0, 0, "mutating 40 10 1 0 0 0")),
            Event(1.5, "plane_crash", (0.2,)),
        ),
    ),
    # Stopped while nobody is connected; the command would go on for ever.
    "nothing is said again on connect": Story(
        "a stop that waits", False, "hold", 0.02, 0.004,
        (
            Event(1.0, "prompt", ("anna", 2, 0, "mutating 40 10 1 0 0 1")),
            Event(3.1, "cut", (2,)),
            Event(3.12, "act", ("anna", 0, 0)),
        ),
    ),
    "news is lost with its commit": REGRESSIONS[
        "a held call goes though the log failed just as its agent took work again"
    ],
    # The computer is off, and known to be, before the control plane restarts: nothing else makes it look at the hold.
    "deadlines are not read at the start": Story(
        "a hold that passes", False, "hold", 0.02, 0.004,
        (
            Event(0.3, "reboot", (0, 40.0)),
            Event(0.5, "plane_crash", (0.2,)),
            Event(13.2, "prompt", ("anna", 0, 0, "mutating 40 10 1 0 0 0")),
            Event(13.4, "act", ("anna", 0, 3)),
            Event(13.6, "plane_crash", (0.2,)),
        ),
    ),
}  # fmt: skip
"""For defects that chance shows too rarely."""


def find(index: int, quick: bool = False) -> tuple[str, int, Story, str]:
    """(name, stories needed, the last of them, what found it); 0 if nothing did. In a process of its own."""
    defect = DEFECTS[index]
    defect.plant()
    told = story("")
    for needed, told in enumerate(_asked(defect, quick), 1):
        broken = ""
        with suppress(AssertionError):
            broken = run(told).broken
        if broken:
            return defect.name, needed, told, broken.splitlines()[0][:110]
    return defect.name, 0, told, ""


def _asked(defect: Defect, quick: bool) -> Iterator[Story]:
    """Its own story first, then the seed on record, then others in order."""
    if defect.name in STORIES:
        yield STORIES[defect.name]
    places = [ON_RECORD[defect.name]] if defect.name in ON_RECORD else []
    yield from (story(f"d{place}") for place in [*places, *range(A_FEW if quick else defect.seeds)])


def found(only: str = "", jobs: int = 2, *, quick: bool = False) -> Iterator[tuple[str, int, str, str]]:
    """Plant every defect, or those with this text in their names; as `find` says it of each.

    A story that breaks without any defect shows nothing: it counts as not found.
    """
    chosen = [index for index, defect in enumerate(DEFECTS) if only in defect.name]
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=1) as pool:
        for name, needed, told, what in pool.imap(partial(find, quick=quick), chosen, chunksize=1):
            whole = pool.apply(run, (told,)).broken if needed else ""
            if whole:
                yield name, 0, told.seed, f"{told.seed} breaks without it: {whole.splitlines()[0][:110]}"
            else:
                yield name, needed, told.seed, what
