"""What people read of one tool call or one attempt: label, sentence, tone, did it run, and the codes of the buttons.

Owns `describe`, the one place from which console, CLI, API, webhooks and transcripts take their words. It chooses no
fact and offers no action: the entry is chosen in `variants.py`, values come from `values.py`, what may be done from
`next_actions.py`.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from caisey.core import events as e
from caisey.core.attempt import Attempt
from caisey.core.catalogue import Tone
from caisey.core.catalogue.form import LABEL_LENGTH, SENTENCE_LENGTH
from caisey.core.filling import fill, places
from caisey.core.scene import PLAINLY, Scene, Telling, started
from caisey.core.session import Session
from caisey.core.states import AttemptState, Kind, Ran
from caisey.core.tool_call import ToolCall
from caisey.core.values import values_for
from caisey.core.variants import of_attempt, of_call
from caisey.core.view import EndpointView


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in words. `entry` is the catalogue's key: the small stable code beside the text."""

    entry: str
    label: str
    summary: str
    tone: Tone
    ran: Ran
    ran_label: str
    ran_note: str | None = None  # what would tell, where it is not known
    actions: tuple[str, ...] = ()  # codes of the catalogue, the first ones first


def describe(
    session: Session,
    call: ToolCall,
    attempt: Attempt | None,
    view: EndpointView,
    now_ms: int,
    *,
    telling: Telling = PLAINLY,
) -> Words:
    """Words for an attempt, or for the call as it stands now where `attempt` is None."""
    scene = Scene(session, call, view, now_ms, telling)
    return of_scene(scene) if attempt is None else of_one(scene, attempt)


def of_scene(scene: Scene) -> Words:
    """The call as it stands now."""
    entry, attempt = of_call(scene)
    return _words(scene, entry, attempt, scene.ran, _more(scene, entry))


def of_one(scene: Scene, attempt: Attempt) -> Words:
    """One attempt: its verdict, or its state."""
    ran = attempt.verdict.ran if attempt.verdict is not None else None
    if ran is None:
        ran = Ran.NO if attempt.dispatched_at_ms is None else Ran.UNCONFIRMED
    return _words(scene, of_attempt(scene, attempt), attempt, ran, {})


def former_label(scene: Scene, attempt: Attempt) -> str | None:
    """What was shown of the attempt before its verdict was refined or it was reopened."""
    if not attempt.former:
        return None
    then = _as_it_was(attempt)
    view = scene.view if then.final_word else replace(scene.view, runtimes=())  # without its word, it was away
    return of_one(Scene(scene.session, scene.call, view, scene.now, scene.telling), then).label


def _as_it_was(attempt: Attempt) -> Attempt:
    """The attempt with its last former verdict and the facts that there were then."""
    former = attempt.former[-1]
    shown = [
        index
        for index, fact in enumerate(attempt.facts)
        if isinstance(fact.event, e.AttemptEnded | e.VerdictRefined) and fact.event.verdict == former
    ]
    facts = attempt.facts[: shown[-1] + 1] if shown else attempt.facts
    ends = [f.event for f in facts if isinstance(f.event, e.AttemptFinished)]
    word = any(isinstance(f.event, e.AttemptFinished | e.AttemptRefused | e.JournalStated) for f in facts)
    begun = any(isinstance(f.event, e.AttemptStarted) for f in facts)
    return replace(
        attempt,
        started_at_ms=attempt.started_at_ms if begun else None,
        verdict=former,
        state=AttemptState.ENDED,
        facts=facts,
        finished=ends[-1] if ends else None,
        final_word=word,
        former=(),
        late=False,
    )


def _more(scene: Scene, entry: str) -> dict[str, str | None]:
    """Places that are filled with other words of the catalogue."""
    best = scene.deciding
    if entry != "ended.late_changed" or best is None:
        return {}
    return {"new_label": of_one(scene, best).label}


def _words(scene: Scene, entry: str, attempt: Attempt | None, ran: Ran, more: dict[str, str | None]) -> Words:
    text = scene.telling.catalogue.entries[entry]
    asked = places(text.label) | places(text.sentence)
    values = values_for(asked, scene, attempt) | more
    if "old_label" in asked and attempt is not None:
        values["old_label"] = former_label(scene, attempt)
    summary = fill(text.sentence, values, SENTENCE_LENGTH)
    return Words(
        entry=entry,
        label=fill(text.label, values, LABEL_LENGTH) or ran_label(scene, ran, attempt),
        summary=summary or f"{ran_label(scene, ran, attempt)}.",
        tone=text.tone,
        ran=ran,
        ran_label=ran_label(scene, ran, attempt),
        ran_note=_ran_note(scene, ran, attempt),
        actions=tuple(a for code in text.actions for a in _expanded(scene, code)),
    )


def ran_label(scene: Scene, ran: Ran, attempt: Attempt | None) -> str:
    """Did it run? The same four answers everywhere; of one that died after its start, that no end is recorded."""
    answers = scene.telling.catalogue.ran
    teller = attempt if attempt is not None and attempt.verdict is not None else scene.deciding
    if teller is not None and teller.verdict is not None and teller.verdict.kind is Kind.RUNTIME_DIED:
        begun = ran is Ran.PARTLY or (ran is Ran.UNCONFIRMED and started(teller))
        if begun and teller.verdict.ran is ran:
            return answers["partly (runtime_died)"]
    return answers[ran.value]


def _ran_note(scene: Scene, ran: Ran, attempt: Attempt | None) -> str | None:
    if ran is not Ran.UNCONFIRMED or scene.answers or (attempt is not None and attempt.final_word):
        return None
    return fill(scene.phrase("ran_known_when"), {"computer": scene.computer}, LABEL_LENGTH)


def _expanded(scene: Scene, code: str) -> tuple[str, ...]:
    """`(verdict)` stands for the actions of the verdict, `(again)` for the way to send it again that fits."""
    if code == "(again)":
        return (again_code(scene),)
    if code != "(verdict)":
        return (code,)
    best = scene.deciding
    if best is None:
        return ()
    return scene.telling.catalogue.entries[of_attempt(scene, best)].actions


def again_code(scene: Scene) -> str:
    """Send again (it did not run), run again (it does no harm), or run again from the start (it may)."""
    if scene.ran is Ran.NO:
        return "again_safe"
    return "again_read" if scene.safe else "again_risk"
