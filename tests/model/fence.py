"""Every reachable state of one mutating call, over the real functions of both sides of the fence.

The control plane is the product's own `decide` and `evolve`; the journal is the product's own `judge`. Modelled around
them: three runtimes (R1 and R2 share journal J1, R3 has J2), their crashes, a network that loses, doubles, delays and
reorders everything (nothing sent is ever taken out), processes that end or are killed, and a person who may rerun once
and cancel once. Any deadline may pass at any time.

Properties, in every reachable state (RECOVERY.md §9: 1, 3, 5):
  starts    at most one start per consent
  false-no  no attempt is shown with ran = no that started
  overlap   never two live processes of the call in one journal
  exit      without further faults, a state is reachable where everything has ended and every journal had its last word

`RULES` switches rules of the real code off, one at a time, by wrapping the functions; each must be found.
"""

from __future__ import annotations

import contextlib
import random
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from caisey.core import commands as c
from caisey.core import events as e
from caisey.core.decide import deadlines, decide, receipts, sending, settle
from caisey.core.decide.draft import Draft
from caisey.core.errors import Fault
from caisey.core.policy import Policy
from caisey.core.session import Session, evolve
from caisey.core.states import AttemptState, CancelWhy, Effect, Health, Ran
from caisey.core.tool_call import ToolCall, proved
from caisey.core.view import EndpointView, RuntimeView
from caisey.runtime import judge as j

NOW = 1_700_000_000_000
LATER = NOW + 20 * 86_400_000
CALL = "tcl_1"
RUNTIMES = {"R1": "J1", "R2": "J1", "R3": "J2"}
POLICY = Policy(mutating_age_s=29 * 86_400.0, hold_expiry_s=10.0, sleep_expiry_s=10.0, max_automatic=4)
ANNA = e.Actor("user", "anna")
RANK = {"received": 1, "started": 2}  # every other word is a last one: 3


class Message(NamedTuple):
    """On its way to a runtime. Dispatches name an incarnation; cancels and questions go to a journal."""

    kind: str  # dispatch, cancel, withdraw, ask
    number: int
    consent: int
    to: str
    incarnation: int = 0


class Word(NamedTuple):
    """What a journal once said; may be heard at any time, any number of times."""

    journal: str
    number: int
    state: str
    answers: int = 0
    why: str = ""
    code: str = ""


class Runtime(NamedTuple):
    """A runtime's memory: what it is doing with which number."""

    incarnation: int = 0
    hand: frozenset[tuple[int, str]] = frozenset()  # (number, spawned or claimed)


class State(NamedTuple):
    """Everything. `records` maps number to (state, consent, owner) per journal; rows are made for `judge` from it."""

    session: Session
    rows: tuple[j.Row, j.Row]
    owners: tuple[tuple[tuple[int, str, int], ...], ...]  # per journal: (number, runtime, incarnation)
    processes: tuple[frozenset[int], frozenset[int]]
    runtimes: tuple[Runtime, Runtime, Runtime]
    net: frozenset[Message]
    words: frozenset[Word]
    starts: frozenset[tuple[int, int, str]]
    crashes: int
    reruns: int
    cancels: int


class Bounds(NamedTuple):
    """How far the search goes."""

    attempts: int = 2
    crashes: int = 1
    reruns: int = 0
    cancels: int = 0


Step = tuple[str, bool, State]


