"""Lines of the attention list and of open work, as the API shows them.

Owns how a row of `attention` and a live tool call become words: what it is, whether it ran, and the first thing that
may be done. Chooses no order; concludes nothing.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from caisey.api.call import Call
from caisey.api.list_documents import AttentionItem, FirstAction, OpenWork, Snoozed
from caisey.api.telling import Names, telling_for
from caisey.api.times import at
from caisey.control.attention import RANK_ALARM
from caisey.control.projection import RANK_MAY_HAVE_CHANGED
from caisey.core import snooze
from caisey.core.catalogue import Tone
from caisey.core.plain_text import literal
from caisey.core.present import call_standing, now_of
from caisey.core.scene import Scene
from caisey.core.session import Session
from caisey.core.states import Action, CallState
from caisey.core.tool_call import ToolCall

LITERAL_LENGTH: Final = 160


class Row(NamedTuple):
    """A row of `attention` with what was put aside of it; in the order of `COLUMNS`."""

    rank: int
    since_ms: int
    key: str
    type: str
    label: str
    due_ms: int | None
    owner: str | None
    reason: str | None
    session_id: str | None
    prompt_id: str | None
    tool_call_id: str | None
    endpoint_id: str | None
    client_group_id: str | None
    snooze_type: str | None
    snooze_rank: int | None
    snooze_since_ms: int | None
    until_ms: int | None
    snooze_reason: str | None
    snoozed_by: str | None

    @property
    def line(self) -> snooze.Line:
        """As far as a snooze goes."""
        return snooze.Line(self.type, self.rank, self.since_ms, self.due_ms)

    @property
    def alarm(self) -> bool:
        """Identity or safety."""
        return self.rank == RANK_ALARM

    def aside_until(self, now_ms: int) -> int | None:
        """Until when it is put aside, if it still is."""
        if self.snooze_type is None or self.snooze_rank is None:
            return None
        if self.snooze_since_ms is None or self.until_ms is None:
            return None
        kept = snooze.Snooze(self.snooze_type, self.snooze_rank, self.snooze_since_ms, self.until_ms)
        return self.until_ms if snooze.holds(kept, self.line, now_ms) else None


COLUMNS: Final = """
    a.rank, a.since_ms, a.key, a.type, a.label, a.due_at_ms, a.owner, a.reason, a.session_id, a.prompt_id,
    a.tool_call_id, a.endpoint_id, a.client_group_id, s.type, s.rank, s.since_ms, s.until_ms, s.reason, s.actor_id
"""


async def shown(call: Call, row: Row, now_ms: int) -> AttentionItem:
    """One line of the list."""
    scene = await _scene(call, row, now_ms)
    said = now_of(scene) if scene is not None else {}
    directory = call.services.directory
    endpoint = directory.endpoints.get(row.endpoint_id or "")
    group = directory.client_groups.get(row.client_group_id or "")
    return AttentionItem(
        id=row.key,
        type=row.type,
        label=said.get("label", row.label),  # the row's own says times of day in UTC
        since=at(row.since_ms),
        due_at=at(row.due_ms),
        owner=row.owner,
        owner_name=name_of(call, row.owner),
        reason=row.reason,
        session_id=row.session_id,
        prompt_id=row.prompt_id,
        tool_call_id=row.tool_call_id,
        endpoint_id=row.endpoint_id,
        endpoint=None if endpoint is None else endpoint.name,
        client_group_id=row.client_group_id,
        client_group=None if group is None else group.name,
        tone=Tone.ALARM.value if row.alarm else said.get("tone", Tone.ASK.value),
        summary=said.get("summary"),
        ran=None if scene is None else scene.ran.value,
        ran_label=said.get("ran_label"),
        ran_note=said.get("ran_note"),
        may_have_changed=row.rank == RANK_MAY_HAVE_CHANGED,
        literal=None if scene is None else _literal(scene.call),
        ticket=None if scene is None else scene.session.ticket,
        sequence=None if scene is None else scene.session.prompt_sequence(scene.prompt),
        first_action=None if scene is None else _first(scene.call, said["next_actions"]),
        snoozed=_snoozed(call, row, now_ms),
    )


def name_of(call: Call, actor_id: str | None) -> str | None:
    """A person's display name, where there is one."""
    return Names(call.services.directory, call.principal.organization_id).get(actor_id or "")


