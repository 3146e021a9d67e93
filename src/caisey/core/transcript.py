"""The whole session as one document (API.md `GET /sessions/{id}/transcript`), and that document as Markdown.

Owns the JSON document and its Markdown form; the HTML form is in `transcript_html.py`. Both forms read the document
alone, so they say the same. Whatever an endpoint wrote stands in fenced blocks that it cannot leave, or escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from caisey.core import events as e
from caisey.core.catalogue import ENGLISH, Catalogue
from caisey.core.filling import fill
from caisey.core.plain_text import one_line, visible
from caisey.core.present import present_prompt, present_session
from caisey.core.scene import PLAINLY, Telling, actor_words
from caisey.core.session import Session
from caisey.core.spoken import size
from caisey.core.view import EndpointView

Document = dict[str, Any]

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&@]|:(?=//)|(?<=www)\.)")
_LEADING = re.compile(r"^(?=[#+=-])|^(\d{1,9})(?=[.)])")
_TICKS = re.compile(r"`+")
TEXT_LENGTH = 2000


def transcript(
    session: Session,
    view: EndpointView,
    now_ms: int,
    events: Sequence[Mapping[str, Any]],
    head: Mapping[str, Any] | None,
    *,
    telling: Telling = PLAINLY,
) -> Document:
    """The document. `events` are the session's from the log, `head` the last signed head; both as the shell has them.

    For the output's text, `telling.output` holds the pieces that `present_output.wanted(session)` asks for.
    """
    return {
        "session": present_session(session, view, now_ms, telling)
        | {
            "computer": view.name,
            "client": view.client,
            "owner_name": str(actor_words(e.Actor("user", session.owner), telling)),
        },
        "prompts": [present_prompt(session, p, view, now_ms, telling) for p in session.prompts],
        "events": list(events),
        "head": head,
    }


def markdown(document: Document, catalogue: Catalogue = ENGLISH) -> str:
    """The document for people, as Markdown. Nothing in it can become markup of its own."""
    phrases = catalogue.phrases
    lines = [f"# {escaped(document['session']['title'] or phrases['page.untitled'])}", ""]
    lines += [f"- {name}: {escaped(value)}" for name, value in heading(document, phrases)]
    decided = decisions(document, phrases)
    for number, prompt in enumerate(document["prompts"], 1):
        lines += ["", *_prompt(prompt, number, phrases, decided)]
    said = head_line(document, phrases)
    return "\n".join([*lines, *(["", escaped(said)] if said else []), ""])


def heading(document: Document, phrases: Mapping[str, str]) -> list[tuple[str, str]]:
    """What stands on top: name and value, without what is not known."""
    session = document["session"]
    closed = session["closed"] or {}
    rows = (
        ("page.computer", session["computer"]),
        ("page.client", session["client"]),
        ("page.ticket", session["ticket"]),
        ("page.owner", session["owner_name"]),
        ("page.opened", session["created_at"]),
        ("page.outcome", closed.get("outcome")),
        ("page.verified", closed.get("verified")),
    )
    return [(phrases[key], one_line(str(value), TEXT_LENGTH)) for key, value in rows if value]


def head_line(document: Document, phrases: Mapping[str, str]) -> str:
    """Up to where the log was signed."""
    head = document["head"] or {}
    values = {name: one_line(str(head[name]), 80) if name in head else None for name in ("sequence", "digest")}
    return fill(phrases["page.head"], values, 160)


def decisions(document: Document, phrases: Mapping[str, str]) -> dict[str, list[str]]:
    """By tool call: when a person decided what about the step as a whole, and why. Tries tell their own."""
    found: dict[str, list[str]] = {}
    for event in document["events"]:
        if not event.get("type", "").startswith("tool_call.") or event["actor"]["kind"] not in ("user", "token"):
            continue
        what = event["payload"].get("outcome") or event["type"].removeprefix("tool_call.")
        reason = f" {phrases['page.reason']}: {one_line(event['reason'], 500)}" if event["reason"] else ""
        line = f"{event['at']} {phrases.get(f'decision.{what}', what)}.{reason}"
        found.setdefault(event["payload"]["tool_call_id"], []).append(line)
    return found


def _prompt(
    prompt: Document, number: int, phrases: Mapping[str, str], decided: Mapping[str, list[str]]
) -> Iterator[str]:
    request = phrases["page.request"].replace("{n}", str(number))
    yield f"## {request} · {prompt['created_at']} · {escaped(prompt['who'])}"
    if prompt["origin"]:
        yield from ("", escaped(phrases["page.check_of"]))
    if prompt["text"]:
        yield from ("", *fenced(prompt["text"]))
    for call in prompt["tool_calls"]:
        yield from ("", *_call(call, phrases, decided.get(call["id"], [])))


def _call(call: Document, phrases: Mapping[str, str], decided: list[str]) -> Iterator[str]:
    yield f"### {call['position']}. {escaped(call['literal'])}"
    now = call["now"]
    yield ""
    yield f"**{escaped(now['label'])}** {escaped(now['summary'])}"
    yield ""
    yield f"{phrases['page.did_it_run']} {escaped(now['ran_label'])}"
    for wait in call["waits"]:
        yield from ("", f"{escaped(wait['text'])} ({wait['at']})")
    for attempt in call["attempts"]:
        yield from _attempt(attempt, phrases)
    if decided:
        yield ""
        yield f"{phrases['page.decisions']}:"
        yield from (f"- {escaped(line)}" for line in decided)


def _attempt(attempt: Document, phrases: Mapping[str, str]) -> Iterator[str]:
    said = attempt["verdict"] or attempt["now"]
    yield ""
    yield f"#### {phrases['page.try'].replace('{n}', str(attempt['number']))}: {escaped(said['label'])}"
    changes = list(changes_of(attempt))
    if changes:
        yield ""
        yield f"{phrases['page.changes']}:"
        yield from (f"- {escaped(change)}" for change in changes)
    for title, text in outputs_of(attempt, phrases):
        yield from ("", f"{escaped(title)}", "", *fenced(text))
    if attempt["result"] is not None:
        yield from ("", f"{phrases['page.result']}:", "", *fenced(as_text(attempt["result"])))
    yield ""
    yield f"{phrases['page.how_we_know']}:"
    for fact in attempt["evidence"]:
        yield f"- {fact['at']} {escaped(source_words(fact, phrases))}: {escaped(fact_line(fact, phrases))}"


def changes_of(attempt: Document) -> Iterator[str]:
    """`spooler: running → stopped`."""
    for change in attempt["changes"]:
        before, after = (as_text(change.get(name)) for name in ("before", "after"))
        yield one_line(f"{change.get('what')}: {before} → {after}", 300)


def outputs_of(attempt: Document, phrases: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Title and visible text of each stream that has any."""
    for name, stream in attempt["output"].items():
        if not stream["bytes"]:
            continue
        key = "page.cut" if stream["truncated"] else "page.output"
        title = fill(phrases[key], {"stream": one_line(name, 20), "size": size(stream["bytes"])}, 120)
        yield title, visible(stream["text"])


