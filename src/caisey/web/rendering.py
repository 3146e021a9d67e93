"""Templates: how a reply becomes bytes.

Owns the Jinja environment (everything escaped, nothing undefined), its filters, and the compression of pages. Text of
an endpoint is made visible here (`visible`, `one_line`): shown, never obeyed.
"""

from __future__ import annotations

import gzip
import secrets
from collections.abc import Mapping
from datetime import tzinfo
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from caisey.control.zones import zone_of
from caisey.core import plain_text, spoken
from caisey.core.catalogue.phrases import PHRASES
from caisey.web.static_files import StaticFiles
from caisey.web.times import ago, clock, exact, machine, ms_of
from caisey.web.views.browsers import named
from caisey.web.words import WORDS, word

GZIP_FROM: Final = 1024
GZIP_LEVEL: Final = 5
LINE_LENGTH: Final = 400

TONES: Final = frozenset({"plain", "done", "run", "wait", "ask", "alarm"})


class Rendering:
    """One for the program: templates are compiled once."""

    def __init__(self, static_files: StaticFiles) -> None:
        self._environment = Environment(
            loader=PackageLoader("caisey.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            extensions=["jinja2.ext.do"],
        )
        self._environment.filters.update(
            when=_when,
            until=_when,
            exact=_exact,
            clock=_clock,
            span=lambda ms: spoken.span(ms, PHRASES),
            size=spoken.size,
            one_line=_one_line,
            visible=plain_text.visible,
            browser_name=named,
        )
        self._environment.globals.update(
            w=_word,
            words=WORDS,
            static=static_files.url,
            icon=lambda name: _icon(static_files, name),
            tone=_tone,
            new_key=lambda: secrets.token_urlsafe(16),
        )

    def html(self, template: str, context: Mapping[str, Any]) -> bytes:
        """The page. Raises what Jinja raises: a template that lacks something is a defect."""
        return self._environment.get_template(template).render(context).encode()

    def names(self) -> list[str]:
        """All templates there are."""
        return self._environment.list_templates()


def compressed(body: bytes, accepted: str | None) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """The body as the reader takes it, with the headers that say so."""
    if len(body) < GZIP_FROM:
        return body, ()
    if "gzip" not in (accepted or "").lower():
        return body, (("vary", "accept-encoding"),)
    return gzip.compress(body, GZIP_LEVEL, mtime=0), (("content-encoding", "gzip"), ("vary", "accept-encoding"))


def _word(key: str, /, **values: object) -> str:
    """The words of `key`; a value that is markup already (a time, say) stays markup, every other one is escaped."""
    if any(isinstance(value, Markup) for value in values.values()):
        return escape(WORDS[key]).format(**values)
    return word(key, **values)


@pass_context
def _when(context: Context, value: str | int | None) -> Markup:
    """`<time>` with a relative text and the exact time on hover; `never` where there is none."""
    if value is None:
        return escape(WORDS["time.never"])
    at_ms = ms_of(value)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        machine(at_ms), exact(at_ms, _zone(context)), ago(at_ms, context["visit"].now_ms)
    )


@pass_context
def _exact(context: Context, value: str | int | None) -> Markup:
    """`<time>` with the exact time as its text."""
    if value is None:
        return escape(WORDS["time.never"])
    at_ms = ms_of(value)
    return Markup('<time datetime="{}" data-exact>{}</time>').format(machine(at_ms), exact(at_ms, _zone(context)))


@pass_context
def _clock(context: Context, value: str | int | None) -> Markup:
    """`<time>` with the time of day as its text, the whole of it on hover: for lists of what happened on one day."""
    if value is None:
        return escape(WORDS["time.never"])
    at_ms = ms_of(value)
    zone = _zone(context)
    return Markup('<time datetime="{}" title="{}" data-clock>{}</time>').format(
        machine(at_ms), exact(at_ms, zone), clock(at_ms, zone)
    )


def _zone(context: Context) -> tzinfo:
    person = context.get("person")
    return zone_of(person.zone if person is not None else "")


def _one_line(value: object, length: int = LINE_LENGTH) -> str:
    """Foreign text on one line: control characters and direction marks are shown, long text is cut."""
    return plain_text.one_line(str(value), length)


def _icon(static_files: StaticFiles, name: str) -> Markup:
    """A picture beside a word: the word says it, so a screen reader need not."""
    return Markup('<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>').format(
        static_files.url("icons.svg"), name
    )


def _tone(name: str) -> str:
    """The class of a tone; one that is not known is plain."""
    return f"tone-{name if name in TONES else 'plain'}"