class Model:
    """See the module. `off` names a rule that is switched off."""

    def __init__(self, bounds: Bounds, off: str = "") -> None:
        self.bounds, self.off = bounds, off
        self.cut = False  # a step led beyond the bounds: what comes there is not looked at

    # -- start ---------------------------------------------------------------------------------------------------

    def start(self) -> State:
        row = j.Row(arguments_sha256="a")
        session = Session(id="ses", endpoint_id="ept")
        created = c.CreateSession(actor=ANNA, session_id="ses", client_group_id=None, title="", ticket=None)
        state = State(
            session,
            (row, row),
            ((), ()),
            (frozenset(), frozenset()),
            (Runtime(),) * 3,
            frozenset(),
            frozenset(),
            frozenset(),
            0,
            0,
            0,
        )
        state = self.decided(state, created, self.view(state, ()))
        spec = e.CallSpec(CALL, 1, "shell", 1, {"command": "x"}, Effect.MUTATING)
        return self.decided(
            state, c.AcceptPrompt(actor=ANNA, prompt_id="pmt", calls=(spec,)), self.view(state, ("R1",))
        )

    # -- the control plane: the real decide ----------------------------------------------------------------------

    def view(self, s: State, sendable: tuple[str, ...]) -> EndpointView:
        """Only the named runtimes may be sent to; all are connected and can be asked."""
        runtimes = tuple(
            RuntimeView(
                r,
                journal,
                str(s.runtimes[i].incarnation),
                "boot",
                ("websocket",),
                r in sendable,
                LATER,
                LATER,
                heartbeat_interval_ms=10**12,
            )
            for i, (r, journal) in enumerate(RUNTIMES.items())
        )
        return EndpointView("ept", POLICY, health=Health.HEALTHY, runtimes=runtimes)

    def decided(self, s: State, command: c.Command, view: EndpointView, now: int = NOW) -> State:
        try:
            records = decide(s.session, command, view, now)
        except Fault:
            return s
        return self.folded(s, records)

    def folded(self, s: State, records: list[e.Recorded]) -> State:
        session, net = s.session, set(s.net)
        for record in records:
            session = evolve(session, record)
            net |= self.sent(session, record.event)
        return s._replace(session=session, net=frozenset(net))

    @staticmethod
    def sent(session: Session, event: e.Event) -> set[Message]:
        """The frames that leave after the event is durable."""
        if isinstance(event, e.AttemptDispatched):
            return {Message("dispatch", event.number, event.consent, event.runtime_id, int(event.incarnation))}
        if isinstance(event, e.CancelRequested):
            a = session.calls[CALL].attempts[event.number - 1]
            kind = "cancel" if event.why is CancelWhy.CANCEL else "withdraw"
            return {Message(kind, a.number, a.consent, a.journal_id)} if a.journal_id else set()
        return set()

    # -- all that may happen -------------------------------------------------------------------------------------

    def steps(self, s: State) -> Iterator[Step]:
        yield from self.time_passes(s)
        yield from self.person(s)
        yield from self.sends(s)
        yield from self.hears(s)
        for message in sorted(s.net):
            yield from self.arrives(s, message)
        yield from self.questions(s)
        yield from self.works(s)
        yield from self.processes_end(s)

    def time_passes(self, s: State) -> Iterator[Step]:
        """Any one deadline passes, whatever the others do."""
        for a in s.session.calls[CALL].attempts:
            if a.state is AttemptState.ENDED:
                continue
            draft = Draft(s.session, self.view(s, ()), LATER)
            deadlines._TICKS[a.state](draft, a)
            settle.settle_prompts(draft)
            if self.too_many(draft.session):
                self.cut = True
                continue
            yield f"#{a.number} {a.state}: its deadline passes", False, self.folded(s, draft.records)

    def too_many(self, session: Session) -> bool:
        return len(session.calls[CALL].attempts) > self.bounds.attempts

    def person(self, s: State) -> Iterator[Step]:
        call = s.session.calls[CALL]
        if s.cancels < self.bounds.cancels and call.open_attempts:
            act = c.Act(actor=ANNA, tool_call_id=CALL, action="cancel", seen=0)
            yield "person: cancel", False, self.decided(s, act, self.view(s, ()))._replace(cancels=s.cancels + 1)
        if s.reruns < self.bounds.reruns and len(call.attempts) < self.bounds.attempts:
            for r in RUNTIMES:
                act = c.Act(actor=ANNA, tool_call_id=CALL, action="requeue", seen=0, runtime_id=r)
                t = self.decided(s, act, self.view(s, (r,)))
                if t.session is not s.session:
                    yield f"person: again, to {r}", False, t._replace(reruns=s.reruns + 1)

    def sends(self, s: State) -> Iterator[Step]:
        """A runtime becomes sendable: what is queued or held may go there."""
        waiting = [a for a in s.session.calls[CALL].attempts if a.state in (AttemptState.QUEUED, AttemptState.HELD)]
        if not waiting:
            return
        for r in RUNTIMES:
            yield f"{r} is sendable", False, self.decided(s, c.Advance(), self.view(s, (r,)))

    def hears(self, s: State) -> Iterator[Step]:
        for word in sorted(s.words):
            a = s.session.calls[CALL].attempt(word.number)
            if a is None or a.journal_id is None:
                continue
            for r, journal in RUNTIMES.items():
                if journal != word.journal or r == "R2":
                    continue
                t = self.decided(s, self.statement(s, word, r), self.view(s, (r,)))
                if self.too_many(t.session):
                    self.cut = True
                elif t.session is not s.session:
                    yield f"hears of {word.journal}: #{word.number} {word.state}", False, t

    def statement(self, s: State, word: Word, runtime_id: str) -> c.ReceiveStatement:
        owner = self.owner(s, word.journal, word.number)
        live = owner is not None and s.runtimes[list(RUNTIMES).index(owner[0])].incarnation == owner[1]
        execution = {"exit_code": 0, "ended_by": "itself", "tree_ended": True, "streams": {}}
        return c.ReceiveStatement(
            runtime_id=runtime_id,
            incarnation="0",
            journal_id=word.journal,
            tool_call_id=CALL,
            number=word.number,
            state=word.state,
            journal_sequence=RANK.get(word.state, 3),
            answers=word.answers or None,
            owner_live=live,
            why=word.why or None,
            code=word.code or None,
            execution=execution if word.state == "finished" else None,
        )

    # -- the journals: the real judge ----------------------------------------------------------------------------

    def row(self, s: State, journal: str) -> j.Row:
        """The row as `judge` wants it, with what is known of the owners."""
        row = s.rows[self.place(journal)]
        records = {}
        for number, record in row.records.items():
            owner = self.owner(s, journal, number)
            gone = owner is not None and s.runtimes[list(RUNTIMES).index(owner[0])].incarnation != owner[1]
            records[number] = j.Record(record.state, record.consent, gone)
        return j.Row(row.highest, row.consents, row.arguments_sha256, records)

    @staticmethod
    def place(journal: str) -> int:
        return 0 if journal == "J1" else 1

    def owner(self, s: State, journal: str, number: int) -> tuple[str, int] | None:
        return next(((r, i) for n, r, i in s.owners[self.place(journal)] if n == number), None)

    def arrives(self, s: State, m: Message) -> Iterator[Step]:
        if m.kind == "dispatch":
            yield from self.judged(s, m)
        elif m.kind in ("cancel", "withdraw"):
            yield from self.cancelled(s, m)

    def judged(self, s: State, m: Message) -> Iterator[Step]:
        index = list(RUNTIMES).index(m.to)
        if s.runtimes[index].incarnation != m.incarnation:
            return  # misaddressed: a problem, no evidence
        journal = RUNTIMES[m.to]
        s = self.census(s, journal)
        row = self.row(s, journal)
        asked = j.Asked(m.number, m.consent, "a")
        alive = bool(s.processes[self.place(journal)]) or any(
            h == "claimed" for i, r in enumerate(RUNTIMES) if RUNTIMES[r] == journal for _, h in s.runtimes[i].hand
        )
        judgement = self.rule_judge(row, asked, alive)
        for said in dict.fromkeys((judgement, j.refused(judgement, "runtime.busy"))):
            t = self.written(s, journal, row, asked, said)
            if isinstance(said, j.Take | j.TakeUpAgain):
                t = self.own(t, journal, m.number, m.to)
                t = self.hand(t, index, m.number, "spawned")
            yield f"{m.to} judges #{m.number}: {type(said).__name__}", False, t

    def rule_judge(self, row: j.Row, asked: j.Asked, alive: bool) -> j.Judgement:
        if self.off == "lower-number" and asked.number < row.highest and asked.number not in row.records:
            return j.Take()
        if self.off == "consent":
            row = j.Row(row.highest, frozenset(), row.arguments_sha256, row.records)
        if self.off == "one-process":
            alive = False
        if self.off == "closed-number":
            record = row.records.get(asked.number)
            if record is not None and record.state is j.State.CLOSED:
                return j.Take()
        if self.off == "same-number":
            record = row.records.get(asked.number)
            if record is not None and record.state in (j.State.STARTED, j.State.FINISHED):
                return j.Take()
        return j.judge(row, asked, alive)

    def written(self, s: State, journal: str, row: j.Row, asked: j.Asked, said: j.Judgement | j.EndTree) -> State:
        """Write what the judgement says, then say it."""
        if isinstance(said, j.Close) and self.off in ("promise", "refused-closes", "cancel-closes"):
            why = {"promise": j.Why.RECONCILE, "refused-closes": j.Why.REFUSED, "cancel-closes": j.Why.CANCEL}[self.off]
            if said.why is why:
                word = Word(journal, asked.number, "closed", 0, str(said.why), said.code or "")
                return s._replace(words=s.words | {word})
        after = j.applied(row, asked, said)
        if self.off == "supersede" and isinstance(said, j.Take):
            kept = {n: row.records.get(n, r) if n != asked.number else r for n, r in after.records.items()}
            after = j.Row(after.highest, after.consents, after.arguments_sha256, kept)
        s = self.put_row(s, journal, after)
        words = set(s.words)
        for number in j.written(row, asked, said):
            words.add(self.word(journal, after, number, said))
        if isinstance(said, j.Say):
            answers = asked.number if said.number != asked.number else 0
            word = self.word(journal, after, said.number, said)
            known = next((w for w in words if w[:3] == word[:3] and w.why), word)  # why it was closed stays with it
            words.add(known._replace(answers=answers))
        return s._replace(words=frozenset(words))

    @staticmethod
    def word(journal: str, row: j.Row, number: int, said: object) -> Word:
        state = str(row.records[number].state)
        if state == "closed" and isinstance(said, j.Close):
            return Word(journal, number, state, 0, str(said.why), said.code or "")
        return Word(journal, number, state)

    def cancelled(self, s: State, m: Message) -> Iterator[Step]:
        journal = m.to
        s = self.census(s, journal)
        row = self.row(s, journal)
        asked = j.Asked(m.number, m.consent)
        said = j.cancel(row, asked)
        if isinstance(said, j.EndTree):
            if m.kind == "cancel" and m.number in s.processes[self.place(journal)]:
                yield f"{journal} ends #{m.number}", False, self.ended(s, journal, m.number, j.State.FINISHED)
            return
        yield (
            f"{journal} {m.kind}s #{m.number}: {type(said).__name__}",
            False,
            self.written(s, journal, row, asked, said),
        )

    def questions(self, s: State) -> Iterator[Step]:
        """A reconcile may be asked of an attempt's journal at any time."""
        for a in s.session.calls[CALL].attempts:
            if a.journal_id is None:
                continue
            t = self.census(s, a.journal_id)
            row = self.row(t, a.journal_id)
            asked = j.Asked(a.number, a.consent)
            said = j.answer(row, asked)
            yield f"{a.journal_id} asked for #{a.number}", False, self.written(t, a.journal_id, row, asked, said)

    def census(self, s: State, journal: str) -> State:
        """What the operating system can tell is written first: a started one without a process is gone."""
        place = self.place(journal)
        claimed = {
            n for i, r in enumerate(RUNTIMES) if RUNTIMES[r] == journal for n, h in s.runtimes[i].hand if h == "claimed"
        }
        for number, record in s.rows[place].records.items():
            if record.state is j.State.STARTED and number not in s.processes[place] and number not in claimed:
                s = self.ended(s, journal, number, j.State.PROCESS_GONE)
        return s

    # -- runtimes and processes ----------------------------------------------------------------------------------

    def works(self, s: State) -> Iterator[Step]:
        for index, (name, journal) in enumerate(RUNTIMES.items()):
            runtime = s.runtimes[index]
            if s.crashes < self.bounds.crashes and (runtime.hand or any(m.to == name for m in s.net)):
                gone = self.put_runtime(s, index, Runtime(runtime.incarnation + 1))
                yield f"{name} crashes and returns", True, gone._replace(crashes=s.crashes + 1)
            for number, step in sorted(runtime.hand):
                if step == "claimed":
                    yield (
                        f"{name} lets #{number} go",
                        False,
                        self.let_go(self.drop(s, index, number, step), journal, number),
                    )
                    continue
                owner = self.owner(s, journal, number)
                mine = owner == (name, runtime.incarnation) or self.off == "claim"
                after = j.claimed(s.rows[self.place(journal)], number) if mine else None
                if self.off == "claim" and after is None:
                    yield (
                        f"{name} lets #{number} go, unclaimed",
                        False,
                        self.let_go(self.drop(s, index, number, step), journal, number),
                    )
                elif after is None:
                    yield f"{name} may not claim #{number}", False, self.drop(s, index, number, step)
                elif self.off == "claim-before-go":
                    yield (
                        f"{name} lets #{number} go first",
                        False,
                        self.let_go(self.drop(s, index, number, step), journal, number),
                    )
                else:
                    t = self.put_row(self.drop(s, index, number, step), journal, after)
                    t = t._replace(words=t.words | {Word(journal, number, "started")})
                    yield f"{name} claims #{number}", False, self.hand(t, index, number, "claimed")

    def let_go(self, s: State, journal: str, number: int) -> State:
        record = s.rows[self.place(journal)].records[number]
        processes = list(s.processes)
        processes[self.place(journal)] |= {number}
        return s._replace(processes=tuple(processes), starts=s.starts | {(record.consent, number, journal)})  # type: ignore[arg-type]

    def processes_end(self, s: State) -> Iterator[Step]:
        for journal in ("J1", "J2"):
            for number in sorted(s.processes[self.place(journal)]):
                yield f"#{number} ends", False, self.ended(s, journal, number, j.State.FINISHED)
                processes = list(s.processes)
                processes[self.place(journal)] -= {number}
                yield f"#{number} is killed", True, s._replace(processes=tuple(processes))  # type: ignore[arg-type]

    def ended(self, s: State, journal: str, number: int, state: j.State) -> State:
        place = self.place(journal)
        row = s.rows[place]
        records = dict(row.records) | {number: j.Record(state, row.records[number].consent)}
        s = self.put_row(s, journal, j.Row(row.highest, row.consents, row.arguments_sha256, records))
        processes = list(s.processes)
        processes[place] -= {number}
        return s._replace(processes=tuple(processes), words=s.words | {Word(journal, number, str(state))})  # type: ignore[arg-type]

    # -- small changes -------------------------------------------------------------------------------------------

    def put_row(self, s: State, journal: str, row: j.Row) -> State:
        rows = list(s.rows)
        rows[self.place(journal)] = row
        return s._replace(rows=tuple(rows))  # type: ignore[arg-type]

    def own(self, s: State, journal: str, number: int, runtime: str) -> State:
        owners = list(s.owners)
        place = self.place(journal)
        incarnation = s.runtimes[list(RUNTIMES).index(runtime)].incarnation
        owners[place] = (*(o for o in owners[place] if o[0] != number), (number, runtime, incarnation))
        return s._replace(owners=tuple(owners))

    @staticmethod
    def put_runtime(s: State, index: int, runtime: Runtime) -> State:
        runtimes = list(s.runtimes)
        runtimes[index] = runtime
        return s._replace(runtimes=tuple(runtimes))  # type: ignore[arg-type]

    def hand(self, s: State, index: int, number: int, step: str) -> State:
        runtime = s.runtimes[index]
        return self.put_runtime(s, index, runtime._replace(hand=runtime.hand | {(number, step)}))

    def drop(self, s: State, index: int, number: int, step: str) -> State:
        runtime = s.runtimes[index]
        return self.put_runtime(s, index, runtime._replace(hand=runtime.hand - {(number, step)}))

    # -- properties ----------------------------------------------------------------------------------------------

    @staticmethod
    def broken(s: State) -> str:
        consents = [consent for consent, _, _ in s.starts]
        if len(consents) != len(set(consents)):
            return "starts: a consent started twice"
        for _, number, journal in s.starts:
            a = s.session.calls[CALL].attempt(number)
            if a is not None and a.verdict is not None and a.journal_id == journal and proved(a) is Ran.NO:
                return f"false-no: #{number} started"
        if any(len(p) > 1 for p in s.processes):
            return "overlap: two processes in one journal"
        return ""

    @staticmethod
    def at_rest(s: State) -> bool:
        attempts = s.session.calls[CALL].attempts
        if any(a.open for a in attempts) or any(r.hand for r in s.runtimes) or any(s.processes):
            return False
        sent = [a for a in attempts if a.journal_id]
        last = {(a.journal_id, a.consent): a for a in sent}
        return all(a.final_word for a in last.values())

    # -- what may be forgotten -----------------------------------------------------------------------------------

    def key(self, s: State) -> tuple[object, ...]:
        """The state without what can never again have an effect, and without times."""
        call = s.session.calls[CALL]
        attempts = tuple(
            (
                a.state,
                a.consent,
                a.runtime_id,
                a.incarnation,
                a.journal_id,
                a.acknowledged_at_ms is not None,
                a.started_at_ms is not None,
                a.asked_at_ms is not None,
                a.asked_sequence,
                a.journal_sequence,
                a.promised,
                a.final_word,
                a.cancel.why if a.cancel else None,
                a.finished is not None,
                a.check,
                a.check_due_ms is not None,
                a.only_runtime_id,
                a.hold.reason if a.hold else None,
                a.counted,
                a.why,
                a.ran_as,
                (a.verdict.kind, a.verdict.ran, a.verdict.code) if a.verdict else None,
            )
            for a in call.attempts
        )
        rows = tuple(
            (r.highest, r.consents, tuple(sorted((n, x.state, x.consent) for n, x in r.records.items())))
            for r in s.rows
        )
        net = frozenset(m for m in s.net if self.useful(s, m))
        words = frozenset(w for w in s.words if self.matters(s, w))
        owners = tuple(tuple(sorted(o)) for o in s.owners)
        return (
            call.state,
            call.outcome,
            call.dropped,
            len(call.consents),
            attempts,
            rows,
            owners,
            s.processes,
            s.runtimes,
            net,
            words,
            s.starts,
            s.crashes,
            s.reruns,
            s.cancels,
        )

    def useful(self, s: State, m: Message) -> bool:
        if m.kind == "dispatch":
            return s.runtimes[list(RUNTIMES).index(m.to)].incarnation == m.incarnation
        record = s.rows[self.place(m.to)].records.get(m.number)
        return record is None or record.state in (j.State.RECEIVED, j.State.STARTED)

    @staticmethod
    def matters(s: State, w: Word) -> bool:
        a = s.session.calls[CALL].attempt(w.number)
        return a is None or a.journal_sequence <= RANK.get(w.state, 3)