async def _scene(call: Call, row: Row, now_ms: int) -> Scene | None:
    if row.session_id is None or row.tool_call_id is None:
        return None
    session = await call.services.sessions.read(row.session_id)
    found = None if session is None else session.calls.get(row.tool_call_id)
    if session is None or found is None:
        return None
    return scene_of(call, session, found, now_ms)


def scene_of(call: Call, session: Session, tool_call: ToolCall, now_ms: int) -> Scene:
    """A tool call at this moment, for this reader."""
    return Scene(session, tool_call, call.services.live.view_of(session.endpoint_id), now_ms, telling_for(call))


def _first(tool_call: ToolCall, actions: list[dict[str, Any]]) -> FirstAction | None:
    """The action with the default focus, never one that may change things a second time."""
    item = next((one for one in actions if one["primary"]), None)
    if item is None:
        return None
    return FirstAction(
        action=item["action"],
        code=item["code"],
        label=item["label"],
        consequence=item["consequence"],
        tool_call_id=item["tool_call_id"],
        body=item.get("body", {}),
        safe=safe_at_once(tool_call, item),
        unavailable_because=item["unavailable_because"],
    )


def safe_at_once(tool_call: ToolCall, item: dict[str, Any]) -> bool:
    """Whether one key may press it: it starts nothing that may change things, and needs no word of the person."""
    if item["confirm"] or item["seen_required"] or item["action"] not in _ONE_KEY:
        return False
    check = tool_call.spec.check or {}
    return item["action"] != Action.VERIFY or check.get("arguments") is not None


_ONE_KEY: Final = frozenset({"verify", "accept_partial", "escalate", "retry", "requeue", "hold"})


def _snoozed(call: Call, row: Row, now_ms: int) -> Snoozed | None:
    until = row.aside_until(now_ms)
    if until is None:
        return None
    by = row.snoozed_by or ""
    return Snoozed(until=at(until), reason=row.snooze_reason or "", by=by, by_name=name_of(call, by))


def _literal(tool_call: ToolCall) -> str:
    return literal(tool_call.spec.tool, tool_call.spec.arguments, LITERAL_LENGTH)


def open_work(call: Call, session: Session, tool_call: ToolCall, now_ms: int) -> OpenWork | None:
    """A tool call that has not ended, with whose move it is and until when; None for one that has."""
    if tool_call.state is CallState.ENDED:
        return None
    scene = scene_of(call, session, tool_call, now_ms)
    stands = call_standing(scene)
    said = now_of(scene)
    endpoint = call.services.directory.endpoints.get(session.endpoint_id)
    group = call.services.directory.client_groups.get(session.client_group_id or "")
    queued = [a.queued_at_ms for a in tool_call.open_attempts]
    since = tool_call.waiting_since_ms or (min(queued) if queued else scene.prompt.accepted_at_ms)
    return OpenWork(
        session_id=session.id,
        prompt_id=tool_call.prompt_id,
        tool_call_id=tool_call.id,
        endpoint_id=session.endpoint_id,
        endpoint=None if endpoint is None else endpoint.name,
        client_group_id=session.client_group_id,
        client_group=None if group is None else group.name,
        position=tool_call.spec.position,
        literal=_literal(tool_call),
        effect=tool_call.spec.effect.value,
        state=tool_call.state.value,
        label=said["label"],
        summary=said["summary"],
        tone=said["tone"],
        ran=scene.ran.value,
        ran_label=said["ran_label"],
        since=at(since),
        due_at=at(stands.due_at_ms) if stands else None,
        next_state=stands.next_state if stands else None,
        owner=session.owner,
        owner_name=name_of(call, session.owner),
    )
