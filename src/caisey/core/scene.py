"""Everything that words about one tool call are chosen and filled from: the session, the endpoint's view, the reader.

Owns `Telling` (for whom it is told) and `Scene` (one call at one moment). It concludes nothing and shows nothing; every
property is a plain question about evidence, asked in one place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from functools import cached_property
from typing import Any

import msgspec

from caisey.core import events as e
from caisey.core.attempt import Attempt
from caisey.core.catalogue import ENGLISH, Catalogue
from caisey.core.decide.actions import offered
from caisey.core.filling import Own
from caisey.core.plain_text import SCANNED, first_line, last_line, one_line
from caisey.core.session import Prompt, Session
from caisey.core.spoken import clock, span, times
from caisey.core.states import Action, AttemptState, CallState, Effect, Kind, Ran
from caisey.core.tool_call import NOT_A_TRY, ToolCall, deciding, ran
from caisey.core.view import EndpointView, RuntimeView

NAME_LENGTH = 60
LINE_LENGTH = 100
_ID_PREFIXES = ("usr_", "tok_", "rtm_", "cst_")

OutputKey = tuple[str, int, str]  # tool call id, number, stream
Parts = Sequence[tuple[int, bytes]]  # (offset, bytes), sorted, disjoint


class Telling(msgspec.Struct, frozen=True, kw_only=True):
    """For whom it is told, and what the session itself does not hold.

    `names`: display names by actor id. `output`: pieces of the stored streams, see `present_output.wanted`.
    `neighbours_answer`: other computers of the same client answer now.
    """

    catalogue: Catalogue = ENGLISH
    names: Mapping[str, str] = {}
    zone: tzinfo = UTC
    neighbours_answer: bool = False
    output: Mapping[OutputKey, Parts] = {}


PLAINLY = Telling()


def actor_words(actor: e.Actor, telling: Telling) -> str:
    """An actor by name, or by what it is; an id is never shown."""
    known = telling.names.get(actor.id)
    if known:
        return one_line(known, NAME_LENGTH)
    if actor.kind in ("user", "token") and actor.id and not actor.id.startswith(_ID_PREFIXES):
        return one_line(actor.id, NAME_LENGTH)
    phrases = telling.catalogue.phrases
    return Own(phrases.get(f"who.{actor.kind}", phrases["who.user"]))


class Scene:
    """One tool call, as it stands at `now_ms`."""

    def __init__(self, session: Session, call: ToolCall, view: EndpointView, now_ms: int, telling: Telling) -> None:
        self.session = session
        self.call = call
        self.view = view
        self.now = now_ms
        self.telling = telling

    # -- the prompt around it ------------------------------------------------------------------------------------

    @cached_property
    def prompt(self) -> Prompt:
        """The prompt it belongs to."""
        return self.session.prompt_of(self.call)

    @cached_property
    def steps(self) -> list[ToolCall]:
        """The prompt's steps in order, without those that were edited away."""
        return [c for c in self.session.calls_of(self.prompt) if c.outcome != "replaced"]

    @property
    def before(self) -> list[ToolCall]:
        """The steps before this one."""
        return [c for c in self.steps if c.spec.position < self.call.spec.position]

    @property
    def later_not_sent(self) -> bool:
        """Whether later steps were never sent."""
        return any(c.spec.position > self.call.spec.position and not c.attempts for c in self.steps)

    @property
    def before_done(self) -> bool:
        """Whether every step before it is done."""
        return bool(self.before) and all(c.state is CallState.ENDED and c.outcome == "done" for c in self.before)

    @cached_property
    def stopped_before(self) -> ToolCall | None:
        """The first step before this one that has not passed."""
        return next((c for c in self.before if not c.passed), None)

    @cached_property
    def resume_target(self) -> ToolCall | None:
        """Where `resume` continues: the first step, from this one on, that never started, if it is possible now."""
        for step in self.steps:
            if step.spec.position >= self.call.spec.position and step.state is CallState.PENDING:
                return step if Action.RESUME in offered(self.session, step) else None
        return None

    # -- the call ------------------------------------------------------------------------------------------------

    @cached_property
    def ran(self) -> Ran:
        """Did the call run?"""
        return ran(self.call)

    @cached_property
    def deciding(self) -> Attempt | None:
        """The attempt whose verdict speaks for the call."""
        return deciding(self.call)

    @cached_property
    def offered(self) -> frozenset[Action]:
        """What is possible now."""
        return frozenset(offered(self.session, self.call))

    @property
    def tries(self) -> int:
        """How often it was really sent."""
        sent = [a for a in self.call.attempts if a.dispatched_at_ms is not None]
        return sum(1 for a in sent if _is_try(a) or self.overtaken(a))

    def overtaken(self, attempt: Attempt) -> bool:
        """Whether a later try took its place: it came too late, or never, and nothing earlier had run either."""
        if attempt.verdict is None or attempt.verdict.code != "attempt.superseded":
            return False
        alike = [a for a in self.call.attempts if a.consent == attempt.consent]
        ran_before = any(a.number < attempt.number and a.started_at_ms is not None for a in alike)
        return not ran_before and any(a.number > attempt.number and a.acknowledged_at_ms is not None for a in alike)

    @property
    def safe(self) -> bool:
        """Whether a second run does no harm."""
        return self.call.spec.effect is not Effect.MUTATING

    def automatic_after(self, attempt: Attempt) -> Attempt | None:
        """The open try that follows this one by itself."""
        return next((a for a in self.call.open_attempts if a.number > attempt.number and _by_itself(a)), None)

    def changed_by_others(self) -> int:
        """How many things others changed on the endpoint since the call's newest consent was given."""
        if not self.call.consents:
            return 0
        newest = self.call.consents[-1]
        return sum(
            1
            for change in self.view.changes
            if change.at_ms > newest.confirmed_at_ms and change.actor_id != newest.actor.id
        )

    # -- the computer --------------------------------------------------------------------------------------------

    @cached_property
    def computer(self) -> str:
        """Its name, or "the computer"."""
        return one_line(self.view.name, NAME_LENGTH) or Own(self.phrase("the_computer"))

    @cached_property
    def answers(self) -> bool:
        """Whether any agent of it takes work now."""
        return any(_takes_work(r) for r in self.view.runtimes)

    @property
    def connected(self) -> bool:
        """Whether any agent of it has an open connection."""
        return any(r.bridges and not (r.revoked or r.settle_only) for r in self.view.runtimes)

    def is_back(self, attempt: Attempt) -> bool:
        """Whether an agent with the attempt's journal is connected."""
        return any(r.bridges and r.journal_id == attempt.journal_id for r in self.view.runtimes)

    @property
    def other_way(self) -> tuple[str, str] | None:
        """(`runtime_id` or `bridge`, its value): another way to send it, that keeps the fence."""
        last = next((a for a in reversed(self.call.attempts) if a.runtime_id), None)
        if last is None:
            return None
        needs_same_journal = not self.safe and self.ran is not Ran.NO
        for runtime in self.view.runtimes:
            fits = runtime.journal_id == last.journal_id or not needs_same_journal
            if not fits or not _takes_work(runtime):
                continue
            if runtime.runtime_id != last.runtime_id:
                return "runtime_id", runtime.runtime_id
            other = next((b for b in runtime.bridges if b != last.bridge), None)
            if other is not None:
                return "bridge", other
        return None

    # -- what the command wrote ----------------------------------------------------------------------------------

    def error_line(self, attempt: Attempt) -> str | None:
        """The first line of its stderr that is not blank."""
        parts = self.telling.output.get((attempt.tool_call_id, attempt.number, "stderr"), ())
        return first_line(parts[0][1][:SCANNED].decode(errors="replace"), LINE_LENGTH) if parts else None

    def wrote(self, attempt: Attempt, stream: str) -> bool:
        """Whether anything of that stream is known to have been written."""
        known = attempt.streams.get(stream)
        return (known is not None and known.stored > 0) or stated_stream(attempt, stream)["bytes"] > 0

    def last_line(self, attempt: Attempt) -> str | None:
        """The last line it wrote, by the notice or else by stdout."""
        if attempt.last_line:
            return one_line(attempt.last_line, LINE_LENGTH)
        parts = self.telling.output.get((attempt.tool_call_id, attempt.number, "stdout"), ())
        return last_line(parts[-1][1][-SCANNED:].decode(errors="replace"), LINE_LENGTH) if parts else None

    # -- words ---------------------------------------------------------------------------------------------------

    def phrase(self, key: str) -> str:
        """A phrase of the reader's language."""
        return self.telling.catalogue.phrases[key]

    def who(self, actor: e.Actor) -> str:
        """An actor by name; an id is never shown."""
        return actor_words(actor, self.telling)

    def person(self, name: str | None) -> str:
        """An owner as the session names it: a display name, or a phrase instead of an id."""
        if not name:
            return Own(self.phrase("who.owner"))
        known = self.telling.names.get(name)
        if known or not name.startswith(_ID_PREFIXES):
            return one_line(known or name, NAME_LENGTH)
        return Own(self.phrase("who.owner"))

    def clock(self, at_ms: int | None) -> str | None:
        """A time of day; None stays None."""
        return None if at_ms is None else clock(at_ms, self.now, self.telling.zone)

    def span(self, ms: int | None) -> str | None:
        """A length of time; None stays None."""
        return None if ms is None else span(max(ms, 1000), self.telling.catalogue.phrases)

    def since(self, at_ms: int | None) -> str | None:
        """How long ago, without "ago"."""
        return None if at_ms is None else self.span(self.now - at_ms)

    def times(self, n: int) -> str:
        """once, twice, 3 times."""
        return times(max(n, 1), self.telling.catalogue.phrases)


