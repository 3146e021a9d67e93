"""The session page with every kind by ran by state, every form of NOW, and hostile text: what people read, and what a
browser makes of it (CONSOLE.md, Words)."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from msgspec.structs import replace

from caisey.control.roles import Role
from caisey.core.attempt import Attempt, Stream
from caisey.core.events import AttemptFinished, Shape, Verdict
from caisey.core.session import Session
from caisey.core.states import AttemptState, CallState, Effect, Kind, Ran
from caisey.web.words.session import SESSION
from tests.core.test_words import (
    CALLS,
    FORBIDDEN,
    NOISY,
    NOW,
    closed_calls,
    ended_attempts,
    endpoint,
    following,
    open_attempts,
    session_of,
    tried,
)
from tests.core.walk import HOSTILE
from tests.core.world import START
from tests.web.looking import Inside, Look, text_of

# "How we know" may name things as they are; a command is the technician's own, and the composer is not of this page.
_NOT_READ_AS_OURS = re.compile(
    r'<details class="know".*?</details>|<code\b.*?</code>|<pre\b.*?</pre>|<textarea\b.*?</textarea>'
    r'|<div id="composer".*?<a id="now-bar"|<div class="strip-actions">.*?</header>|\bvalue="[^"]*"'
    r'|<span class="steps-what">.*?</span>',
    re.DOTALL,
)


class Checked(HTMLParser):
    """What may act in a browser: scripts, handlers, styles, ids that stand twice."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: Counter[str] = Counter()
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script":
            assert given.keys() == {"type", "src"}, given
            assert str(given["src"]).startswith("/static/"), given
        assert not [name for name in given if name.startswith("on") or name == "style"], (tag, given)
        for name in ("href", "src", "action"):
            if name in given:
                assert re.match(r"/|#|\?", given[name] or ""), (tag, given)
        if given.get("id"):
            self.ids[str(given["id"])] += 1

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def check(html: str, name: str) -> None:
    """Nothing in it acts, nothing is unfilled, and it speaks to people in their words."""
    found = Checked(html)
    assert not [one for one, count in found.ids.items() if count > 1], name
    for text in found.texts:
        assert all(c.isprintable() or c in "\n\t\u00a0\u2007\u202f" for c in text), (name, text)
    content = html[html.find("<main") :] if "<main" in html else html  # the frame's words are the frame's to test
    said = text_of(_NOT_READ_AS_OURS.sub(" ", content))
    assert not set(said) & set("{}"), (name, [line for line in said.splitlines() if set(line) & set("{}")])
    assert not re.search(r"\bNone\b|\bundefined\b|\bnull\b", said), (name, said)
    wrong = FORBIDDEN.search(_WITHOUT_HOSTILE.sub("", said))
    assert wrong is None, (name, wrong, said[max(0, wrong.start() - 60) : wrong.end() + 60])


_WITHOUT_HOSTILE = re.compile(r"[^\n]*(?:&lt;|x{5}|\\u202e|<|␛)[^\n]*")


def look(session: Session, *, connected: bool = True) -> Look:
    """Somebody who looks at it, told by the noisiest names there are."""
    return Look(Inside(session, endpoint(connected), NOW, NOISY), NOW)


def test_every_verdict_can_be_shown() -> None:
    """Every kind by ran by evidence, each in a state of its call and with an effect; in turn, so that all meet."""
    turns = itertools.cycle(itertools.product(CALLS, Effect, (True, False)))
    for attempt, name in ended_attempts():
        (state, follows, more), effect, connected = next(turns)
        attempts = (attempt,) if follows is None else (attempt, following(follows))
        session = session_of(attempts, effect, state, **more)
        shown = look(session, connected=connected)
        check(shown.parts(session.id, prompts="pmt_1", open="tcl_1,tcl_2"), f"{name} {state} {effect}")


def one_of_each() -> Iterator[tuple[Attempt, str]]:
    """One attempt for each kind by ran by code."""
    seen: set[object] = set()
    for attempt, name in ended_attempts():
        assert attempt.verdict is not None
        key = (attempt.verdict.kind, attempt.verdict.ran, attempt.verdict.code)
        if key not in seen:
            seen.add(key)
            yield attempt, name


@pytest.mark.parametrize("connected", [True, False])
def test_every_form_of_every_verdict_can_be_opened(connected: bool) -> None:
    opened: Counter[str] = Counter()
    effects = itertools.cycle(Effect)
    for attempt, name in one_of_each():
        session = session_of(
            (attempt,), next(effects), CallState.WAITING, waiting_why="verdict", owner="x", due_at_ms=1
        )
        shown = look(session, connected=connected)
        page = shown.page(session.id)
        check(page, name)
        for code in sorted(set(re.findall(r"&amp;act=(\w+)#now", page))):
            html = shown.parts(session.id, item="tcl_1", act=code)
            check(html, f"{name} {code}")
            opened[code] += f'data-form-of="{code}"' in html
    usual = {"edit", "help", "aware"} if not connected else {"edit", "help", "aware", "resume", "again_risk"}
    assert usual <= {code for code, count in opened.items() if count}