class Found(NamedTuple):
    """What a search saw."""

    states: int
    fault: str
    trace: list[str]


def search(model: Model, limit: int = 3_000_000, exits: bool = True) -> Found:
    """Breadth first: the first fault found has the shortest story."""
    first = model.start()
    index: dict[object, int] = {model.key(first): 0}
    parents: list[tuple[int, str]] = [(-1, "")]
    todo: deque[tuple[int, State]] = deque([(0, first)])
    edges: list[tuple[int, int]] = []
    rest: list[int] = []
    while todo:
        here, s = todo.popleft()
        fault = model.broken(s)
        if fault:
            return Found(len(index), fault, story(parents, here))
        if model.at_rest(s):
            rest.append(here)
        model.cut = False
        for name, is_fault, t in model.steps(s):
            key = model.key(t)
            there = index.get(key)
            if there is None:
                if len(index) >= limit:
                    raise AssertionError(f"more than {limit} states")
                there = index[key] = len(index)
                parents.append((here, name))
                todo.append((there, t))
            if exits and not is_fault and there != here:
                edges.append((there, here))
        if model.cut:
            rest.append(here)
    if exits:
        stuck = without_exit(len(index), edges, rest)
        if stuck is not None:
            return Found(len(index), "exit: no way out", story(parents, stuck))
    return Found(len(index), "", [])


