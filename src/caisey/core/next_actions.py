"""What may be done next, as buttons: `next_actions[]` of API.md.

Owns their order, which one is first, which ask before they send, and why one is not possible now. It offers nothing
that `decide/actions.offered` does not give.
"""

from __future__ import annotations

from typing import Any

from caisey.core.attempt import Attempt
from caisey.core.catalogue.form import CONSEQUENCE_LENGTH, LABEL_LENGTH, ActionText
from caisey.core.decide.actions import may_start_mutating
from caisey.core.filling import fill, places
from caisey.core.plain_text import literal
from caisey.core.scene import Scene
from caisey.core.states import Action, AttemptState, CallState, HoldReason, Ran
from caisey.core.tool_call import ToolCall
from caisey.core.values import helper, longer_limit_ms, time_limit_ms, values_for
from caisey.core.words import Words, again_code

# Never the default: each may change things, or end something, without a way back.
NEVER_FIRST = frozenset({"again_risk", "stop", "approve", "deny"})
NEEDS_THE_COMPUTER = frozenset(
    {Action.RETRY, Action.REQUEUE, Action.REROUTE, Action.VERIFY, Action.RESUME, Action.INPUT, Action.RELEASE}
)
_ASKS_FIRST = frozenset({Action.RETRY, Action.REQUEUE, Action.REROUTE, Action.RELEASE})
CHECK_LENGTH = 38


def next_actions(scene: Scene, words: Words, *, all_of_them: bool = False) -> list[dict[str, Any]]:
    """The entry's actions that are offered now, in its order; with `all_of_them` every other offered one after them."""
    items: list[dict[str, Any]] = []
    verbs: set[str] = set()
    for code in (*words.actions, *(_others(scene) if all_of_them else ())):
        text = scene.telling.catalogue.actions[code]
        if text.verb is None or text.verb in verbs:
            continue
        item = _item(scene, code, text)
        if item is not None:
            verbs.add(text.verb)
            items.append(item)
    for item in items:
        if item["code"] not in NEVER_FIRST and item["unavailable_because"] is None and not _is_risky_limit(scene, item):
            item["primary"] = True
            break
    return items


def links(scene: Scene, words: Words) -> list[dict[str, str]]:
    """Buttons that send nothing: they open, hide or link."""
    actions = scene.telling.catalogue.actions
    return [
        {"code": code, "label": actions[code].label, "consequence": actions[code].consequence}
        for code in words.actions
        if actions[code].verb is None
    ]


def _others(scene: Scene) -> tuple[str, ...]:
    """Everything else that may fit a call that waits for a person, safest first."""
    give_up = "drop" if scene.ran is Ran.NO else "giveup" if scene.ran is Ran.UNCONFIRMED else "norepeat"
    wait = () if scene.answers else ("wait",)
    return ("check", "resume", "partial", *wait, "edit", again_code(scene), "other", "help", give_up)


def _is_risky_limit(scene: Scene, item: dict[str, Any]) -> bool:
    return item["code"] == "limit" and not scene.safe


def _item(scene: Scene, code: str, text: ActionText) -> dict[str, Any] | None:
    verb = text.verb
    assert verb is not None
    target = scene.resume_target if code == "resume" else scene.call
    if target is None or verb not in scene.offered | ({Action.RESUME} if code == "resume" else frozenset()):
        return None
    extra = _body(scene, code)
    if extra is None:
        return None
    text = _as_it_goes_on(scene, code, text)
    values = values_for(places(text.label) | places(text.consequence), scene, _told_of(scene))
    values |= _own_values(scene, code, target)
    consequence = fill(text.consequence, values, CONSEQUENCE_LENGTH)
    return {
        "action": verb,
        "label": fill(text.label, values, LABEL_LENGTH),
        "consequence": consequence,
        "primary": False,
        "confirm": confirms(scene, target, verb),
        "unavailable_because": _unavailable(scene, verb),
        "code": code,
        "tool_call_id": target.id,
        "seen_required": may_start_mutating(scene.session, target, verb),
        **({"body": extra} if extra else {}),
    }


def _as_it_goes_on(scene: Scene, code: str, text: ActionText) -> ActionText:
    """Closing a step with what there is sends the next one, and says so where there is one."""
    if code == "partial" and _next_pending(scene) is not None:
        return scene.telling.catalogue.actions["partial_next"]
    return text