def fact_line(fact: Document, phrases: Mapping[str, str]) -> str:
    """One fact, with the reason that a person gave."""
    reason = fact.get("reason")
    by_a_person = fact["source"] in ("user", "token")
    tail = f" {phrases['page.reason']}: {one_line(str(reason), 500)}" if reason and by_a_person else ""
    return f"{fact['text']}{tail}"


def source_words(fact: Document, phrases: Mapping[str, str]) -> str:
    """Whose word a fact is."""
    return phrases.get(f"source.{fact['source']}", str(fact["source"]))


def as_text(value: Any) -> str:
    """A JSON value as text: a string stands for itself."""
    if isinstance(value, str):
        return value
    return "none" if value is None else _json(value)


def _json(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{_json(str(k))}: {_json(v)}" for k, v in value.items())
        return "{" + inner + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_json(v) for v in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else "null" if value is None else str(value)


def escaped(text: Any) -> str:
    """One line in which nothing is markup: control characters shown, Markdown's and HTML's own characters escaped."""
    shown = _SPECIAL.sub(r"\\\1", one_line(str(text), TEXT_LENGTH))
    return _LEADING.sub(lambda found: f"{found[1] or ''}\\", shown, count=1)


def fenced(text: str) -> Iterable[str]:
    """A block that its text cannot end: the fence is longer than any run of backticks in it."""
    shown = visible(text)
    fence = "`" * max(3, 1 + max((len(run) for run in _TICKS.findall(shown)), default=0))
    return (f"{fence}text", *shown.split("\n"), fence)