def without_exit(count: int, edges: list[tuple[int, int]], rest: list[int]) -> int | None:
    """The first state from which no state of rest can be reached."""
    back: dict[int, list[int]] = {}
    for there, here in edges:
        back.setdefault(there, []).append(here)
    good = bytearray(count)
    stack = list(rest)
    for i in stack:
        good[i] = 1
    while stack:
        for i in back.get(stack.pop(), ()):
            if not good[i]:
                good[i] = 1
                stack.append(i)
    return next((i for i in range(count) if not good[i]), None)


def story(parents: list[tuple[int, str]], at: int) -> list[str]:
    """The steps from the start, oldest first."""
    steps = []
    while at > 0:
        at, name = parents[at]
        steps.append(name)
    return steps[::-1]


@contextlib.contextmanager
def without(rule: str) -> Iterator[None]:
    """Switch one rule of the control plane's real code off. Rules of the journal are switched off in `Model`."""
    if rule not in CONTROL_PLANE_RULES:
        yield
        return
    module, name, wrong = CONTROL_PLANE_RULES[rule]
    right = getattr(module, name)
    setattr(module, name, wrong)
    try:
        yield
    finally:
        setattr(module, name, right)


def _promise_of_any_number(call: ToolCall, consent: int) -> frozenset[str]:
    """`highest-number` off: one promise frees a journal, whatever was dispatched to it after."""
    involved = {a.journal_id for a in call.attempts if a.journal_id and a.consent == consent}
    freed = {a.journal_id for a in call.attempts if a.promised}
    return frozenset(i for i in involved - freed if i)


