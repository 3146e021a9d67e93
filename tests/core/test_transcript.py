"""The transcript in three forms, and the ticket note: the same facts, and nothing that an endpoint wrote can act."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from caisey.core import commands as c
from caisey.core.scene import Telling
from caisey.core.session import Session
from caisey.core.states import Effect, HoldReason
from caisey.core.ticket_note import LINE_LENGTH, Audience, ticket_note
from caisey.core.time_spent import merged, overlap, time_spent
from caisey.core.transcript import escaped, fenced, markdown, transcript
from caisey.core.transcript_html import html
from tests.core.walk import HOSTILE, Step, Walk, effects, steps
from tests.core.world import ANNA, BERT, World, spec

EVIL = (
    "</pre><script>alert(1)</script><img src=x onerror=alert(1)>\n```\n# gone\n~~~\n<!-- \x1b]0;t\x07\u202e"
    " [x](javascript:alert(1)) https://e.example www.e.example a@e.example &lt; \" '"
)
OUR_TAGS = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "h4", "dl", "dt", "dd", "section", "article",
    "p", "pre", "code", "strong", "time", "ul", "li", "details", "summary",
}  # fmt: skip
OUR_ATTRIBUTES = {"lang", "charset", "name", "content", "datetime", "class"}
HEAD = {"sequence": 12, "digest": "ab" * 32, "at": "2023-11-14T22:14:00.000Z", "signature": "s"}


class Page(HTMLParser):
    """What a browser would see."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.others: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)


def evil_world() -> tuple[World, Telling]:
    """Every text that somebody else may write is hostile."""
    world = Walk()
    world.view = replace(world.view, name=EVIL, client=EVIL)
    world.do(c.UpdateSession(actor=ANNA, title=EVIL, ticket=EVIL))
    call = replace(spec(effect=Effect.READ_ONLY), tool=EVIL, arguments={"command": EVIL})
    world.prompt(call, text=EVIL)
    world.receipt("acknowledged")
    world.receipt("started", user=EVIL, cwd=EVIL)
    world.write("tcl_1", 1, len(EVIL.encode()))
    change = {"what": EVIL, "before": EVIL, "after": {EVIL: EVIL}}
    world.finish(result={EVIL: [EVIL, 1, None, True]}, has_result=True, changes=(change,))
    world.do(c.CloseSession(actor=ANNA, outcome=EVIL, verified=EVIL))
    output = {("tcl_1", 1, "stdout"): [(0, EVIL.encode())]}
    return world, Telling(names={ANNA.id: EVIL}, output=output)


def document_of(world: World, telling: Telling | None = None) -> dict[str, Any]:
    """The JSON document, through JSON and back."""
    answer = transcript(world.session, world.view, world.now, [{"sequence": 1}], HEAD, telling=telling or Telling())
    loaded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(answer))
    return loaded


def test_the_document_has_the_parts_of_the_page() -> None:
    world = World()
    world.prompt()
    document = document_of(world)
    assert document.keys() == {"session", "prompts", "events", "head"}
    assert document["head"] == HEAD
    assert document["events"] == [{"sequence": 1}]
    assert document["prompts"][0]["tool_calls"][0]["id"] == "tcl_1"


def test_a_hostile_endpoint_puts_no_markup_into_the_page() -> None:
    world, telling = evil_world()
    page = html(document_of(world, telling))
    seen = Page(page)
    assert set(seen.tags) <= OUR_TAGS
    assert {name for name, _ in seen.attributes} <= OUR_ATTRIBUTES
    assert not seen.others
    assert seen.tags.count("style") == 1
    assert "alert(1)" in "".join(seen.text), "it is shown, not dropped"
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", page)
    classes = {value for name, value in seen.attributes if name == "class"}
    assert classes <= {f"call {tone}" for tone in ("plain", "done", "run", "wait", "ask", "alarm")}


def test_a_hostile_endpoint_cannot_leave_its_block_in_markdown() -> None:
    world, telling = evil_world()
    text = markdown(document_of(world, telling))
    outside = outside_of_fences(text)
    assert "# gone" in text
    assert not [line for line in outside if line.startswith("# gone")]
    for line in outside:
        assert not re.search(r"(?<!\\)<", line), line
        assert not re.search(r"(?<!\\)\[", line), line
        assert "https://" not in line
        assert "www.e" not in line
        assert not re.search(r"(?<!\\)@", line), line
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", text)


def outside_of_fences(text: str) -> list[str]:
    """The lines that are not inside a fenced block, by CommonMark's rule for its end."""
    lines, fence = [], ""
    for line in text.split("\n"):
        run = re.match(r"`{3,}", line)
        if fence:
            if run and len(run[0]) >= len(fence) and line.strip("`") == "":
                fence = ""
        elif run:
            fence = run[0]
        else:
            lines.append(line)
    assert not fence, "a block that does not end"
    return lines


@given(st.text())
def test_a_fence_is_longer_than_what_it_holds(text: str) -> None:
    block = list(fenced(text))
    assert outside_of_fences("\n".join([*block, "after"])) == ["after"]


@given(st.text(alphabet="\\`*_[]<>|~&@:#+-=.1 )!(/w", max_size=40))
def test_what_is_escaped_holds_no_markup(text: str) -> None:
    shown = escaped(text)
    bare = re.sub(r"\\.", "", shown)
    assert not set(bare) & set("`*_[]<>|~&@")
    assert not re.match(r"[#+=-]|\d{1,9}[.)]", shown)
    assert "://" not in bare


