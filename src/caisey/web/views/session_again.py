"""What already ran, and the forms that stand before something is sent.

Owns what the forms hold: the literal list of what will be sent, the reason to begin with, the fields of an edited
command, of a check, of an answer. Pure, from the API's documents.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from caisey.core.catalogue.phrases import PHRASES
from caisey.core.plain_text import one_line
from caisey.web.views.session_now import Button, Now
from caisey.web.views.session_rows import change_text
from caisey.web.words import word

Document = dict[str, Any]

REASON_LENGTH: Final = 160
FIELDS: Final = 40
HOURS: Final = (1, 2, 4, 8, 12, 24, 72)
_MARKS: Final = {"yes": "done", "no": "plain", "partly": "ask", "unconfirmed": "ask"}


class RanStep(NamedTuple):
    """One step of "What already ran"."""

    position: int
    literal: str
    mark: str
    ran: str
    label: str
    changes: str
    at: str


class Choice(NamedTuple):
    """One step from which it may go on."""

    position: int
    tool_call_id: str
    chosen: bool


class Again(NamedTuple):
    """What already ran, and what would be sent."""

    computer: str
    as_of: str
    steps: tuple[RanStep, ...]
    others: tuple[Document, ...]
    choices: tuple[Choice, ...]
    will_send: tuple[Document, ...]
    may_change: bool
    seen: int


class Field(NamedTuple):
    """One input of a form."""

    name: str
    label: str
    value: str
    long: bool
    json: bool
    options: tuple[str, ...] = ()


def again_of(awareness: Document, target_id: str | None) -> Again:
    """The document of `GET /prompts/{id}/awareness`, to be read before a second try of `target_id`."""
    return Again(
        computer=one_line(awareness["computer"], 60) or PHRASES["the_computer"],
        as_of=awareness["as_of"],
        steps=tuple(_ran_step(step) for step in awareness["steps"]),
        others=tuple(awareness["others"]),
        choices=tuple(
            Choice(o["position"], o["tool_call_id"], o["tool_call_id"] == target_id) for o in _options(awareness)
        ),
        will_send=tuple(awareness["will_send"]),
        may_change=awareness["may_change_things"],
        seen=awareness["seen"],
    )


def _options(awareness: Document) -> list[Document]:
    found = awareness["options"]
    return found if len(found) > 1 else []


def _ran_step(step: Document) -> RanStep:
    changes = ", ".join(change_text(change) for change in step["changes"])
    return RanStep(
        position=step["position"],
        literal=one_line(step["literal"], 200),
        mark=_MARKS.get(step["ran"], "plain"),
        ran=step["ran_label"],
        label=step["label"],
        changes=changes or step["changes_note"] or "",
        at=step["ended_at"] or "",
    )


def reason_for(now: Now, again: Again, button: Button) -> str:
    """What the reason field holds at first: how it stood, and what is done about it."""
    done = [f"{step.changes}" for step in again.steps if step.mark == "done" and "→" in step.changes]
    sends = ", ".join(str(one["literal"]) for one in again.will_send[:2])
    parts = [done[-1] if done else now.label, f"{button.label.lower()}: {sends}" if sends else button.label.lower()]
    return one_line("; ".join(parts), REASON_LENGTH)


def send_label(again: Again, button: Button) -> str:
    """Says literally what is pressed: `Send step 3`, `Send steps 2 to 3`."""
    places = [one["position"] for one in again.will_send]
    if not places:
        return button.label
    if len(places) == 1:
        return word("session.send.one", n=places[0])
    return word("session.send.many", first=places[0], last=places[-1])


def news(again: Again, seen: int | None) -> tuple[RanStep, ...]:
    """What is new since `seen`, where the form was opened with an older look: the steps as they stand now."""
    return again.steps if seen is not None and seen < again.seen else ()


# -- fields of other forms -----------------------------------------------------------------------------------------


def edit_fields(call: Document) -> tuple[Field, ...]:
    """The command as it was sent, ready to be edited."""
    return tuple(_field(name, value) for name, value in list(call["arguments"].items())[:FIELDS])


def _field(name: str, value: Any) -> Field:
    if isinstance(value, str):
        return Field(name, _label(name), value, long="\n" in value or name in ("command", "script", "text"), json=False)
    return Field(
        name, _label(name), msgspec.json.encode(value).decode(), long=isinstance(value, dict | list), json=True
    )


def _label(name: str) -> str:
    return one_line(name.replace("_", " "), 60)


def check_fields(tool: Document) -> tuple[Field, ...]:
    """What a check needs that nobody can know but a person; from the tool's schema, the needed ones first."""
    schema = tool["arguments_schema"]
    needed = schema.get("required") or []
    known = schema.get("properties") or {}
    names = [*needed, *(n for n in known if n not in needed)]
    return tuple(_empty_field(name, known.get(name) or {}) for name in names[:FIELDS] if name in needed)


def _empty_field(name: str, schema: Document) -> Field:
    options = tuple(str(o) for o in schema.get("enum") or ())
    is_json = schema.get("type") not in (None, "string") and not options
    return Field(name, _label(name), "", long=name in ("command", "script"), json=is_json, options=options)


def arguments_from(fields: dict[str, str], like: Document | None) -> Document:
    """The arguments of a form. `like` are the former ones: what was no text stays no text. Raises ValueError for a
    field that is no JSON where one has to be."""
    found: Document = dict(like or {})
    for name, text in fields.items():
        former = (like or {}).get(name)
        if like is not None and name in like and not isinstance(former, str):
            found[name] = msgspec.json.decode(text.encode())
        else:
            found[name] = text
    return found
