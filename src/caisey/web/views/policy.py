"""A policy as a form: what each field is called, what it holds here, what would hold without it and where that is from.

Pure. Owns the spelling of values in fields ("15 min", "8 MiB") and back; what a value may be is the API's to say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from caisey.core.policy import PolicyFields, effective
from caisey.web.words import word

SECTIONS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("policy.noticing", ("heartbeat_interval_s", "missed_to_unhealthy", "ack_window_s", "reconcile_window_s")),
    ("policy.waiting", ("when_unhealthy", "hold_expiry_s", "sleep_expiry_s", "mutating_age_s", "approval_expiry_s")),
    ("policy.recovering", ("max_automatic", "automatic_for", "stall_after_s", "escalate_to", "output_limit_bytes")),
)
CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "when_unhealthy": ("hold", "reroute", "escalate"),
    "automatic_for": ("none", "read_only", "read_only,idempotent", "read_only,idempotent,mutating"),
}
NOBODY: Final = "-"
_UNITS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "day": 86_400.0}
_SPAN: Final = re.compile(r"(\d+(?:[.,]\d+)?)\s*([a-z]*)")
_SIZES: Final = {"": 1, "b": 1, "bytes": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 10**3, "mb": 10**6}

Level = tuple[str, str, Mapping[str, Any]]
"""Its origin as the API names it, its name for people, and what it sets."""


@dataclass(frozen=True, slots=True)
class Field:
    """One line of the form. `typed` is what stands in the field; empty means inherited."""

    name: str
    label: str
    hint: str
    typed: str
    choices: tuple[tuple[str, str], ...]
    inherited: str
    origin: str


def form_of(levels: Sequence[Level], own: Mapping[str, Any], typed: Mapping[str, str] | None = None) -> list[Any]:
    """The sections of the form: `levels` above this one, widest first, and what this one sets itself."""
    folded, origins = effective([(origin, _fields(fields)) for origin, _, fields in levels])
    names = {origin: name for origin, name, _ in levels} | {"default": word("policy.from.default")}
    sections = []
    for title, fields in SECTIONS:
        lines = [
            _field(name, own, typed, _spelled(name, getattr(folded, name)), names[origins[name]]) for name in fields
        ]
        sections.append((title, lines))
    return sections


def effective_of(document: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> list[Any]:
    """The sections as they are in force on one computer: label, value, where it comes from."""
    return [
        (
            title,
            [
                (word(f"policy.{name}"), said(name, document[name]["value"]), _from(document[name]["from"], names))
                for name in fields
            ],
        )
        for title, fields in SECTIONS
    ]


def body_of(form: Mapping[str, str]) -> dict[str, Any]:
    """The body for the API from what was typed: empty fields are inherited, what cannot be read goes as it is."""
    return {name: _value(name, text.strip()) for name, text in form.items() if text.strip()}


def said(name: str, value: Any) -> str:
    """A value as a sentence would say it."""
    if name in CHOICES:
        return word(f"policy.{name}.{_spelled(name, value)}") if _is_known(name, value) else _spelled(name, value)
    return word("policy.nobody") if value is None else _spelled(name, value)


def _field(name: str, own: Mapping[str, Any], typed: Mapping[str, str] | None, inherited: str, origin: str) -> Field:
    text = typed.get(name, "") if typed is not None else _spelled(name, own[name]) if name in own else ""
    choices = CHOICES.get(name, ())
    if choices and text and text not in choices:
        choices = (*choices, text)
    shown = said(name, _value(name, inherited))
    return Field(
        name=name,
        label=word(f"policy.{name}"),
        hint=word(f"policy.{name}.hint"),
        typed=text,
        choices=tuple((choice, said(name, _value(name, choice))) for choice in choices),
        inherited=shown,
        origin=origin,
    )


def _is_known(name: str, value: Any) -> bool:
    return _spelled(name, value) in CHOICES[name]


def _fields(document: Mapping[str, Any]) -> PolicyFields:
    return msgspec.convert(dict(document), PolicyFields)


def _from(origin: str, names: Mapping[str, str]) -> str:
    if origin.startswith("tag:"):
        return word("policy.from.tag", tag=origin.removeprefix("tag:"))
    return names.get(origin, origin)


def _spelled(name: str, value: Any) -> str:
    """As it stands in the field."""
    if value is None:
        return NOBODY
    if name.endswith("_s"):
        return _span(float(value))
    if name == "output_limit_bytes":
        return _size(int(value))
    if name == "automatic_for":
        order = ("read_only", "idempotent", "mutating")
        return ",".join(one for one in order if one in value) or "none"
    return str(value)


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0 and (size != 86_400 or seconds >= 2 * size):
            return f"{int(seconds // size)} {unit}"
    return f"{seconds:g} s"


def _size(count: int) -> str:
    for size, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= size and count % size == 0:
            return f"{count // size} {unit}"
    return str(count)


def _value(name: str, text: str) -> Any:
    """What the API is given; text that cannot be read is given as text, so that the API names what is wrong."""
    if name == "escalate_to":
        return None if text == NOBODY else text
    if name == "automatic_for":
        return [] if text == "none" else text.split(",")
    if name.endswith("_s"):
        return _seconds(text)
    if name == "output_limit_bytes":
        return _bytes(text)
    if name in ("missed_to_unhealthy", "max_automatic"):
        return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else text
    return text


def _seconds(text: str) -> Any:
    match = _SPAN.fullmatch(text.lower())
    if match is None:
        return text
    unit = match[2] if match[2] in _UNITS else match[2].rstrip("s")
    if match[2] and unit not in _UNITS:
        return text
    seconds = float(match[1].replace(",", ".")) * _UNITS[unit or "s"]
    return int(seconds) if seconds.is_integer() else seconds


def _bytes(text: str) -> Any:
    match = _SPAN.fullmatch(text.lower())
    if match is None or match[2] not in _SIZES:
        return text
    return round(float(match[1].replace(",", ".")) * _SIZES[match[2]])
