"""Evidence as the API shows it: each fact with its time, its source and a type by RECOVERY.md §3's words.

Owns the names of the types and the sentence of each. The order and the places in the list are those of the attempt's
facts, so that what a verdict cites can be found by its index.
"""

from __future__ import annotations

from typing import Any

import msgspec

from caisey.core import events as e
from caisey.core.filling import fill
from caisey.core.plain_text import one_line
from caisey.core.scene import Scene
from caisey.core.spoken import optional_rfc3339, rfc3339, size
from caisey.core.states import CancelWhy, Kind

LINE_LENGTH = 200
MAX_FACTS = 400  # of one attempt, in one answer; the middle is left out, and said

TYPES: dict[type[e.Event], str] = {
    e.AttemptQueued: "queued",
    e.AttemptHeld: "held",
    e.AttemptReleased: "released",
    e.AttemptCheckAsked: "check_asked",
    e.ApprovalAsked: "approval_asked",
    e.ApprovalGiven: "approval_given",
    e.AttemptDispatched: "dispatched",
    e.ReconcileAsked: "reconcile_asked",
    e.CancelRequested: "cancel_requested",
    e.AttemptAcknowledged: "acknowledged",
    e.AttemptStarted: "started",
    e.AttemptProgressed: "progress",
    e.AttemptNoticed: "stalled",
    e.OutputConflicted: "output_conflict",
    e.OutputGap: "gap",
    e.InputGiven: "input_given",
    e.InputAccepted: "input_accepted",
    e.AttemptFinished: "finished",
    e.AttemptRefused: "refused",
    e.JournalStated: "statement",
    e.AttemptLost: "lost",
    e.AttemptFound: "found",
    e.AttemptReopened: "reopened",
    e.WindowPassed: "window_passed",
    e.AttemptEnded: "ended",
    e.VerdictRefined: "verdict_refined",
}

# The control plane saw these itself; they are recorded under the runtime that they are about.
_SEEN_BY_US = frozenset({"bridge_closed", "new_incarnation", "heartbeats_missed", "journal_regressed"})
# Shown elsewhere, too large to repeat, or the same for every fact of the attempt.
_LEFT_OUT = frozenset({"tool_call_id", "number", "type", "result", "changes", "faults", "execution", "verdict", "data"})


def evidence(scene: Scene, facts: tuple[e.Recorded, ...]) -> list[dict[str, Any]]:
    """Every fact, oldest first. Past the bound the middle is left out, with one line that says so."""
    shown = [(index, fact) for index, fact in enumerate(facts)]
    if len(shown) > MAX_FACTS:
        half = MAX_FACTS // 2
        shown = shown[:half] + shown[-half:]
    return [{"index": index} | one(scene, fact) for index, fact in shown]


def one(scene: Scene, fact: e.Recorded) -> dict[str, Any]:
    """One fact: `at`, `source`, `type`, what it says, and `text`."""
    return {
        "at": rfc3339(fact.at_ms),
        "source": source_of(fact),
        "type": type_of(fact.event),
        **_details(fact.event),
        **({"reason": fact.reason} if fact.reason else {}),
        **({"by": fact.actor.id} if fact.actor.kind in ("user", "token", "model", "runtime") else {}),
        "sequence": fact.sequence,
        "text": tell(scene, fact),
    }


def type_of(event: e.Event) -> str:
    """Its type by RECOVERY.md §3; a receipt that came as a statement is a statement."""
    if isinstance(event, e.EvidenceNoted):
        return event.fact
    if getattr(event, "stated", False):
        return "statement"
    return TYPES[type(event)]


def source_of(fact: e.Recorded) -> str:
    """Whose word it is: control_plane, runtime, journal, policy, or a person (user, token, model)."""
    if type_of(fact.event) == "statement":
        return "journal"
    if isinstance(fact.event, e.EvidenceNoted) and fact.event.fact in _SEEN_BY_US:
        return "control_plane"
    return fact.actor.kind


def state_of_statement(event: e.Event) -> str | None:
    """The state that a statement named (PROTOCOL.md §5)."""
    if isinstance(event, e.JournalStated):
        return event.state
    if isinstance(event, e.AttemptAcknowledged):
        return "received"
    if isinstance(event, e.AttemptStarted):
        return "started"
    return "finished" if isinstance(event, e.AttemptFinished) else None


def _details(event: e.Event) -> dict[str, Any]:
    """The event's own fields, times as RFC 3339, without what stands elsewhere in the answer."""
    if isinstance(event, e.EvidenceNoted):
        payload = dict(event.detail)
    else:
        payload = {k: v for k, v in msgspec.to_builtins(event).items() if k not in _LEFT_OUT}
    shown: dict[str, Any] = {}
    for name, value in payload.items():
        if name in ("at", "source", "text", "index", "sequence"):
            shown[f"its_{name}"] = value
        elif name.endswith("_ms") and _is_moment(name):
            shown[f"{name.removesuffix('_ms').removesuffix('_at')}_at"] = optional_rfc3339(
                value if isinstance(value, int) else None
            )
        elif name != "type":
            shown[name] = value
    if type_of(event) == "statement" and "state" not in shown:
        shown["state"] = state_of_statement(event)
    if isinstance(event, e.AttemptEnded | e.VerdictRefined):
        shown |= {"kind": event.verdict.kind.value, "ran": event.verdict.ran.value, "code": event.verdict.code}
    return shown


_SPANS = frozenset({"cpu_ms", "silent_ms", "slept_ms", "start_within_ms", "time_ms"})


def _is_moment(name: str) -> bool:
    return name not in _SPANS


# -- in words ----------------------------------------------------------------------------------------------------