CONTROL_PLANE_RULES: dict[str, tuple[Any, str, Any]] = {
    "same-journal": (sending, "journals_owed", lambda call, consent: frozenset()),
    "highest-number": (sending, "journals_owed", _promise_of_any_number),
    "again-or-withdraw": (receipts, "_owner_gone", lambda d, command, a: None),
    "late-start-reopens": (receipts, "_can_reopen", lambda a: False),
}
JOURNAL_RULES = (
    "promise",
    "refused-closes",
    "cancel-closes",
    "lower-number",
    "consent",
    "one-process",
    "closed-number",
    "same-number",
    "supersede",
    "claim",
    "claim-before-go",
)


KINDS_OF_STEPS = (
    "its deadline passes", "person:", "is sendable", "hears of", "judges", "asked for", "crashes", "claim", "lets",
    "ends", "is killed", "",
)  # fmt: skip


def wander(model: Model, dice: random.Random, steps: int = 60) -> Found:
    """One way through, at random: as far as no exhaustion comes. Only the properties of single states are looked at.

    Most walks have a temper: what they do often, and what they hardly ever do.
    """
    tempers = (1.0,) if dice.random() < 0.3 else (0.03, 0.3, 1.0, 3.0)
    weights = {kind: dice.choice(tempers) for kind in KINDS_OF_STEPS}
    s = model.start()
    trace: list[str] = []
    for _ in range(steps):
        fault = model.broken(s)
        if fault:
            return Found(len(trace), fault, trace)
        ways = list(model.steps(s))
        if not ways:
            break
        name, _, s = dice.choices(ways, [weights[kind_of(name)] for name, _, _ in ways])[0]
        trace.append(name)
    return Found(len(trace), "", trace)


def kind_of(name: str) -> str:
    """Which kind of step it is, by its words."""
    return next(kind for kind in KINDS_OF_STEPS if kind in name)
