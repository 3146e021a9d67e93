"""What people read, as data: one catalogue per language, with the same keys and the same places to fill.

Owns the shape of a catalogue and the choice of the built-in one. A text never decides anything: which entry is shown is
chosen in `variants.py`, what fills its `{places}` comes from evidence. A translation is one more `Catalogue`; a test
holds it to the keys and places of this one.
"""

from __future__ import annotations

from caisey.core.catalogue.actions import ACTIONS
from caisey.core.catalogue.facts import FACTS
from caisey.core.catalogue.form import ActionText, Catalogue, Entry, Tone
from caisey.core.catalogue.phrases import HOLDS, PHRASES, RAN, UNAVAILABLE
from caisey.core.catalogue.states import STATES
from caisey.core.catalogue.verdicts import VERDICTS

__all__ = ["ENGLISH", "ActionText", "Catalogue", "Entry", "Tone"]

ENGLISH = Catalogue(
    language="en",
    entries=VERDICTS | STATES,
    actions=ACTIONS,
    ran=RAN,
    phrases=PHRASES | HOLDS | UNAVAILABLE,
    facts=FACTS,
)