def tell(scene: Scene, fact: e.Recorded) -> str:
    """The fact as one line of the reader's language."""
    texts = scene.telling.catalogue.facts
    key = _key(fact.event)
    text = texts.get(key) or texts.get(key.partition(".")[0]) or texts["other"]
    return fill(text, _values(scene, fact), LINE_LENGTH) or type_of(fact.event)


def _key(event: e.Event) -> str:
    kind = type_of(event)
    variant = _VARIANTS.get(type(event))
    if kind == "statement":
        doubtful = isinstance(event, e.JournalStated) and not event.trusted
        return "statement.doubtful" if doubtful else f"statement.{state_of_statement(event)}"
    if isinstance(event, e.EvidenceNoted):
        return f"{kind}.{event.detail.get('boot')}" if kind == "new_incarnation" else kind
    return kind if variant is None else f"{kind}.{variant(event)}"


def _finished_how(event: e.AttemptFinished) -> str:
    execution = event.execution or {}
    if not event.readable:
        return "unreadable"
    if execution.get("ended_by") != "itself":
        return str(execution.get("ended_by", "unknown"))
    return "exit" if execution.get("signal") is None else "signal"


_VARIANTS: dict[type[e.Event], Any] = {
    e.AttemptReleased: lambda ev: "confirmed" if ev.confirmed else "",
    e.AttemptCheckAsked: lambda ev: "nonce" if ev.nonce else "",
    e.AttemptDispatched: lambda ev: "again" if ev.again else "",
    e.ReconcileAsked: lambda ev: "" if ev.runtime_ids else "nobody",
    e.CancelRequested: lambda ev: "withdrawn" if ev.why is CancelWhy.WITHDRAWN else "",
    e.AttemptStarted: lambda ev: "" if ev.user else "plain",
    e.AttemptNoticed: lambda ev: ev.notice.value if ev.notice else "over",
    e.InputGiven: lambda ev: "closed" if ev.close and not ev.length else "",
    e.AttemptFinished: _finished_how,
    e.AttemptRefused: lambda ev: "" if ev.trusted else "doubtful",
    e.AttemptLost: lambda ev: ev.why,
    e.WindowPassed: lambda ev: ev.window,
}


def _values(scene: Scene, fact: e.Recorded) -> dict[str, str | None]:
    event = fact.event
    values: dict[str, str | None] = {"who": scene.who(fact.actor), "type": one_line(type_of(event), 40)}
    if isinstance(event, e.AttemptEvent):
        values["number"] = str(event.number)
    more = _VALUES.get(type(event))
    return values if more is None else values | more(scene, event)


def _queued(s: Scene, ev: e.AttemptQueued) -> dict[str, str | None]:
    return {"why": s.telling.catalogue.facts.get(f"queued.{ev.why}")}


def _held(s: Scene, ev: e.AttemptHeld) -> dict[str, str | None]:
    return {"reason": s.phrase(f"hold.{ev.reason.value}"), "until": s.clock(ev.until_ms)}


def _progress(s: Scene, ev: e.AttemptProgressed) -> dict[str, str | None]:
    used = s.span(ev.cpu_ms) or ""
    return {"cpu": s.phrase("cpu").replace("{span}", used), "bytes": size(max(0, sum(ev.bytes.values())))}


def _stream(s: Scene, ev: e.OutputGap | e.OutputConflicted) -> dict[str, str | None]:
    return {"stream": one_line(ev.stream, 20), "bytes": size(ev.length), "why": gap_words(s, getattr(ev, "why", ""))}


def _finished(s: Scene, ev: e.AttemptFinished) -> dict[str, str | None]:
    execution = ev.execution or {}
    code, signal = execution.get("exit_code"), execution.get("signal")
    return {
        "code": None if code is None else one_line(str(code), 20),
        "signal": None if signal is None else one_line(str(signal), 20),
    }


def _noted(s: Scene, ev: e.EvidenceNoted) -> dict[str, str | None]:
    detail = ev.detail
    ms = detail.get("silent_ms", detail.get("slept_ms"))
    return {
        "span": s.span(ms) if isinstance(ms, int) else None,
        "code": one_line(str(detail.get("code", "")), 30) or None,
        "reason": one_line(str(detail.get("reason", "")), 60) or None,
        "receipt": one_line(str(detail.get("receipt", "")), 30) or None,
    }


def _concluded(s: Scene, ev: e.AttemptEnded | e.VerdictRefined) -> dict[str, str | None]:
    return {"label": kind_words(ev.verdict.kind), "ran": s.telling.catalogue.ran[ev.verdict.ran.value]}


def kind_words(kind: Kind) -> str:
    """A verdict's code where no sentence fits: the code itself, readable."""
    return kind.value.replace("_", " ")


def gap_words(scene: Scene, why: str) -> str:
    """Why bytes are missing."""
    return scene.telling.catalogue.phrases.get(f"gap.{why}") or scene.phrase("gap.other")


_VALUES: dict[type[e.Event], Any] = {
    e.AttemptQueued: _queued,
    e.AttemptHeld: _held,
    e.ApprovalAsked: lambda s, ev: {"until": s.clock(ev.due_at_ms)},
    e.AttemptDispatched: lambda s, ev: {"bridge": one_line(ev.bridge, 20)},
    e.AttemptStarted: lambda s, ev: {"user": one_line(ev.user, 60) if ev.user else None},
    e.AttemptProgressed: _progress,
    e.OutputConflicted: _stream,
    e.OutputGap: _stream,
    e.InputGiven: lambda s, ev: {"bytes": size(ev.length)},
    e.AttemptFinished: _finished,
    e.AttemptRefused: lambda s, ev: {"code": one_line(ev.code, 60)},
    e.EvidenceNoted: _noted,
    e.AttemptEnded: _concluded,
    e.VerdictRefined: _concluded,
}