def _is_try(attempt: Attempt) -> bool:
    return attempt.verdict is None or attempt.verdict.code not in NOT_A_TRY


def _by_itself(attempt: Attempt) -> bool:
    return attempt.counted or attempt.why == "busy"


def _takes_work(runtime: RuntimeView) -> bool:
    lives = bool(runtime.bridges) and runtime.healthy and runtime.accepting
    return lives and not (runtime.revoked or runtime.settle_only or runtime.asleep)


def stated_stream(attempt: Attempt, name: str) -> dict[str, Any]:
    """What the end record says of a stream; zero where it says nothing, or nonsense."""
    execution = (attempt.finished.execution if attempt.finished else None) or {}
    streams = execution.get("streams")
    stated = streams.get(name) if isinstance(streams, dict) else None
    if not isinstance(stated, dict) or type(stated.get("bytes")) is not int:
        return {"bytes": 0, "truncated": False}
    return {"bytes": max(0, stated["bytes"]), "truncated": stated.get("truncated") is True}


def fact_time(attempt: Attempt, fact: str, **detail: str) -> int | None:
    """When a noted fact was last seen, with these details."""
    for record in reversed(attempt.facts):
        event = record.event
        if isinstance(event, e.EvidenceNoted) and event.fact == fact and detail.items() <= event.detail.items():
            return record.at_ms
    return None


def has_window(attempt: Attempt, window: str) -> bool:
    """Whether that window passed."""
    return any(isinstance(r.event, e.WindowPassed) and r.event.window == window for r in attempt.facts)


def is_gone(attempt: Attempt) -> bool:
    """Whether the journal said that the process is gone."""
    return any(isinstance(r.event, e.JournalStated) and r.event.state == "process_gone" for r in attempt.facts)


def is_doubtful(attempt: Attempt) -> bool:
    """Whether a promise came from a journal that went back in time."""
    return any(isinstance(r.event, e.JournalStated | e.AttemptRefused) and not r.event.trusted for r in attempt.facts)


def started(attempt: Attempt) -> bool:
    """Whether a start is proved."""
    return attempt.started_at_ms is not None


def open_state(attempt: Attempt) -> AttemptState | None:
    """Its state, None once it has ended."""
    return attempt.state if attempt.open else None


def verdict_kind(attempt: Attempt | None) -> Kind | None:
    """The kind of its verdict."""
    return attempt.verdict.kind if attempt is not None and attempt.verdict is not None else None
