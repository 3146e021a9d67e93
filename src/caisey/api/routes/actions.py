"""`/tool-calls/{id}/actions` and `/tool-calls/{id}/output`: what a person does about a step, and its raw bytes.

Owns the mapping of an action to its command: ids, checked arguments, the key where something mutating may start. What
is offered, and whether what the person saw is still so, is decided in the core.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from caisey.api import scope
from caisey.api.call import Answer, Call, Route, Sending
from caisey.api.documents import Anything
from caisey.api.fields import Id, Reason
from caisey.api.problem import shape_fault
from caisey.api.routes import prompts
from caisey.api.routes.prompts import LimitsBody, make_spec
from caisey.api.sending import Bytes, RawBytes
from caisey.control.directory.answered import Claim
from caisey.control.directory.store import Draft
from caisey.control.malformed_calls import MalformedCall
from caisey.control.roles import Role
from caisey.core import commands as c
from caisey.core import ids
from caisey.core.attempt import Attempt
from caisey.core.decide.actions import may_start_mutating
from caisey.core.errors import Fault
from caisey.core.events import CallSpec, Limits
from caisey.core.session import Session
from caisey.core.states import Action, Effect
from caisey.core.tool_call import ToolCall
from caisey.protocol.frames import ShapeFault
from caisey.protocol.limits import INPUT_BYTES, MAX_SIGNED_INTEGER
from caisey.tools import catalogue, checking
from caisey.tools.definition import Tool

RESULT: Final = "result"
_UNREADABLE_END: Final = """
    SELECT raw FROM unreadable_frames WHERE tool_call_id = ? AND number = ? AND frame_type = 'finished'
    ORDER BY id LIMIT 1
"""


class ActionBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`seen` is the prompt's `sequence` that the person had before them. The other fields go with some actions only:
    `arguments` (adjust, verify), `limits` (retry, requeue, reroute, adjust), `data`, `close`, `sensitive` (input),
    `runtime_id`, `bridge` (retry, requeue, reroute), `to` (escalate), `expires_in_s` (hold)."""

    action: Action
    reason: Reason | None = None
    seen: Annotated[int, Meta(ge=0, le=MAX_SIGNED_INTEGER)] | None = None
    arguments: dict[str, Any] | None = None
    limits: LimitsBody | None = None
    data: Annotated[str, Meta(max_length=INPUT_BYTES)] | None = None
    close: bool = False
    sensitive: bool = False
    runtime_id: Id | None = None
    bridge: Literal["websocket", "longpoll"] | None = None
    to: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    expires_in_s: Annotated[float, Meta(gt=0, le=30 * 86_400)] | None = None


class OutputQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`attempt` absent: the newest that wrote anything. `limit`: at most that many bytes."""

    attempt: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    stream: Annotated[str, Meta(pattern=r"^[a-z_]{1,32}$")] = "stdout"
    offset: Annotated[int, Meta(ge=0, le=MAX_SIGNED_INTEGER)] = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_SIGNED_INTEGER)] | None = None


async def act(call: Call, claim: Claim) -> Answer:
    body: ActionBody = call.body
    place = call.services.sessions.session_of_call(call.path["tool_call_id"])
    if place is None:
        raise Fault("resource.not_found")
    session = scope.session_to_work_on(call, place[0])
    step = session.calls.get(call.path["tool_call_id"])
    if step is None:
        raise Fault("resource.not_found")
    if not claim.keyed and may_start_mutating(session, step, body.action.value):
        raise Fault("idempotency.key_required")
    _check_runtime(call, session, body)
    command = await _command(call, claim, session, step, body)
    handled = await call.services.sessions.handle(session.id, command, claim.remember(202, resource=step.prompt_id))
    shown = await prompts.present(call, handled.session, step.prompt_id)
    if command.prompt_id is not None:
        shown["check_prompt_id"] = command.prompt_id
    return call.services.kept(claim, Answer(shown, 202))


async def _command(call: Call, claim: Claim, session: Session, step: ToolCall, body: ActionBody) -> c.Act:
    new_call: CallSpec | None = None
    prompt_id: str | None = None
    if body.action is Action.ADJUST:
        new_call = await _adjusted(call, claim, session, step, body)
    elif body.action is Action.VERIFY:
        new_call = await _check(call, claim, session, step, body)
        prompt_id = None if new_call is None else Draft.new_id(ids.PROMPT)
    return c.Act(
        actor=call.principal.actor,
        tool_call_id=step.id,
        action=body.action.value,
        reason=body.reason,
        seen=body.seen,
        limits=None if body.limits is None else body.limits.limits(),
        data=body.data or "",
        close=body.close,
        sensitive=body.sensitive,
        runtime_id=body.runtime_id,
        bridge=body.bridge,
        to=body.to,
        expires_in_ms=None if body.expires_in_s is None else int(body.expires_in_s * 1000),
        new_call=new_call,
        prompt_id=prompt_id,
    )


async def _adjusted(call: Call, claim: Claim, session: Session, step: ToolCall, body: ActionBody) -> CallSpec:
    """The edited call in the place of the old one: the same tool, and an effect that is not lowered by editing."""
    spec = step.spec
    tool = _tool(spec.tool, spec.tool_version)
    if body.arguments is None:
        raise shape_fault(
            "request.invalid_shape", [ShapeFault(pointer="/arguments", expected="object", found="absent")]
        )
    await _check_arguments(call, claim, session, tool, body.arguments)
    kept = tool.effect_for(body.arguments, stated=spec.effect.value, by_person=True)
    effect = Effect(kept or tool.effect_of(body.arguments))
    limits = spec.limits if body.limits is None else body.limits.limits()
    return make_spec(tool, body.arguments, effect, spec.position, limits)


async def _check(call: Call, claim: Claim, session: Session, step: ToolCall, body: ActionBody) -> CallSpec | None:
    """The read-only check of the step; None where there is none (the core says that it is not offered)."""
    check = step.spec.check
    if check is None:
        return None
    tool = _tool(str(check["tool"]), int(check.get("tool_version", 1)))
    arguments = check.get("arguments") if body.arguments is None else body.arguments
    if arguments is None:
        fault = ShapeFault(pointer="/arguments", expected="object: what to look at", found="absent")
        raise shape_fault("request.invalid_shape", [fault])
    await _check_arguments(call, claim, session, tool, arguments)
    if tool.effect_for(arguments, stated="read_only", by_person=True) != "read_only":
        raise Fault("action.effect_lowered", f"{tool.name} with these arguments does not only read.")
    return make_spec(tool, arguments, Effect.READ_ONLY, 1, Limits())


async def _check_arguments(call: Call, claim: Claim, session: Session, tool: Tool, arguments: dict[str, Any]) -> None:
    shape = checking.arguments_shape(tool, arguments)
    if shape is None:
        return
    pointed = [
        ShapeFault(pointer=f"/arguments{fault.pointer}", expected=fault.expected, found=fault.found)
        for fault in shape.faults
    ]
    found = MalformedCall(tool.name, tool.version, shape._replace(faults=tuple(pointed)), arguments)
    raise await prompts.malformed(call, claim, session, [found], pointed)


def _tool(name: str, version: int) -> Tool:
    tool = catalogue.find(name, version)
    if tool is None:
        raise Fault("action.not_offered", "This tool is not known any more.", offered=[], why="The tool is gone.")
    return tool


def _check_runtime(call: Call, session: Session, body: ActionBody) -> None:
    """A runtime that is named is one of the session's computer."""
    if body.runtime_id is None:
        return
    if body.runtime_id not in call.services.directory.runtimes_of.get(session.endpoint_id, {}):
        raise Fault("resource.not_found")


# -- raw bytes -----------------------------------------------------------------------------------------------------


async def output(call: Call) -> Answer | Sending:
    """What is stored of one stream from `offset` on, up to the next gap."""
    query: OutputQuery = call.query
    found = await scope.tool_call(call, call.path["tool_call_id"])
    attempt = _attempt(found.call, query)
    stream = attempt.streams.get(query.stream)
    name = f"{found.call.id}-{attempt.number}-{query.stream}.bin"
    if query.stream == RESULT and (stream is None or not stream.stored):
        whole = _inline_result(call, attempt)
        return Bytes(_part(whole, query), name)
    covered = () if stream is None else stream.covered
    end = next((last for first, last in covered if first <= query.offset < last), query.offset)
    if query.limit is not None:
        end = min(end, query.offset + query.limit)
    return RawBytes(call.services.output, (found.call.id, attempt.number, query.stream), query.offset, end, name=name)


def _attempt(step: ToolCall, query: OutputQuery) -> Attempt:
    """The attempt that was asked for; by default the newest that wrote to the stream, else the newest."""
    if query.attempt is not None:
        asked = step.attempt(query.attempt)
    else:
        wrote = [a for a in step.attempts if query.stream in a.streams]
        asked = next(reversed(wrote or step.attempts), None)
    if asked is None:
        raise Fault("resource.not_found")
    return asked


def _inline_result(call: Call, attempt: Attempt) -> bytes:
    """A result that came with the end of the command; of an end that could not be read, the bytes it came in."""
    finished = attempt.finished
    if finished is not None and finished.has_result:
        return msgspec.json.encode(finished.result)
    rows = call.services.query(_UNREADABLE_END, (attempt.tool_call_id, attempt.number))
    return bytes(rows[0][0]) if rows else b""


def _part(whole: bytes, query: OutputQuery) -> bytes:
    end = len(whole) if query.limit is None else query.offset + query.limit
    return whole[query.offset : end]


ROUTES: Final = (
    Route(
        method="POST",
        path="/tool-calls/{tool_call_id}/actions",
        role=Role.TECHNICIAN,
        summary="Do something about a step; the answer is its prompt",
        work=act,
        again=prompts.again,
        body=ActionBody,
        status=202,
        answers=Anything,
    ),
    Route(
        method="GET",
        path="/tool-calls/{tool_call_id}/output",
        role=Role.VIEWER,
        summary="The raw bytes of a stream, also of partial and malformed output",
        read=output,
        query=OutputQuery,
        media_types=("application/octet-stream",),
    ),
)