def _next_pending(scene: Scene) -> ToolCall | None:
    """The step that goes out once this one has passed, if nothing else stands before it."""
    later = [c for c in scene.steps if c.spec.position > scene.call.spec.position and not c.passed]
    clear = all(c.passed for c in scene.before)
    return later[0] if clear and later and later[0].state is CallState.PENDING else None


def confirms(scene: Scene, target: ToolCall, verb: str) -> bool:
    """Whether what already ran is shown before it is sent: mutating work may start again, or others worked there."""
    if not may_start_mutating(scene.session, target, verb):
        return False
    if verb == Action.RESUME:
        return True
    if verb not in _ASKS_FIRST:
        return False
    held = [a.hold.reason for a in scene.call.open_attempts if a.hold is not None]
    changed = scene.changed_by_others() > 0 or HoldReason.WORLD_CHANGED in held
    return scene.ran is not Ran.NO or changed


def _told_of(scene: Scene) -> Attempt | None:
    unsent = [a for a in scene.call.open_attempts if a.state is AttemptState.HELD]
    return unsent[-1] if unsent else scene.deciding


def _own_values(scene: Scene, code: str, target: ToolCall) -> dict[str, str | None]:
    """Places that say what this button would send, keep or tell."""
    if code in ("check", "result"):
        return {"check": check_literal(scene.call)}
    if code == "resume":
        return {"n": str(target.spec.position), "steps": _steps(scene, target)}
    if code == "help":
        return {"who": helper(scene)}
    if code == "partial":
        following = _next_pending(scene)
        return {} if following is None else {"n": str(following.spec.position)}
    if code in ("wait", "longer"):
        end = scene.clock(scene.now + scene.view.policy.ms("hold_expiry"))
        return {"end": end, "new_end": end}
    if code == "other":
        return {"route": _route(scene)}
    return {}


def check_literal(call: ToolCall) -> str | None:
    """The read-only check of the call, as one says it."""
    check = call.spec.check
    if not check:
        return None
    return literal(str(check.get("tool", "")), check.get("arguments") or {}, CHECK_LENGTH)


def _steps(scene: Scene, target: ToolCall) -> str:
    last = max(c.spec.position for c in scene.steps)
    if target.spec.position == last:
        return scene.phrase("step").replace("{n}", str(last))
    return scene.phrase("steps").replace("{first}", str(target.spec.position)).replace("{last}", str(last))


def _route(scene: Scene) -> str | None:
    way = scene.other_way
    if way is None:
        return None
    if way[0] == "runtime_id":
        return scene.phrase("route.agent")
    return scene.phrase("route.connection").replace("{bridge}", way[1])


def _body(scene: Scene, code: str) -> dict[str, Any] | None:
    """What the request carries beside action, reason and seen. None: this button makes no sense here."""
    if code in ("check", "result"):
        return {} if scene.call.spec.check else None
    if code == "other":
        way = scene.other_way
        return None if way is None else {way[0]: way[1]}
    if code == "limit":
        former = time_limit_ms(scene.call, scene.deciding)
        return None if former is None else {"limits": {"time_ms": longer_limit_ms(former)}}
    if code == "sendnow" and not scene.call.open_attempts:
        return None
    return {}


def _unavailable(scene: Scene, verb: str) -> str | None:
    """In words, why it is not possible now: it needs the computer, and the computer does not answer."""
    if verb not in NEEDS_THE_COMPUTER or scene.answers:
        return None
    if verb == Action.RELEASE and scene.connected:
        return None  # it asks the computer first
    view = scene.view
    values = {"computer": scene.computer, "time": scene.clock(view.since_ms) if view.since_ms else None}
    said = fill(scene.phrase(f"unavailable.{view.health.value}"), values, CONSEQUENCE_LENGTH)
    return said or fill(scene.phrase("unavailable.healthy"), values, CONSEQUENCE_LENGTH)


def decisions(scene: Scene, words: Words) -> list[dict[str, Any]]:
    """The buttons of a call as it stands: for one that waits for a person, everything that is possible."""
    return next_actions(scene, words, all_of_them=scene.call.state is CallState.WAITING)
