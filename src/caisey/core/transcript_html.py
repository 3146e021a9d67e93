"""The transcript's document as one HTML page that stands alone.

Owns the page's elements and its style. Everything that is not ours is escaped at the one place where text enters
(`_text`); there is no script, no link, no picture and no style on an element.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from caisey.core.catalogue import ENGLISH, Catalogue
from caisey.core.plain_text import visible
from caisey.core.transcript import (
    Document,
    as_text,
    changes_of,
    decisions,
    fact_line,
    head_line,
    heading,
    outputs_of,
    source_words,
)

STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; } h3 { font-size: 1rem; margin-top: 1.5rem; }
h4 { font-size: .9rem; margin: 1rem 0 .25rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; } dd { margin: 0; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid #8886; padding: .5rem .75rem; }
pre, code, time { font-family: ui-monospace, monospace; font-size: .85em; }
.done { border-left: 4px solid #2a7d46; } .ask { border-left: 4px solid #b26a00; }
.alarm { border-left: 4px solid #b3261e; } .run { border-left: 4px solid #1f5fbf; }
.plain, .wait { border-left: 4px solid #8886; }
.call { padding-left: 1rem; } li { overflow-wrap: anywhere; }
@media print { details > * { display: block; } }
"""

TONES: Final = frozenset({"plain", "done", "run", "wait", "ask", "alarm"})


def html(document: Document, catalogue: Catalogue = ENGLISH) -> str:
    """The page."""
    phrases = catalogue.phrases
    title = _text(document["session"]["title"] or phrases["page.untitled"])
    body = "\n".join(_body(document, title, phrases))
    return (
        f'<!doctype html>\n<html lang="{_text(catalogue.language)}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _text(value: Any) -> str:
    """The only way for text into the page: controls and invisible characters shown, markup escaped."""
    return escape(visible(str(value)), quote=True)


def _body(document: Document, title: str, phrases: Mapping[str, str]) -> Iterator[str]:
    yield f"<h1>{title}</h1>"
    rows = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in heading(document, phrases))
    yield f"<dl>{rows}</dl>"
    decided = decisions(document, phrases)
    for number, prompt in enumerate(document["prompts"], 1):
        yield from _prompt(prompt, number, phrases, decided)
    said = head_line(document, phrases)
    if said:
        yield f"<p><code>{_text(said)}</code></p>"


def _prompt(
    prompt: Document, number: int, phrases: Mapping[str, str], decided: Mapping[str, list[str]]
) -> Iterator[str]:
    request = _text(phrases["page.request"].replace("{n}", str(number)))
    yield f"<section>\n<h2>{request} · {_time(prompt['created_at'])} · {_text(prompt['who'])}</h2>"
    if prompt["origin"]:
        yield f"<p>{_text(phrases['page.check_of'])}</p>"
    if prompt["text"]:
        yield f"<pre>{_text(prompt['text'])}</pre>"
    for call in prompt["tool_calls"]:
        yield from _call(call, phrases, decided.get(call["id"], []))
    yield "</section>"


def _call(call: Document, phrases: Mapping[str, str], decided: list[str]) -> Iterator[str]:
    now = call["now"]
    tone = now["tone"] if now["tone"] in TONES else "plain"
    yield f'<article class="call {tone}">'
    yield f"<h3>{call['position']}. <code>{_text(call['literal'])}</code></h3>"
    yield f"<p><strong>{_text(now['label'])}</strong> {_text(now['summary'])}</p>"
    yield f"<p>{_text(phrases['page.did_it_run'])} {_text(now['ran_label'])}</p>"
    for wait in call["waits"]:
        yield f"<p>{_text(wait['text'])} ({_time(wait['at'])})</p>"
    for attempt in call["attempts"]:
        yield from _attempt(attempt, phrases)
    if decided:
        items = "".join(f"<li>{_text(line)}</li>" for line in decided)
        yield f"<p>{_text(phrases['page.decisions'])}:</p>\n<ul>{items}</ul>"
    yield "</article>"


def _attempt(attempt: Document, phrases: Mapping[str, str]) -> Iterator[str]:
    said = attempt["verdict"] or attempt["now"]
    number = _text(phrases["page.try"].replace("{n}", str(attempt["number"])))
    yield f"<h4>{number}: {_text(said['label'])}</h4>"
    changes = "".join(f"<li>{_text(change)}</li>" for change in changes_of(attempt))
    if changes:
        yield f"<p>{_text(phrases['page.changes'])}:</p><ul>{changes}</ul>"
    for title, text in outputs_of(attempt, phrases):
        yield f"<p>{_text(title)}</p>\n<pre>{_text(text)}</pre>"
    if attempt["result"] is not None:
        yield f"<p>{_text(phrases['page.result'])}:</p>\n<pre>{_text(as_text(attempt['result']))}</pre>"
    facts = "".join(
        f"<li>{_time(fact['at'])} {_text(source_words(fact, phrases))}: {_text(fact_line(fact, phrases))}</li>"
        for fact in attempt["evidence"]
    )
    yield f"<details><summary>{_text(phrases['page.how_we_know'])}</summary><ul>{facts}</ul></details>"


def _time(at: str) -> str:
    return f'<time datetime="{_text(at)}">{_text(at)}</time>'
