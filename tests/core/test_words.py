"""The catalogue and what fills it: every entry, place, verdict and state, with the worst names there are."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from caisey import core
from caisey.core import events as e
from caisey.core.attempt import Attempt, Cancel, Hold, Stream
from caisey.core.catalogue import ENGLISH, Catalogue, Tone
from caisey.core.catalogue.form import CONSEQUENCE_LENGTH, LABEL_LENGTH, SENTENCE_LENGTH
from caisey.core.filling import Own, fill, places
from caisey.core.plain_text import first_line, literal, one_line, visible
from caisey.core.present_evidence import TYPES
from caisey.core.scene import Scene, Telling
from caisey.core.session import Prompt, Session
from caisey.core.spoken import clock, rfc3339, size, span, times
from caisey.core.states import (
    Action,
    AttemptState,
    CallState,
    CancelWhy,
    Effect,
    Health,
    HoldReason,
    Kind,
    Notice,
    Ran,
)
from caisey.core.tool_call import Consent, ToolCall
from caisey.core.values import PLACES
from caisey.core.variants import of_attempt, of_call
from caisey.core.view import EndpointView, RuntimeView
from caisey.core.words import describe
from tests.core.walk import HOSTILE
from tests.core.world import ANNA, START, World, execution, spec

# Places that are filled where they are used: the faults of a call, a rule, another verdict's words, a button's own.
ELSEWHERE = {
    "field", "expected", "found", "round", "rule", "scope", "old_label", "new_label", "check", "steps", "new_end",
    "route",
}  # fmt: skip

# Entries that other parts ask for by name: a call that was never accepted, a rule, the page in the browser.
NOT_OF_A_SESSION = {
    "malformed_call.person", "malformed_call.correcting", "malformed_call.used_up", "denied.rule", "page.behind",
}  # fmt: skip

# CONSOLE.md, "Words": the left column, and how nobody is spoken to.
FORBIDDEN = re.compile(
    r"\b(orphan\w*|runtime\w*|endpoint\w*|journal\w*|hold\b|release\w*|retry\w*|requeue\w*|reroute\w*|mutating|idempotent"
    r"|read_only|sendable|verdict\w*|attempt\w*|incarnation\w*|boot id|bridge\w*|fence\w*|reconcile\w*|shape\w*"
    r"|awareness|escalate\w*|please|unfortunately|sorry|error occurred|oops)\b|!",
    re.IGNORECASE,
)


# -- the catalogue -----------------------------------------------------------------------------------------------


def texts(catalogue: Catalogue) -> Iterator[tuple[str, str, int]]:
    """Every text that is put before people, with its length."""
    for key, entry in catalogue.entries.items():
        yield f"{key} label", entry.label, LABEL_LENGTH
        yield f"{key} sentence", entry.sentence, SENTENCE_LENGTH
    for code, action in catalogue.actions.items():
        yield f"{code} label", action.label, LABEL_LENGTH
        yield f"{code} consequence", action.consequence, CONSEQUENCE_LENGTH


ALL_TEXTS = list(texts(ENGLISH))


@pytest.mark.parametrize(("name", "text", "length"), ALL_TEXTS, ids=[t[0] for t in ALL_TEXTS])
def test_a_text_fits_whatever_fills_it(name: str, text: str, length: int) -> None:
    usual = fill(text, dict.fromkeys(places(text), "9"), length)
    assert usual.count(".") == text.count("."), "with short values every sentence is there"
    for value in (HOSTILE, "x" * 500, ""):
        cleaned = one_line(value, 100)
        filled = fill(text, dict.fromkeys(places(text), cleaned), length)
        assert len(filled) <= length
        assert filled or not places(text) or not cleaned
        assert not set(filled) & set("{}")


@pytest.mark.parametrize(("name", "text", "length"), ALL_TEXTS, ids=[t[0] for t in ALL_TEXTS])
def test_a_missing_value_removes_its_sentence_and_nothing_else(name: str, text: str, length: int) -> None:
    for missing in places(text):
        values = {place: None if place == missing else "9" for place in places(text)}
        filled = fill(text, values, length)
        assert "{" not in filled
        assert "None" not in filled
        assert len(filled) < len(text)


def test_no_text_uses_our_own_words_for_ourselves() -> None:
    for name, text, _ in ALL_TEXTS:
        assert not FORBIDDEN.search(re.sub(r"\{\w+\}", "", text)), name
    for key, phrase in itertools.chain(ENGLISH.phrases.items(), ENGLISH.ran.items()):
        assert not FORBIDDEN.search(re.sub(r"\{\w+\}", "", phrase)), key


def test_every_place_is_known() -> None:
    asked = {place for _, text, _ in ALL_TEXTS for place in places(text)}
    assert asked <= PLACES.keys() | ELSEWHERE
    assert PLACES.keys() <= asked, "a place that no text asks for"


def test_every_action_of_an_entry_exists_and_sends_a_known_verb() -> None:
    for key, entry in ENGLISH.entries.items():
        assert set(entry.actions) - {"(verdict)", "(again)"} <= ENGLISH.actions.keys(), key
    verbs = {a.verb for a in ENGLISH.actions.values() if a.verb is not None}
    assert verbs - {"approve", "deny"} == {str(a) for a in Action}


SOURCES = [p.read_text(encoding="utf-8") for p in Path(core.__file__).parent.glob("*.py")]


def test_every_phrase_that_is_asked_for_exists_and_none_is_dead() -> None:
    code = "\n".join(SOURCES)
    asked = set(re.findall(r"""(?:phrase\(|say\(|phrases\[)\s*f?["']([\w.]+)""", code))
    literal_keys = {key for key in asked if not key.endswith(".")}
    families = {"ran_sentence", "who", "times", "span", "hold", "unavailable", "gap", "source", "first", "changes"}
    families |= {"decision", "what_ran"}
    assert literal_keys <= ENGLISH.phrases.keys()
    for key in ENGLISH.phrases.keys() - literal_keys:
        assert key.partition(".")[0] in families or f'"{key}"' in code or f'"{key.rpartition(".")[0]}"' in code, key


def test_every_fact_has_words() -> None:
    told_by_variant = {"statement", "stalled", "finished", "lost", "window_passed"}
    assert set(TYPES.values()) - told_by_variant <= set(ENGLISH.facts)
    for family in told_by_variant:
        assert any(key.startswith(f"{family}.") for key in ENGLISH.facts)
    for hold in HoldReason:
        assert f"hold.{hold.value}" in ENGLISH.phrases
    for health in Health:
        assert f"unavailable.{health.value}" in ENGLISH.phrases


def test_nothing_that_waits_by_itself_asks_and_nothing_that_asks_is_silent() -> None:
    for key, entry in ENGLISH.entries.items():
        if key.endswith(".automatic"):
            assert entry.tone is Tone.WAIT, key
        if entry.tone is Tone.ASK:
            assert entry.actions, key
        assert entry.tone is not Tone.ALARM, "a stall is never red"


# -- every verdict and state -------------------------------------------------------------------------------------

WHY: dict[Kind, tuple[tuple[str | None, ...], tuple[Ran, ...]]] = {
    Kind.ANSWERED: ((None,), (Ran.YES,)),
    Kind.EMPTY: ((None,), (Ran.YES,)),
    Kind.MALFORMED_CALL: ((None,), (Ran.NO,)),
    Kind.MALFORMED_RESULT: ((None,), (Ran.YES, Ran.PARTLY, Ran.UNCONFIRMED)),
    Kind.ORPHANED: ((None,), (Ran.NO, Ran.UNCONFIRMED)),
    Kind.RUNTIME_DIED: ((None,), (Ran.NO, Ran.PARTLY, Ran.UNCONFIRMED)),
    Kind.COMMAND_FAILED: ((None,), (Ran.YES,)),
    Kind.TIMED_OUT: ((None,), (Ran.PARTLY, Ran.UNCONFIRMED)),
    Kind.REFUSED: (
        (
            "attempt.superseded", "attempt.withdrawn", "runtime.busy", "runtime.revoked", "dispatch.changed",
            "dispatch.too_old", "journal.full", "tool.unknown", "tool.wrong_platform", "anything.else", "",
        ),
        tuple(Ran),
    ),
    Kind.DENIED: ((None, "policy.rule"), tuple(Ran)),
    Kind.EXPIRED: ((None,), tuple(Ran)),
    Kind.CANCELLED: ((None,), tuple(Ran)),
}  # fmt: skip


def fact(event: e.Event, reason: str | None = None) -> e.Recorded:
    """One fact, a minute after the start."""
    return e.Recorded(START + 60_000, ANNA, event, reason, 1)


def noted(name: str, **detail: Any) -> e.Recorded:
    """A fact that moves nothing."""
    return fact(e.EvidenceNoted(tool_call_id="tcl_1", number=1, fact=name, detail=detail))


def stated(state: str, trusted: bool = True) -> e.Recorded:
    """The journal spoke."""
    return fact(
        e.JournalStated(
            tool_call_id="tcl_1", number=1, state=state, journal_id="J1", journal_sequence=9, trusted=trusted
        )
    )


def window(name: str) -> e.Recorded:
    """A window passed."""
    return fact(e.WindowPassed(tool_call_id="tcl_1", number=1, window=name))


def held(reason: HoldReason) -> e.Recorded:
    """It was kept back."""
    return fact(e.AttemptHeld(tool_call_id="tcl_1", number=1, reason=reason, until_ms=START))


EVIDENCE: dict[str, tuple[e.Recorded, ...]] = {
    "nothing": (),
    "agent restarted": (noted("new_incarnation", boot="same"), stated("process_gone")),
    "computer restarted": (noted("new_incarnation", boot="new"), stated("process_gone")),
    "doubtful": (stated("never_received", trusted=False),),
    "held offline": (held(HoldReason.OFFLINE), window("hold")),
    "held busy": (held(HoldReason.BUSY), window("hold")),
    "approval": (window("approval"),),
    "a reason": (fact(e.ApprovalAsked(tool_call_id="tcl_1", number=1, due_at_ms=START), HOSTILE),),
}

# Evidence that no other kind turns on, and the kinds that turn on nothing else.
ONLY_FOR: dict[Kind, tuple[str, ...]] = {
    Kind.REFUSED: ("nothing", "doubtful"),
    Kind.DENIED: ("nothing", "a reason"),
    Kind.EXPIRED: ("nothing", "held offline", "held busy", "approval"),
}
ELSE = ("nothing", "agent restarted", "computer restarted", "doubtful")

WITHOUT_AN_END = frozenset({Kind.REFUSED, Kind.DENIED, Kind.EXPIRED, Kind.ORPHANED, Kind.MALFORMED_CALL})
MAY_HAVE_BEGUN = frozenset({Kind.RUNTIME_DIED, Kind.MALFORMED_RESULT})

EXECUTIONS: dict[str, dict[str, Any] | None] = {
    "none": None,
    "exit": execution(exit_code=3),
    "signal": execution(exit_code=None, signal=HOSTILE),
    "shutdown": execution(exit_code=None, ended_by="shutdown", ended_ms=START + 30_000),
    "nonsense": {"exit_code": HOSTILE, "ended_ms": 10**30, "started_ms": None, "streams": HOSTILE},
}


def endpoint(connected: bool, name: str = HOSTILE, grace: bool = False) -> EndpointView:
    """The computer, with the agent that has the attempt."""
    bridges = ("websocket",) if connected else ()
    runtime = RuntimeView("R1", "J1", "I1", "B1", bridges, connected, START, START, version=HOSTILE)
    health = Health.HEALTHY if connected else Health.OFFLINE
    policy = World().view.policy
    until = START + 10_000_000 if grace else 0
    return EndpointView(
        "ept_1", policy, name, name, health, START, (runtime,), grace_from_ms=START + 1, grace_until_ms=until
    )


def session_of(attempts: tuple[Attempt, ...], effect: Effect, state: CallState, **more: Any) -> Session:
    """A session with one prompt: the call, and one step after it that was not sent."""
    consents = tuple(Consent(n, START, START, ANNA) for n in (1, 2))
    call = ToolCall(
        spec=replace(spec(effect=effect), tool="t" * 80),
        prompt_id="pmt_1",
        state=state,
        attempts=attempts,
        consents=consents,
        sequence=7,
        **more,
    )
    later = ToolCall(spec=spec("tcl_2", 2), prompt_id="pmt_1", consents=consents[:1])
    prompt = Prompt(id="pmt_1", accepted_at_ms=START, actor=ANNA, call_ids=("tcl_1", "tcl_2"))
    calls = {"tcl_1": call, "tcl_2": later}
    return Session(id="ses_1", owner=HOSTILE, prompts={"pmt_1": prompt}, calls=calls)


def tried(**more: Any) -> Attempt:
    """A sent attempt."""
    usual: dict[str, Any] = {
        "tool_call_id": "tcl_1",
        "number": 1,
        "consent": 1,
        "queued_at_ms": START,
        "due_at_ms": START + 8_000,
        "runtime_id": "R1",
        "journal_id": "J1",
        "bridge": "websocket",
        "dispatched_at_ms": START,
        "window_ends_ms": START + 10_000,
    }
    return Attempt(**(usual | more))


def following(state: AttemptState) -> Attempt:
    """The automatic try after it."""
    hold = Hold(HoldReason.JOURNAL_MUST_ANSWER, START + 1, START) if state is AttemptState.HELD else None
    return tried(number=2, state=state, counted=True, why="requeue", hold=hold)


def evidence_for(kind: Kind) -> list[tuple[str, tuple[e.Recorded, ...]]]:
    """What a verdict of this kind may turn on."""
    return [(name, EVIDENCE[name]) for name in ONLY_FOR.get(kind, ELSE)]


def ended_attempts() -> Iterator[tuple[Attempt, str]]:
    """Every verdict with every evidence and execution."""
    for kind, (codes, rans) in WHY.items():
        ends = {"none": None} if kind in WITHOUT_AN_END else EXECUTIONS
        begins = (False, True) if kind in MAY_HAVE_BEGUN else (kind not in WITHOUT_AN_END,)
        for code, ran, (name, facts), (how, run), begun in itertools.product(
            codes, rans, evidence_for(kind), ends.items(), begins
        ):
            end = (
                None
                if run is None
                else e.AttemptFinished(tool_call_id="tcl_1", number=1, journal_sequence=5, execution=run)
            )
            attempt = tried(
                state=AttemptState.ENDED,
                verdict=e.Verdict(kind, ran, code, (0,)),
                verdict_at_ms=START + 90_000,
                started_at_ms=START if begun else None,
                lost_at_ms=START + 1_000,
                facts=facts,
                finished=end,
                final_word=end is not None or bool(facts),
                streams={"stderr": Stream(covered=((0, 9),))} if how == "exit" else {},
                cancel=Cancel(CancelWhy.CANCEL, START, ANNA) if kind is Kind.CANCELLED else None,
            )
            yield attempt, f"{kind} {ran} {code} {name} {how}"


CALLS: list[tuple[CallState, AttemptState | None, dict[str, Any]]] = [
    (CallState.WAITING, None, {"waiting_why": "verdict", "owner": "x", "due_at_ms": START}),
    (CallState.RUNNING, AttemptState.QUEUED, {}),
    (CallState.RUNNING, AttemptState.HELD, {}),
    (CallState.ENDED, None, {"outcome": "done"}),
]

NOW = START + 100_000
NOISY = Telling(
    names={"tok_anna": HOSTILE},
    output={("tcl_1", 1, "stderr"): [(0, HOSTILE.encode())], ("tcl_1", 1, "stdout"): [(0, b"\xff{}\x00")]},
)


def check(words: Any, name: str) -> None:
    """CONSOLE.md: lengths, nothing unfilled, nothing that can act on a screen."""
    assert 0 < len(words.label) <= LABEL_LENGTH, name
    assert 0 < len(words.summary) <= SENTENCE_LENGTH, name
    for text in (words.label, words.summary, words.ran_label, words.ran_note or "-"):
        assert not set(text) & set("{}"), name
        assert "None" not in text, (name, text)
        assert text.isprintable(), name
    assert words.actions is not None


REACHED: set[str] = set()


def test_every_verdict_has_words_that_fit() -> None:
    views = [endpoint(True), endpoint(False), endpoint(False, name="")]
    tellings = [NOISY, replace(NOISY, neighbours_answer=True), Telling()]
    for attempt, name in ended_attempts():
        for effect, (state, follows, more) in itertools.product(Effect, CALLS):
            attempts = (attempt,) if follows is None else (attempt, following(follows))
            session = session_of(attempts, effect, state, **more)
            call = session.calls["tcl_1"]
            for view, telling in zip(views, tellings, strict=True):
                words = describe(session, call, attempt, view, NOW, telling=telling)
                REACHED.add(words.entry)
                check(words, name)
                whole = describe(session, call, None, view, NOW, telling=telling)
                REACHED.add(whole.entry)
                check(whole, name)


def open_attempts() -> Iterator[Attempt]:
    """Every state, with everything that may be known of it."""
    lost = e.AttemptLost(tool_call_id="tcl_1", number=1, why="silent", due_at_ms=START)
    found = e.AttemptFound(tool_call_id="tcl_1", number=1, state="started", due_at_ms=START)
    back = (fact(lost), fact(found))
    with_gap = Stream(gaps=((0, 5, "lost"),))
    stopping = Cancel(CancelWhy.CANCEL, START, ANNA)
    former = (e.Verdict(Kind.ORPHANED, Ran.UNCONFIRMED),)
    yield tried(state=AttemptState.QUEUED, dispatched_at_ms=None)
    yield tried(state=AttemptState.QUEUED, dispatched_at_ms=None, check_due_ms=START)
    yield tried(state=AttemptState.AWAITING_APPROVAL)
    for reason in HoldReason:
        for detail in (None, "age", "journal_regressed", "others:1", "others:4", HOSTILE):
            yield tried(state=AttemptState.HELD, hold=Hold(reason, START + 9, START, None, detail))
    for state in (AttemptState.DISPATCHED, AttemptState.ACKNOWLEDGED, AttemptState.STARTED, AttemptState.LOST):
        begun = {"started_at_ms": START, "quiet_since_ms": START} if state is AttemptState.STARTED else {}
        known: tuple[dict[str, Any], ...] = (
            {},
            {"asked_at_ms": START},
            {"cancel": stopping},
            {"dispatched_at_ms": NOW - 10},
            {"lost_at_ms": START, "asleep": True},
            {"started_at_ms": START, "lost_at_ms": START, "facts": back},
            {"started_at_ms": START, "facts": back, "streams": {"stdout": with_gap}},
            {"late": True, "former": former, "facts": back},
            *({"notice": notice, "last_line": HOSTILE} for notice in Notice),
        )
        for more in known:
            yield tried(state=state, **(begun | more))


def test_every_state_has_words_that_fit() -> None:
    for attempt in open_attempts():
        for effect, grace, connected in itertools.product(Effect, (False, True), (False, True)):
            session = session_of((attempt,), effect, CallState.RUNNING, escalated_to=HOSTILE)
            view = endpoint(connected, grace=grace)
            for telling in (NOISY, Telling()):
                for words in (
                    describe(session, session.calls["tcl_1"], attempt, view, NOW, telling=telling),
                    describe(session, session.calls["tcl_1"], None, view, NOW, telling=telling),
                    describe(session, session.calls["tcl_2"], None, view, NOW, telling=telling),
                ):
                    REACHED.add(words.entry)
                    check(words, f"{attempt.state} {words.entry}")


def closed_calls() -> Iterator[Session]:
    """Calls that a person closed or that wait, and late words."""
    died = e.Verdict(Kind.RUNTIME_DIED, Ran.UNCONFIRMED, None, (0,))
    done = e.Verdict(Kind.ANSWERED, Ran.YES, None, (0,))
    gone = tried(state=AttemptState.ENDED, verdict=died, verdict_at_ms=START, started_at_ms=START)
    for outcome in ("accepted_partial", "dropped", "resumed_past", "replaced", "kept"):
        yield session_of((gone,), Effect.MUTATING, CallState.ENDED, outcome=outcome, ended_at_ms=START, ended_by=ANNA)
    for why in ("automatic_used_up", "review_needed"):
        yield session_of(
            (gone, replace(gone, number=2, counted=True)), Effect.MUTATING, CallState.WAITING, waiting_why=why
        )
    for verdict in (died, done):
        late = replace(gone, verdict=verdict, former=(died,), late=True, final_word=True)
        yield session_of((late,), Effect.MUTATING, CallState.ENDED, outcome="done")
    superseded = e.Verdict(Kind.REFUSED, Ran.NO, "attempt.superseded", (0,))
    first = replace(gone, verdict=done)
    second = replace(gone, number=2, verdict=superseded, counted=True)
    yield session_of((first, second), Effect.MUTATING, CallState.ENDED, outcome="done")
    overtaken = replace(first, verdict=superseded, started_at_ms=None)
    took_over = replace(gone, number=2, verdict=done, counted=True, acknowledged_at_ms=START)
    yield session_of((overtaken, took_over), Effect.MUTATING, CallState.ENDED, outcome="done")
    for kind in (Kind.ANSWERED, Kind.EMPTY):
        lost = e.Verdict(Kind.ORPHANED, Ran.NO, None, (0,))
        second = replace(gone, number=2, verdict=e.Verdict(kind, Ran.YES, None, (0,)), counted=True)
        yield session_of((replace(gone, verdict=lost), second), Effect.MUTATING, CallState.ENDED, outcome="done")


def steps_before() -> Iterator[tuple[Session, str]]:
    """The call is step 2 of 3: the one before it is done, stopped, or still on its way."""
    died = e.Verdict(Kind.RUNTIME_DIED, Ran.UNCONFIRMED, None, (0,))
    gone = tried(tool_call_id="tcl_2", state=AttemptState.ENDED, verdict=died, started_at_ms=START, final_word=True)
    session = session_of((), Effect.MUTATING, CallState.ENDED, outcome="done")
    third = ToolCall(spec=spec("tcl_3", 3), prompt_id="pmt_1")
    second = replace(session.calls["tcl_2"], attempts=(gone,), state=CallState.WAITING, waiting_why="verdict")
    prompt = replace(session.prompts["pmt_1"], call_ids=("tcl_1", "tcl_2", "tcl_3"))
    calls = session.calls | {"tcl_2": second, "tcl_3": third}
    stopped = replace(session, calls=calls, prompts={"pmt_1": prompt})
    yield stopped, "tcl_2"
    yield stopped, "tcl_3"
    running = replace(session.calls["tcl_1"], state=CallState.RUNNING, attempts=(tried(),), outcome=None)
    yield replace(session, calls=session.calls | {"tcl_1": running}), "tcl_2"
    alone = replace(session.prompts["pmt_1"], call_ids=("tcl_1",))
    single = replace(session.calls["tcl_1"], attempts=(replace(gone, tool_call_id="tcl_1"),), state=CallState.WAITING)
    yield replace(session, calls={"tcl_1": replace(single, outcome=None)}, prompts={"pmt_1": alone}), "tcl_1"


def test_every_call_that_stands_or_was_closed_has_words_that_fit() -> None:
    sessions = [(s, "tcl_1") for s in closed_calls()] + list(steps_before())
    for session, call_id in sessions:
        call = session.calls[call_id]
        for view, attempt in itertools.product((endpoint(True), endpoint(False)), (None, *call.attempts)):
            words = describe(session, call, attempt, view, NOW, telling=NOISY)
            REACHED.add(words.entry)
            check(words, words.entry)


def test_no_entry_is_dead() -> None:
    """Runs after the three above, which fill REACHED; alone, it fills it itself."""
    if not REACHED:
        test_every_verdict_has_words_that_fit()
        test_every_state_has_words_that_fit()
        test_every_call_that_stands_or_was_closed_has_words_that_fit()
    assert ENGLISH.entries.keys() - REACHED <= NOT_OF_A_SESSION


def test_did_it_run_has_four_answers_and_a_fifth_for_what_died_after_its_start() -> None:
    view = endpoint(True)
    answers: dict[tuple[Kind, Ran, bool], set[str]] = {}
    for attempt, _ in ended_attempts():
        assert attempt.verdict is not None
        session = session_of((attempt,), Effect.MUTATING, CallState.WAITING, waiting_why="verdict")
        words = describe(session, session.calls["tcl_1"], attempt, view, NOW)
        begun = attempt.started_at_ms is not None
        answers.setdefault((attempt.verdict.kind, attempt.verdict.ran, begun), set()).add(words.ran_label)
    assert answers.pop((Kind.RUNTIME_DIED, Ran.UNCONFIRMED, True)) == {"Started, no end recorded"}
    assert answers.pop((Kind.RUNTIME_DIED, Ran.PARTLY, True)) == {"Started, no end recorded"}
    assert answers.pop((Kind.RUNTIME_DIED, Ran.PARTLY, False)) == {"Started, no end recorded"}
    for (_, ran, _), labels in answers.items():
        assert labels == {ENGLISH.ran[ran.value]}


def test_what_would_tell_is_said_while_the_computer_does_not_answer() -> None:
    attempt = tried(state=AttemptState.ENDED, verdict=e.Verdict(Kind.ORPHANED, Ran.UNCONFIRMED, None, (0,)))
    session = session_of((attempt,), Effect.MUTATING, CallState.WAITING, waiting_why="verdict")
    call = session.calls["tcl_1"]
    assert describe(session, call, attempt, endpoint(False, "ACCT-07"), NOW).ran_note == "Known when ACCT-07 answers"
    assert describe(session, call, attempt, endpoint(True, "ACCT-07"), NOW).ran_note is None


def test_every_place_is_total() -> None:
    """Each place answers for every attempt there may be, or says that it cannot."""
    for attempt in [*open_attempts(), *(a for a, _ in itertools.islice(ended_attempts(), 0, None, 37))]:
        session = session_of((attempt,), Effect.MUTATING, CallState.RUNNING)
        scene = Scene(session, session.calls["tcl_1"], endpoint(False), NOW, NOISY)
        for name, place in PLACES.items():
            value = place(scene, attempt)
            assert value is None or "{" not in value, name
            place(scene, None)


def test_a_translation_is_one_more_catalogue() -> None:
    entries = {key: entry._replace(label=entry.label.swapcase()) for key, entry in ENGLISH.entries.items()}
    other = ENGLISH._replace(language="xx", entries=entries)
    attempt = tried(state=AttemptState.ENDED, verdict=e.Verdict(Kind.ANSWERED, Ran.YES, None, (0,)))
    session = session_of((attempt,), Effect.MUTATING, CallState.ENDED, outcome="done")
    said = describe(session, session.calls["tcl_1"], None, endpoint(True), NOW, telling=Telling(catalogue=other))
    assert said.label == "dONE"


def test_keys_of_variants_are_keys_of_the_catalogue() -> None:
    for attempt, name in ended_attempts():
        session = session_of((attempt,), Effect.IDEMPOTENT, CallState.WAITING, waiting_why="verdict")
        scene = Scene(session, session.calls["tcl_1"], endpoint(True), NOW, Telling())
        assert of_attempt(scene, attempt) in ENGLISH.entries, name
        assert of_call(scene)[0] in ENGLISH.entries, name


# -- filling, cleaning, times ------------------------------------------------------------------------------------


@given(st.text(), st.integers(1, 200))
def test_foreign_text_becomes_one_harmless_line(text: str, length: int) -> None:
    shown = one_line(text, length)
    assert len(shown) <= length
    assert "\n" not in shown
    assert not set(shown) & set("{}")
    assert all(c.isprintable() or c in "\u00a0\u2007\u202f" for c in shown)


@given(st.text())
def test_visible_keeps_lines_and_shows_the_rest(text: str) -> None:
    shown = visible(text)
    assert all(c.isprintable() or c in "\n\t\u00a0\u2007\u202f" for c in shown)
    assert shown.count("\n") == text.replace("\r\n", "\n").count("\n")


@given(st.text(), st.text(), st.integers(10, 130))
def test_filling_never_reads_a_value_again(left: str, right: str, length: int) -> None:
    values = {"a": one_line(left, 90), "b": one_line(right, 90)}
    filled = fill("{a} and {b}. Then {b}.", values, length)
    assert len(filled) <= length
    assert "{" not in filled


def test_long_values_give_way_before_sentences_do() -> None:
    filled = fill("{a} broke. Nothing ran.", {"a": "x" * 300}, 60)
    assert filled.endswith("… broke. Nothing ran.")
    assert len(filled) == 60


def test_a_phrase_of_ours_begins_a_sentence_with_a_capital_a_name_does_not() -> None:
    assert fill("{a} slept.", {"a": Own("the computer")}, 60) == "The computer slept."
    assert fill("{a} slept.", {"a": "web-01"}, 60) == "web-01 slept."


def test_a_call_as_one_says_it() -> None:
    assert literal("service", {"name": "spooler", "action": "start"}) == "service start spooler"
    assert literal("shell", {"command": "a\nb\x07"}) == "shell a b\u2407"
    assert literal("x", {"deep": {"a": 1}, "on": True, "off": False, "n": 3, "no": None}) == "x deep=… on off=no 3"


def test_the_first_line_that_says_something() -> None:
    assert first_line("\n \n  boom \nmore", 20) == "boom"
    assert first_line(" \n", 20) is None


@pytest.mark.parametrize(
    ("ms", "said"),
    [(0, "0 ms"), (999, "999 ms"), (1_000, "1 s"), (99_000, "99 s"), (120_000, "2 min"), (7_200_000, "2 h"),
     (4 * 86_400_000, "4 days"), (-5, "0 ms")],
)  # fmt: skip
def test_spans(ms: int, said: str) -> None:
    assert span(ms, ENGLISH.phrases) == said


def test_times_and_sizes() -> None:
    assert [times(n, ENGLISH.phrases) for n in (1, 2, 3)] == ["once", "twice", "3 times"]
    assert [size(n) for n in (1, 999, 2_100_000, 10**15)] == ["1 byte", "999 bytes", "2.1 MB", "1000 TB"]


def test_clock_by_nearness() -> None:
    assert clock(START, START) == "22:13:20 UTC"
    assert clock(START, START + 3_600_000) == "22:13 UTC"
    assert clock(START, START + 86_400_000) == "14 Nov 22:13 UTC"


@given(st.integers(-(10**30), 10**30))
def test_any_number_is_some_time(at_ms: int) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", rfc3339(at_ms))
    assert clock(at_ms, START)