@settings(max_examples=60, deadline=None)
@given(effects, steps)
def test_every_life_can_be_written_down(kinds: list[Effect], taken: list[Step]) -> None:
    world = Walk()
    world.begin(kinds, hostile=True)
    for step in taken:
        world.take(step)
    document = document_of(world)
    assert outside_of_fences(markdown(document))
    assert set(Page(html(document)).tags) <= OUR_TAGS
    audiences: tuple[Audience, ...] = ("technician", "customer")
    for audience in audiences:
        note = ticket_note(world.session, world.view, world.now, audience)
        assert all(len(line) <= LINE_LENGTH for line in note.split("\n"))
        assert note.replace("\n", "").isprintable()


def test_both_forms_say_the_same() -> None:
    world = World()
    world.prompt(spec("tcl_1", 1), spec("tcl_2", 2))
    world.run()
    world.disconnect()
    world.advance(130_000)
    document = document_of(world)
    text, page = markdown(document), " ".join("".join(Page(html(document)).text).split())
    for said in (
        "Lost contact while it ran",
        "Started, no end recorded",
        "Not sent",
        "The time to come back has passed.",
    ):
        assert said in text
        assert said in page


def test_a_reason_that_a_person_gave_stands_with_the_fact() -> None:
    world = World()
    world.prompt(spec("tcl_1", 1), spec("tcl_2", 2))
    world.run()
    world.state("process_gone")
    world.act("resume", "tcl_2", reason="the first one is stopped")
    assert "Reason: the first one is stopped" in markdown(document_of(world))
    note = ticket_note(world.session, world.view, world.now)
    assert "Because: the first one is stopped." in note


# -- the ticket note ---------------------------------------------------------------------------------------------


def waited_for() -> World:
    """Asked while the computer was offline for 38 minutes; then it ran, and the session was closed."""
    world = World()
    world.do(c.UpdateSession(actor=ANNA, title="Printer", ticket="4711"))
    world.disconnect()
    world.prompt(spec("tcl_1", 1, Effect.READ_ONLY), text="look at the queue")
    assert world.attempt().hold is not None
    assert world.attempt().hold.reason is HoldReason.OFFLINE  # type: ignore[union-attr]
    world.advance(38 * 60_000)
    world.connect(incarnation="I2")
    world.statements_read()
    world.run()
    world.finish(changes=({"what": "spooler", "before": "running", "after": "stopped"},))
    world.now += 4 * 60_000
    world.prompt(spec("tcl_2", 1, Effect.READ_ONLY), prompt_id="pmt_2", actor=BERT)
    world.prove()
    world.run("tcl_2")
    world.finish("tcl_2")
    world.do(c.CloseSession(actor=ANNA, outcome="prints again", verified="a test page"))
    return world


def test_minutes_worked_and_waited() -> None:
    world = waited_for()
    spent = time_spent(world.session, world.now)
    assert (spent.waited_ms, spent.worked_ms) == (38 * 60_000, 4 * 60_000)
    names = Telling(names={ANNA.id: "Anna", BERT.id: "Bert"})
    assert ticket_note(world.session, world.view, world.now, telling=names) == (
        "ACCT-07 · Client · Printer · 4711\n"
        "14 Nov 22:13 UTC to 14 Nov 22:55 UTC. Worked: 4 min. Waited for ACCT-07: 38 min.\n"
        "\n"
        "Request 1 by Anna, 14 Nov 22:13 UTC\n"
        "  “look at the queue”\n"
        "  1. shell true: Done. Ran. spooler: running → stopped.\n"
        "\n"
        "Request 2 by Bert, 14 Nov 22:55 UTC\n"
        "  1. shell true: Done. Ran.\n"
        "\n"
        "Nothing is open.\n"
        "Outcome: prints again\n"
        "Checked: a test page\n"
    )


def test_a_customer_reads_no_commands_and_no_names() -> None:
    world = waited_for()
    note = ticket_note(world.session, world.view, world.now, "customer", telling=Telling(names={ANNA.id: "Anna"}))
    assert "We worked on ACCT-07 for 4 min." in note
    assert "We waited 38 min for the computer." in note
    assert "Steps done: 2." in note
    assert "Outcome: prints again" in note
    for secret in ("shell", "Anna", "tcl_", "ses_", "true", "look at the queue"):
        assert secret not in note


def test_waiting_for_a_person_is_not_waiting_for_the_computer() -> None:
    world = World()
    world.prompt()
    world.run()
    world.state("process_gone")
    world.now += 3_600_000
    assert time_spent(world.session, world.now).waited_ms == 0


def test_an_open_wait_counts_until_now() -> None:
    world = World()
    world.disconnect()
    world.prompt()
    assert time_spent(world.session, world.now + 60_000).waited_ms == 60_000


def test_a_session_without_work_has_a_note() -> None:
    assert ticket_note(Session(id="ses_1", created_at_ms=1_700_000_000_000), World().view, 1_700_000_000_000)


spans = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)).map(sorted).map(tuple), max_size=8)


@given(spans, spans)
def test_spans_are_counted_once(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    one, two = merged(left), merged(right)
    inside = [{m for s, e in group for m in range(s, e)} for group in (left, right)]
    assert sum(e - s for s, e in one) == len(inside[0])
    assert overlap(one, two) == len(inside[0] & inside[1])


@pytest.mark.parametrize("audience", ["technician", "customer"])
def test_a_hostile_world_makes_a_plain_note(audience: Any) -> None:
    world, telling = evil_world()
    note = ticket_note(world.session, world.view, world.now, audience, telling=telling)
    assert note.replace("\n", "").isprintable()
    assert HOSTILE not in note
    assert all(len(line) <= LINE_LENGTH for line in note.split("\n"))