def test_every_state_can_be_shown() -> None:
    turns = itertools.cycle(itertools.product(Effect, (True, False)))
    opened: set[str] = set()
    for attempt in open_attempts():
        effect, connected = next(turns)
        session = session_of((attempt,), effect, CallState.RUNNING, escalated_to=HOSTILE)
        shown = look(session, connected=connected)
        html = shown.parts(session.id, prompts="pmt_1", open="tcl_1")
        check(html, f"{attempt.state} {effect}")
        for code in sorted(set(re.findall(r"&amp;act=(\w+)#now", html))):
            form = shown.parts(session.id, item="tcl_1", act=code)
            check(form, f"{attempt.state} {code}")
            opened |= {code} if f'data-form-of="{code}"' in form else set()
    assert {"input", "until", "help"} <= opened


def test_what_a_person_closed_can_be_shown() -> None:
    for session in closed_calls():
        check(look(session).page(session.id), session.id)


def test_a_viewer_is_told_why_the_buttons_cannot_be_pressed() -> None:
    attempt, _ = next(iter(one_of_each()))
    died = replace(attempt, verdict=Verdict(Kind.RUNTIME_DIED, Ran.UNCONFIRMED, None, (0,)), started_at_ms=START)
    session = session_of((died,), Effect.MUTATING, CallState.WAITING, waiting_why="verdict", owner="x", due_at_ms=1)
    shown = look(session)
    shown.person = type(shown.person)(
        **{n: getattr(shown.person, n) for n in shown.person.__slots__} | {"role": Role.VIEWER}
    )
    html = shown.parts(session.id)
    assert "Your role may only look." in html
    assert "<form" not in html
    check(html, "viewer")


def test_no_risky_button_is_the_first_one() -> None:
    for attempt, name in one_of_each():
        for effect in Effect:
            session = session_of((attempt,), effect, CallState.WAITING, waiting_why="verdict", owner="x", due_at_ms=1)
            html = look(session).parts(session.id)
            first = re.findall(r'class="action action-first( action-risky)?" data-action="(\w+)"', html)
            assert len(first) <= 1, name
            for risky, code in first:
                assert not risky, name
                assert code not in ("again_risk", "stop", "approve"), name


def malformed(result: object, faults: tuple[Shape, ...]) -> Session:
    """A call whose answer did not fit."""
    end = AttemptFinished(
        tool_call_id="tcl_1", number=1, journal_sequence=5, execution={}, result=result, has_result=True, faults=faults
    )
    attempt = tried(
        state=AttemptState.ENDED,
        verdict=Verdict(Kind.MALFORMED_RESULT, Ran.YES, None, ()),
        verdict_at_ms=START + 90_000,
        started_at_ms=START,
        finished=end,
        streams={"stdout": Stream(covered=((0, 4),), gaps=((4, 9, "lost"),))},
    )
    return session_of((attempt,), Effect.READ_ONLY, CallState.WAITING, waiting_why="verdict", owner="x", due_at_ms=1)


@pytest.mark.parametrize(
    "hostile", [HOSTILE, "<script>alert(1)</script>", "\x1b[2J\x1b]0;t\x07", "\u202egnp.exe", "x" * 10_000_000]
)
def test_hostile_output_is_shown_and_never_obeyed(hostile: str) -> None:
    session = malformed({"state": hostile, "deep": [{"<b>": hostile}]}, (Shape("/state", hostile, hostile),))
    noise = {("tcl_1", 1, "stdout"): [(0, hostile.encode(errors="surrogatepass")[: 128 * 1024])]}
    shown = Look(Inside(session, endpoint(True), NOW, replace(NOISY, output=noise)), NOW)
    for html in (
        shown.page(session.id),
        shown.step(session.id, "tcl_1"),
        shown.step(session.id, "tcl_1", fragment=True),
    ):
        Checked(html)
        assert "<script>alert" not in html
        assert "\x1b" not in html
        assert "\u202e" not in html
        assert len(html) < 400_000
        assert max(len(line) for line in html.splitlines()) < 20_000


def test_the_pages_own_words_are_those_of_people() -> None:
    for key, text in SESSION.items():
        assert not FORBIDDEN.search(re.sub(r"\{\w+\}", "", text)), key
        assert text.strip() == text, key
        assert text, key
