"""What must hold (RECOVERY.md §9), looked at after every step that could break it.

Owns the truth that nobody in the product knows (what really started, what bytes it wrote) and compares with it every
commit of the control plane, every frame that leaves either side, every start of a command, and the end of the story.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from caisey.control.sessions import Committed
from caisey.core import attempt as attempts
from caisey.core import commands as c
from caisey.core import events as e
from caisey.core.attempt import Attempt, ImpossibleTransition, Stream
from caisey.core.audit import Broken, verify
from caisey.core.decide import deadlines, decided, next_due
from caisey.core.decide.actions import offered
from caisey.core.session import Session, replay
from caisey.core.states import AttemptState, CallState, Effect, Kind, PromptState, Ran
from caisey.core.tool_call import DONE_KINDS, ImpossibleStep, ToolCall, deciding, proved, ran_before
from caisey.core.verdict import derive
from caisey.core.view import EndpointView
from caisey.runtime.shim.marks import END
from caisey.storage.contract import Entry
from tests.simulation.read_models import differences
from tests.simulation.shown import faults

if TYPE_CHECKING:
    from tests.simulation.endpoint import Node
    from tests.simulation.machine import Start
    from tests.simulation.world import World

ORGANIZATION = "org_" + "0" * 26
BY_OTHERS = frozenset({Kind.EXPIRED, Kind.CANCELLED, Kind.REFUSED, Kind.DENIED})
"""Whose `ran` also shows what other attempts prove."""
OVERDUE_MS = 3_000
EARLY_S = 2.0
"""Commits and clocks take their time."""
GRACE_S = 12.0
POLICY_S = {"ack": 2.0, "reconcile": 8.0, "sleep": 20.0}
FINAL = ("attempt.finished", "attempt.refused", "attempt.stated")
Key = tuple[str, int]


class Oracle:
    """See the module."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.starts: list[Start] = []
        self.by_key: dict[Key, list[Start]] = defaultdict(list)
        self.forgotten: dict[int, bool] = {}  # id of a start -> whether the control plane could tell
        self.accepted: set[str] = set()
        self.confirmed_after: dict[str, float] = {}  # call -> when a person last said: send it
        self.sent: set[tuple[str, int, str]] = set()
        self.final: set[Key] = set()
        self.streams: dict[tuple[str, int, str], Stream] = {}
        self.states: dict[Key, AttemptState] = {}
        self.cells: Counter[tuple[str, str]] = Counter()
        self.fault_cells: set[tuple[str, str, str]] = set()
        self.window_ends: dict[tuple[Key, str], float] = {}
        self.sent_at: dict[Key, float] = {}
        self.could_go_since: dict[str, int] = {}  # session -> since when something of it would go if it looked
        self.words: dict[tuple[str, str, int], dict[str, int]] = {}
        self.cloned: set[str] = set()
        self.went_back: set[str] = set()
        self.lied: set[str] = set()  # journals whose runtimes said what was not so
        self.restored = False

    def wrong(self, invariant: str, what: str) -> None:
        """One is broken."""
        self._world.wrong(f"{invariant}: {what}")

    # -- a command was let go ------------------------------------------------------------------------------------------

    def started(self, start: Start) -> None:
        """Invariant 3."""
        self._world.tell("START", f"{start.call_id} #{start.number} consent {start.consent} on {start.machine}")
        if not start.claimed:
            self.wrong("claim", f"{start.call_id} #{start.number} was let go without its claim")
        for former in self.starts:
            same = (former.call_id, former.consent) == (start.call_id, start.consent)
            if same and not self._excused(former, start):
                self.wrong("starts", f"{start.call_id} consent {start.consent}: #{former.number} and #{start.number}")
        self.starts.append(start)
        self.by_key[start.call_id, start.number].append(start)
        call = self._call(start.call_id)
        attempt = call.attempt(start.number) if call is not None else None
        if attempt is not None:
            self._false_no(call, attempt)

    def _excused(self, former: Start, start: Start) -> bool:
        """A journal that went back where nobody could tell, or a person who looked, or a copy of the computer."""
        if {former.journal_id, start.journal_id} & self.lied:
            return True
        if former.machine != start.machine:
            return start.journal_id in self.cloned
        if id(former) not in self.forgotten:
            return False
        if not self.forgotten[id(former)] or self.restored:
            return True
        return self._effect(start.call_id) != "mutating" or self.confirmed_after.get(start.call_id, 0) > former.at

    def set_back(self, journal_id: str, machine: str, sequence: int, epoch: int) -> None:
        """A journal forgets everything after `sequence`. Whether that can be known depends on what was seen."""
        self.went_back.add(journal_id)
        self.words = {key: words for key, words in self.words.items() if key[0] != journal_id}
        rows = self._world.plane_rows("SELECT max(mark) FROM journals WHERE journal_id = ?", journal_id)
        seen = bool(rows) and rows[0][0] is not None and rows[0][0] > sequence
        for start in self.starts:
            if start.journal_id == journal_id and start.machine == machine:
                self.forgotten[id(start)] = seen

    def whole(self, journal_id: str) -> bool:
        """Neither side has forgotten anything: everything has its last word some day, and is settled."""
        doubtful = self.cloned | self.went_back | self.lied
        return not self.restored and journal_id not in doubtful

    def _call(self, call_id: str) -> ToolCall | None:
        session = self._world.session_of(call_id)
        return session.calls.get(call_id) if session is not None else None

    def _effect(self, call_id: str) -> str:
        call = self._call(call_id)
        return str(call.spec.effect) if call is not None else ""

    # -- the control plane committed -----------------------------------------------------------------------------------

    def committed(self, entries: list[Entry]) -> None:
        """These events are durable now."""
        for entry in entries:
            cls = e.EVENT_TYPES.get(entry.type)
            if cls is None:
                continue
            payload = entry.payload
            if self._world.trace is not None:
                self._world.tell("commit", f"{entry.type} {payload}"[:300])
            key = (payload.get("tool_call_id", ""), payload.get("number", 0))
            if entry.type == "attempt.dispatched":
                self.sent.add((*key, payload["incarnation"]))
            elif entry.type in FINAL:
                self.final.add(key)
            elif entry.type in ("attempt.output", "attempt.gap"):
                self._covered(key, payload)
            elif entry.type == "attempt.queued":
                self._queued(key, payload)
            self._timely(key, entry.type, payload)
            if issubclass(cls, e.AttemptEvent):
                self._visited(key, entry.type, cls, payload)

    def _queued(self, key: Key, payload: dict[str, Any]) -> None:
        """Who may decide that it starts again, and when the next step may go (RECOVERY.md §2, §6)."""
        session = self._world.session_of(key[0])
        call = session.calls.get(key[0]) if session is not None else None
        if session is None or call is None:
            return
        if payload["consent_by"] == "policy" and call.spec.effect is Effect.MUTATING:
            self.wrong("policy", f"{key[0]} changes things, and was sent again without a person")
        if payload["why"] == "next_step":
            for earlier in session.calls_of(session.prompt_of(call)):
                best = deciding(earlier)
                kind = best.verdict.kind if best is not None and best.verdict is not None else None
                before = earlier.spec.position < call.spec.position
                if (
                    before
                    and kind not in DONE_KINDS
                    and not any(a.journal_id in self.lied for a in earlier.attempts)  # it may say two ends
                    and earlier.outcome not in ("accepted_partial", "resumed_past", "replaced")
                ):
                    self.wrong("order", f"{key[0]} follows {earlier.id}, which came to {kind}")

    def _timely(self, key: Key, kind: str, payload: dict[str, Any]) -> None:
        """No window ends early: not by a step of the clock, not because the control plane itself was away."""
        now = self._world.loop.time()
        if kind in ("attempt.lost", "attempt.dispatched"):
            window = "ack" if kind == "attempt.dispatched" else "reconcile"
            seconds = POLICY_S["sleep" if payload.get("asleep") else window]
            self.window_ends[key, window] = now + seconds - EARLY_S
            if kind == "attempt.dispatched":
                self.sent_at[key] = now
        elif kind == "attempt.held":
            left = payload["until_ms"] - self._world.plane.steady.now_ms()
            self.window_ends[key, "hold"] = now + left / 1000 - EARLY_S
        elif kind == "attempt.window_passed":
            if now < self.window_ends.get((key, payload["window"]), 0.0) and not self._world.unseen_step:
                self.wrong("early", f"{key}: its {payload['window']} window was not over")
            if (
                payload["window"] != "approval"
                and (payload["window"] == "hold" or self.sent_at.get(key, 0.0) <= self._world.plane_ready_at)
                and now < self._world.plane_ready_at + GRACE_S - EARLY_S
                and not self._world.unseen_step
            ):
                self.wrong("grace", f"{key}: judged by a control plane that had just come back")

    def _covered(self, key: Key, payload: dict[str, Any]) -> None:
        place = (*key, payload["stream"])
        self.streams[place] = self.streams.get(place, Stream()).with_bytes(payload["offset"], payload["length"])

    def _visited(self, key: Key, name: str, cls: type[e.Event], payload: dict[str, Any]) -> None:
        before = self.states.get(key, AttemptState.QUEUED)
        self.cells[str(before), name] += 1
        for fault in self._world.faults_now():
            self.fault_cells.add((str(before), name, fault))
        allowed = attempts.TRANSITIONS[before].get(cls)
        if allowed is not None:
            self.states[key] = allowed[0] if len(allowed) == 1 else AttemptState(payload["state"])

    def decided(self, told: Committed) -> None:
        """A session moved on: everything about what it touched holds."""
        session = self._world.plane.sessions.peek(told.session_id)
        if session is None:
            return
        touched = {r.event.tool_call_id for r in told.records if isinstance(r.event, e.AttemptEvent | e.CallEvent)}
        for call_id in touched:
            self.call(session, session.calls[call_id])
        self.session(session)
        self._world.faults.tell_lies()

    def session(self, session: Session) -> None:
        """Invariant 1, for a session as a whole."""
        for prompt in session.prompts.values():
            states = {session.calls[i].state for i in prompt.call_ids}
            if prompt.state is PromptState.ENDED and states != {CallState.ENDED}:
                self.wrong("owner", f"{prompt.id} ended with {states}")
            if prompt.state is PromptState.WAITING and CallState.RUNNING in states:
                self.wrong("owner", f"{prompt.id} waits and runs")
        busy = any(k.state in (CallState.RUNNING, CallState.WAITING) for k in session.live_calls())
        if busy and next_due(session, self._world.plane.sessions.view_of(session)) is None:
            self.wrong("deadline", f"nothing will ever look at {session.id}")

    def call(self, session: Session, call: ToolCall) -> None:
        """Invariants 1, 3, 5, for one call."""
        if call.state is CallState.RUNNING and not call.open_attempts:
            self.wrong("owner", f"{call.id} runs without an open attempt")
        if call.state is CallState.WAITING and not (call.owner and call.due_at_ms and offered(session, call)):
            self.wrong("owner", f"{call.id} waits for nobody, for ever, or with nothing to do")
        for a in call.attempts:
            if a.open and a.due_at_ms is None:
                self.wrong("deadline", f"{call.id} #{a.number} is {a.state} for ever")
            if (a.verdict is None) != a.open:
                self.wrong("verdict", f"{call.id} #{a.number} is {a.state} with {a.verdict}")
            if a.verdict is not None:
                self._verdict(call, a, a.verdict)

    def _verdict(self, call: ToolCall, a: Attempt, verdict: e.Verdict) -> None:
        again = derive(a.facts, call.spec.structured, ran_before(call, a))
        same = again is not None and (again.kind, again.code) == (verdict.kind, verdict.code)
        if not same or (again is not None and again.ran is not verdict.ran and verdict.kind not in BY_OTHERS):
            self.wrong("verdict", f"{call.id} #{a.number} shows {verdict}, its evidence says {again}")
        if not all(0 <= i < len(a.facts) for i in verdict.cites):
            self.wrong("verdict", f"{call.id} #{a.number} cites what is not there")
        self._false_no(call, a)
        if verdict.ran is Ran.YES and a.finished is not None and a.finished.readable and a.journal_id not in self.lied:
            truth = self.by_key[call.id, a.number]
            if not any(start.ended_by == "itself" for start in truth):
                self.wrong("ran", f"{call.id} #{a.number} did not run to its own end: {truth}")

    def _false_no(self, call: ToolCall | None, a: Attempt) -> None:
        """`no` = proved that none of it ran."""
        if call is None or a.verdict is None or proved(a) is not Ran.NO:
            return
        for start in self.by_key[call.id, a.number]:
            if start.journal_id != a.journal_id or start.journal_id in self.cloned | self.lied or self.restored:
                continue
            if self.forgotten.get(id(start)) is False:
                continue  # nobody could know that its journal went back
            self.wrong("false no", f"{call.id} #{a.number} is shown as {a.verdict.kind}, ran no; it started")

    # -- frames leave --------------------------------------------------------------------------------------------------

    def from_plane(self, data: bytes) -> None:
        """Nothing leaves before COMMIT (invariant 2), nothing is confirmed that is not durable (invariant 4)."""
        kind = _kind(data)
        if kind == "dispatch":
            frame = msgspec.json.decode(data)
            about = frame["attempt"]
            if (about["tool_call_id"], about["number"], frame["incarnation"]) not in self.sent:
                self.wrong("commit", f"{about} was dispatched before its commit")
        elif kind == "confirm":
            self._confirms(msgspec.json.decode(data))
        elif kind == "welcome":
            for confirm in msgspec.json.decode(data).get("confirm", ()):
                self._confirms(confirm)

    def _confirms(self, frame: dict[str, Any]) -> None:
        about = frame["attempt"]
        key = (about["tool_call_id"], about["number"])
        for stream, offset in frame["offsets"].items():
            if offset > self.streams.get((*key, stream), Stream()).confirmed:
                self.wrong("confirm", f"{key} {stream}: {offset} was confirmed and is not durable")
        if frame["settled"] and key not in self.final:
            self.wrong("confirm", f"{key} was settled without a last word")

    def from_runtime(self, node: Node, data: bytes) -> None:
        """The runtime writes before it speaks, and says of a process what is true of it."""
        kind, journal = _kind(data), node.disk
        if kind not in ("acknowledged", "started", "refused", "finished", "statement"):
            return
        frame = msgspec.json.decode(data)
        about = frame["attempt"]
        rows = journal.query(
            "SELECT state, started_sequence FROM attempts WHERE tool_call_id = ? AND number = ?",
            about["tool_call_id"],
            about["number"],
        )
        state = rows[0][0] if rows else None
        said = frame.get("state", kind)
        wanted = {
            "refused": ("closed",),
            "never_received": ("closed",),
            "closed": ("closed",),
            "finished": ("finished",),
        }.get(said)
        if state is None or (wanted is not None and state not in wanted):
            self.wrong("journal", f"{about} was said to be {said}, the journal has {state}")
        if said == "process_gone" and any((journal.folder / name / END).exists() for name in journal.spools(about)):
            self.wrong("journal", f"{about} was said to be gone, and its end record is there")
        if said == "process_gone" and any(node.machine.runs(journal.name, name) for name in journal.spools(about)):
            self.wrong("journal", f"{about} was said to be gone, and its command lives")
        ran = [s for s in self.by_key[about["tool_call_id"], about["number"]] if s.journal_id == journal.name]
        denies = kind == "statement" and said in ("received", "never_received", "closed", "superseded")
        earlier = rows[0][1] if rows else None  # a word from before the claim may still be on its way
        denies = denies and not (earlier is not None and frame["journal_sequence"] < earlier)
        if denies and ran and journal.name not in self.cloned | self.went_back:
            self.wrong("journal", f"{about} was said to be {said}, and it started")
        words = self.words.setdefault((journal.name, about["tool_call_id"], about["number"]), {})
        words[kind] = frame["journal_sequence"]
        if kind == "started" and words["started"] <= words.get("acknowledged", 0):
            self.wrong("journal", f"{about} started by a write that is not above the one that took it: {words}")
        if kind == "started" and not self.by_key[about["tool_call_id"], about["number"]]:
            self.wrong("journal", f"{about} was said to have started, and has not")

    # -- now and then --------------------------------------------------------------------------------------------------

    def no_deadline_forgotten(self) -> None:
        """Somebody looks when a deadline passes."""
        plane = self._world.plane
        if not plane.ready or self._world.plane_busy():
            return
        now = plane.steady.now_ms()
        if abs(now - plane.clock.now_ms()) > OVERDUE_MS and self._world.loop.time() > self._world.stepped_at + 3.0:
            self.wrong("clock", "a step of the clock was never taken over")
        for session_id in self._world.sessions:
            session = plane.sessions.peek(session_id)
            if session is None:
                continue  # an older backup does not know it
            view = plane.sessions.view_of(session)
            for call in session.live_calls():
                for a in call.open_attempts:
                    due = max(deadlines.due_of(a, view), deadlines.grace_of(a, view))
                    if now - due > OVERDUE_MS:
                        self.wrong("deadline", f"{call.id} #{a.number} {a.state}: {now - due} ms overdue")

    def nobody_waits_in_vain(self) -> None:
        """No session waits for a word that it was not told: what it keeps back would not go if it looked now.

        In the grace of a start nobody looks again by itself; whoever comes back says so.
        """
        plane = self._world.plane
        if not plane.ready or self._world.plane_busy():
            self.could_go_since.clear()
            return
        now = plane.steady.now_ms()
        for session_id in self._world.sessions:
            session = plane.sessions.peek(session_id)
            view = plane.sessions.view_of(session) if session is not None else None
            if session is None or view is None or now < view.grace_until_ms or not _would_go(session, view, now):
                self.could_go_since.pop(session_id, None)
            elif now - self.could_go_since.setdefault(session_id, now) > OVERDUE_MS:
                self.wrong("news", f"{session_id} was never told that what it keeps back may go")

    def look_at_what_is_shown(self) -> None:
        """As a technician would, who opens every page."""
        plane = self._world.plane
        if not plane.ready:
            return
        for session_id in self._world.sessions:
            session = plane.sessions.peek(session_id)
            if session is not None:
                for words in faults(session, plane.sessions.view_of(session), plane.steady.now_ms()):
                    self.wrong("shown", f"{session_id}: {words}")

    def plane_is_back(self) -> None:
        """Invariant 2: what was accepted is there, and what is remembered is what was written."""
        rows = self._world.plane_rows("SELECT payload FROM events WHERE type = 'prompt.accepted'")
        there = {msgspec.json.decode(row[0])["prompt_id"] for row in rows}
        for prompt_id in sorted(self.accepted - there):
            self.wrong("accepted", f"{prompt_id} was accepted and is gone")

    def forget_what_was_lost(self) -> None:
        """An older backup was put in place: only what it has can be expected."""
        self.restored = True
        rows = self._world.plane_rows("SELECT type, payload FROM events ORDER BY position")
        self.accepted, self.sent, self.final, self.streams, self.states = set(), set(), set(), {}, {}
        for kind, payload in rows:
            fields = msgspec.json.decode(payload)
            key = (fields.get("tool_call_id", ""), fields.get("number", 0))
            if kind == "prompt.accepted":
                self.accepted.add(fields["prompt_id"])
            elif kind == "attempt.dispatched":
                self.sent.add((*key, fields["incarnation"]))
            elif kind in FINAL:
                self.final.add(key)
            elif kind in ("attempt.output", "attempt.gap"):
                self._covered(key, fields)
            cls = e.EVENT_TYPES.get(kind)
            if cls is not None and issubclass(cls, e.AttemptEvent):
                allowed = attempts.TRANSITIONS[self.states.get(key, AttemptState.QUEUED)].get(cls)
                if allowed is not None:
                    self.states[key] = allowed[0] if len(allowed) == 1 else AttemptState(fields["state"])

    # -- the end -------------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Everything that only the whole story shows."""
        self.plane_is_back()
        self.look_at_what_is_shown()
        stored = self._world.plane.log.everything(ORGANIZATION)
        report = verify([event.to_public() for event in stored])
        if report.broken is not None and report.broken.what is not Broken.UNSIGNED_TAIL:
            self.wrong("audit", f"the chain does not hold: {report.broken}")
        by_session: dict[str, list[e.Recorded]] = defaultdict(list)
        for event in stored:
            if event.session_id is not None and event.type in e.EVENT_TYPES:
                by_session[event.session_id].append(
                    e.Recorded(
                        event.at_ms,
                        event.actor,
                        e.from_payload(event.type, event.payload),
                        event.reason,
                        event.sequence,
                    )
                )
        for session_id, records in by_session.items():
            try:
                session = replay(records)
            except (LookupError, ImpossibleTransition, ImpossibleStep) as error:
                self.wrong("replay", f"{session_id}: its events do not follow from each other: {error!r}")
                continue
            if session != self._world.plane.sessions.peek(session_id):
                self.wrong("replay", f"{session_id} is not what its events say")
            plane = self._world.plane
            view, now = plane.sessions.view_of(session), plane.steady.now_ms()
            for words in differences(self._world.plane_rows, ORGANIZATION, session, view, now):
                self.wrong("lists", f"{session_id}: {words}")
            for call in session.calls.values():
                self.call(session, call)
                for a in call.attempts:
                    self._bytes(call, a)

    def _bytes(self, call: ToolCall, a: Attempt) -> None:
        """Invariant 4: what is stored is what was written, at its place, and nothing is missing without a mark."""
        for name, stream in a.streams.items():
            rows = self._world.plane_rows(
                "SELECT offset, data FROM output WHERE tool_call_id = ? AND attempt = ? AND stream = ? ORDER BY offset",
                call.id, a.number, name,
            )  # fmt: skip
            kept = Stream()
            for offset, data in rows:
                kept = kept.with_bytes(offset, len(data))
                fits = any(s.content[offset : offset + len(data)] == data for s in self.by_key[call.id, a.number])
                if name == "stdout" and not fits and not self._world.any_garbled and a.journal_id not in self.lied:
                    self.wrong("bytes", f"{call.id} #{a.number} {name} at {offset} was never written like that")
            if kept.covered != stream.covered or sum(len(d) for _, d in rows) != stream.stored:
                self.wrong("bytes", f"{call.id} #{a.number} {name}: stored {kept.covered}, said {stream.covered}")
        finished = a.finished
        if finished is None or finished.stated or not finished.readable or self.restored or self._world.any_garbled:
            return
        for name, said in ((finished.execution or {}).get("streams") or {}).items():
            if said["bytes"] > a.streams.get(name, Stream()).confirmed and not self._lost_spool(a):
                self.wrong("bytes", f"{call.id} #{a.number} {name}: {said['bytes']} written, the rest is not marked")

    def _lost_spool(self, a: Attempt) -> bool:
        return any(
            id(s) in self.forgotten or s.journal_id in self.cloned | self.lied
            for s in self.by_key[a.tool_call_id, a.number]
        )


def _kind(data: bytes) -> str:
    """The type of a frame of ours, which stands first."""
    return data[9 : data.index(b'"', 9)].decode() if data[:9] == b'{"type":"' else ""


def _would_go(session: Session, view: EndpointView, now_ms: int) -> bool:
    """Whether something that is kept back is sent, or its agent asked, if the session is told to look."""
    records, _ = decided(session, c.Advance(), view, now_ms)
    return any(
        isinstance(record.event, e.AttemptReleased | e.AttemptCheckAsked | e.AttemptDispatched) for record in records
    )
