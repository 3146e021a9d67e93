"""The shape of a catalogue: entries, actions, phrases. No texts stand here."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

LABEL_LENGTH = 46
SENTENCE_LENGTH = 125
CONSEQUENCE_LENGTH = 90


class Tone(StrEnum):
    """How loud a thing is: ASK needs a person; ALARM only for identity, safety or a broken audit chain."""

    PLAIN = "plain"
    DONE = "done"
    RUN = "run"
    WAIT = "wait"
    ASK = "ask"
    ALARM = "alarm"


class Entry(NamedTuple):
    """What is shown of one verdict or state. `actions` are codes of the catalogue, the first ones first."""

    tone: Tone
    label: str
    sentence: str
    actions: tuple[str, ...] = ()


class ActionText(NamedTuple):
    """One button. `verb` is the recovery action it sends; None: it sends nothing (it opens, hides or links)."""

    verb: str | None
    label: str
    consequence: str


class Catalogue(NamedTuple):
    """Every text of one language. `{places}` are filled from evidence; a missing value removes its sentence."""

    language: str
    entries: Mapping[str, Entry]
    actions: Mapping[str, ActionText]
    ran: Mapping[str, str]
    phrases: Mapping[str, str]
    facts: Mapping[str, str]
