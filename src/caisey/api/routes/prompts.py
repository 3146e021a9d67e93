"""`/sessions/{id}/prompts` and `/prompts`: what a technician asks, and how it goes.

Owns the checks before a prompt is accepted: the body, the tools, their arguments, the effects. All faults of all calls
are named at once and recorded in the ledger; arguments are never repaired.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from caisey.api import bodies, scope
from caisey.api.call import Answer, Call, Route, encode
from caisey.api.documents import Anything
from caisey.api.fields import Id, Text
from caisey.api.problem import document_of, shape_fault
from caisey.api.telling import telling_of
from caisey.control import malformed_calls
from caisey.control.directory.answered import Claim
from caisey.control.directory.store import Draft
from caisey.control.ledger import Subject
from caisey.control.malformed_calls import MalformedCall
from caisey.control.roles import Role
from caisey.core import commands as c
from caisey.core import ids
from caisey.core.awareness import present_awareness
from caisey.core.errors import Fault
from caisey.core.events import CallSpec, Limits
from caisey.core.present import present_prompt
from caisey.core.present_output import STREAM_BYTES
from caisey.core.session import Session
from caisey.core.states import Effect
from caisey.protocol import limits as bounds
from caisey.protocol.frames import ShapeFault
from caisey.protocol.outline import fingerprint, outline
from caisey.protocol.shapes import Shape
from caisey.storage.contract import AppendFailed, Overloaded
from caisey.tools import catalogue, checking
from caisey.tools.definition import Tool

MAX_CALLS: Final = 50
MAX_TIME_MS: Final = 30 * 86_400_000
FAULT: Final = "prompt.malformed_call"


class LimitsBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one call may use; absent or null means the default."""

    time_ms: Annotated[int, Meta(ge=1, le=MAX_TIME_MS)] | None = None
    output_bytes: Annotated[int, Meta(ge=0, le=bounds.MAX_SIGNED_INTEGER)] | None = None

    def limits(self) -> Limits:
        """As the core takes them."""
        return Limits(self.time_ms, self.output_bytes)


class ToolCallBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step. `effect` may only raise the tool's own, except for shells.

    `tool_version` absent: the newest one whose required arguments are there.
    """

    tool: Annotated[str, Meta(min_length=1, max_length=bounds.NAME_LENGTH)]
    arguments: dict[str, Any]
    tool_version: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    effect: Literal["read_only", "idempotent", "mutating"] | None = None
    limits: LimitsBody | None = None


class PromptBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either words, or tool calls. `side_by_side`: do not wait behind open steps that may change things."""

    text: Text | None = None
    tool_calls: Annotated[tuple[ToolCallBody, ...], Meta(min_length=1, max_length=MAX_CALLS)] | None = None
    side_by_side: bool = False


class PromptQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`output_bytes`: at most so much text of each stream, in place of the usual 128 KiB."""

    output_bytes: Annotated[int, Meta(ge=1, le=STREAM_BYTES)] = STREAM_BYTES


class AwarenessQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`tool_call_id`: what would be sent from that step on; else from the first that never started."""

    tool_call_id: Id | None = None


async def accept(call: Call, claim: Claim) -> Answer:
    session = scope.session_to_work_on(call, call.path["session_id"])
    if call.services.directory.endpoints[session.endpoint_id].removing_since_ms is not None:
        raise Fault("endpoint.removing")
    body, found, faults = check(call.body)
    if found:
        raise await malformed(call, claim, session, found, faults)
    if body is None or body.tool_calls is None:
        raise Fault("prompt.model_not_configured")
    specs = tuple(spec_of(one, position) for position, one in enumerate(body.tool_calls, 1))
    prompt_id = Draft.new_id(ids.PROMPT)
    command = c.AcceptPrompt(
        actor=call.principal.actor, prompt_id=prompt_id, calls=specs, side_by_side=body.side_by_side
    )
    handled = await call.services.sessions.handle(session.id, command, claim.remember(202, resource=prompt_id))
    return call.services.kept(claim, Answer(await present(call, handled.session, prompt_id), 202))


async def show(call: Call) -> Answer:
    query: PromptQuery = call.query
    found = await scope.prompt(call, call.path["prompt_id"])
    return Answer(await present(call, found.session, found.prompt.id, query.output_bytes))


async def again(call: Call, prompt_id: str) -> Any:
    """What a repeated request is told where the first answer was lost."""
    found = await scope.prompt(call, prompt_id)
    return await present(call, found.session, found.prompt.id)


async def awareness(call: Call) -> Answer:
    query: AwarenessQuery = call.query
    found = await scope.prompt(call, call.path["prompt_id"])
    if query.tool_call_id is not None and query.tool_call_id not in found.prompt.call_ids:
        raise Fault("resource.not_found")
    view = call.services.live.view_of(found.session.endpoint_id)
    telling = await telling_of(call, found.session, found.prompt.id)
    now = call.services.clock.now_ms()
    shown = present_awareness(
        found.session, found.prompt.id, view, now, tool_call_id=query.tool_call_id, telling=telling
    )
    return Answer(shown)


async def present(call: Call, session: Session, prompt_id: str, output_bytes: int = STREAM_BYTES) -> dict[str, Any]:
    """The prompt as the API shows it."""
    view = call.services.live.view_of(session.endpoint_id)
    telling = await telling_of(call, session, prompt_id, output_bytes)
    return present_prompt(session, prompt_id, view, call.services.clock.now_ms(), telling)


# -- what does not fit ---------------------------------------------------------------------------------------------


def check(document: Any) -> tuple[PromptBody | None, list[MalformedCall], list[ShapeFault]]:
    """The body, and everything that does not fit: by call for the ledger, and with pointers into the body."""
    faults = list(bodies.checker(PromptBody).faults(document))
    faults += _one_of_both(document)
    found = [malformed_calls.of_body(document, faults)] if faults else []
    known = {fault.pointer for fault in faults}
    for place, one in enumerate(_calls_in(document)):
        malformed_call = _check_call(one)
        if malformed_call is None:
            continue
        pointed = [_within(fault, place) for fault in malformed_call.shape.faults]
        new = [fault for fault in pointed if fault.pointer not in known]
        if new:
            found.append(malformed_call)
            faults += new
    body = None if found else bodies.typed(document, PromptBody, FAULT)
    return body, found, faults[: bounds.SHAPE_ERRORS]


def _one_of_both(document: Any) -> list[ShapeFault]:
    if not isinstance(document, dict):
        return []
    given = [name for name in ("text", "tool_calls") if document.get(name) is not None]
    if len(given) == 1:
        return []
    found = "both" if given else "absent"
    return [ShapeFault(pointer="/tool_calls", expected="either text or tool_calls", found=found)]


def _calls_in(document: Any) -> list[Any]:
    calls = document.get("tool_calls") if isinstance(document, dict) else None
    return calls[:MAX_CALLS] if isinstance(calls, list) else []


def _check_call(one: Any) -> MalformedCall | None:
    """Whether tool and arguments fit each other; what else is wrong with the call is the body's."""
    if not isinstance(one, dict) or not isinstance(one.get("tool"), str):
        return None
    tool = _tool_of(one["tool"], one.get("tool_version"), one.get("arguments"))
    if tool is None:
        fault = ShapeFault(pointer="/tool", expected="a tool that GET /tools lists", found="another name")
        shape = Shape((fault,), outline(one), fingerprint("tool", [fault]))
        return MalformedCall(malformed_calls.BODY, 0, shape, one)
    arguments = one.get("arguments")
    if not isinstance(arguments, dict):
        return None
    found = checking.arguments_shape(tool, arguments)
    if found is None:
        return None
    pointed = tuple(
        ShapeFault(pointer=f"/arguments{fault.pointer}", expected=fault.expected, found=fault.found)
        for fault in found.faults
    )
    return MalformedCall(tool.name, tool.version, found._replace(faults=pointed), arguments)


def _tool_of(name: str, version: Any, arguments: Any) -> Tool | None:
    """The tool that is named; without a version the newest one that these arguments are for."""
    if type(version) is int:
        return catalogue.find(name, version)
    return catalogue.fitting(name, arguments if isinstance(arguments, dict) else {})


def _within(fault: ShapeFault, place: int) -> ShapeFault:
    return ShapeFault(pointer=f"/tool_calls/{place}{fault.pointer}", expected=fault.expected, found=fault.found)


async def malformed(
    call: Call, claim: Claim, session: Session, found: list[MalformedCall], faults: list[ShapeFault]
) -> Fault:
    """Records what does not fit, together with the answer that a repeated request gets; the fault to raise."""
    fault = shape_fault(FAULT, faults)
    subject = Subject(call.principal.organization_id, session.client_group_id, session.endpoint_id)
    services = call.services
    now = services.clock.now_ms()
    entries, writes = malformed_calls.record(
        services.ledger, subject, found, session_id=session.id, actor=call.principal.actor, now_ms=now
    )
    try:
        kept = claim.remember(fault.status, body=encode(document_of(fault)))
        await services.log.append(entries, [*writes, *kept]).committed
    except Overloaded:
        return Fault("server.overloaded")
    except AppendFailed:
        return Fault("server.storage_failed")
    return fault


# -- what fits -----------------------------------------------------------------------------------------------------


def spec_of(one: ToolCallBody, position: int) -> CallSpec:
    """The step as it will be recorded. Raises `action.effect_lowered`."""
    tool = _tool_of(one.tool, one.tool_version, one.arguments)
    if tool is None:
        raise Fault("resource.not_found")
    effect = tool.effect_for(one.arguments, stated=one.effect, by_person=True)
    if effect is None:
        raise Fault("action.effect_lowered", f"Step {position}: {tool.name} is {tool.effect_of(one.arguments)}.")
    limits = Limits() if one.limits is None else one.limits.limits()
    return make_spec(tool, one.arguments, Effect(effect), position, limits)


def make_spec(tool: Tool, arguments: dict[str, Any], effect: Effect, position: int, limits: Limits) -> CallSpec:
    """A step with a new id. Its arguments fit the tool."""
    return CallSpec(
        id=Draft.new_id(ids.TOOL_CALL),
        position=position,
        tool=tool.name,
        tool_version=tool.version,
        arguments=arguments,
        effect=effect,
        limits=limits,
        structured=tool.result_schema is not None,
        check=_check_for(tool, arguments),
    )


def _check_for(tool: Tool, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """The read-only look that `verify` sends; without `arguments` where a person has to write them."""
    if tool.verify is None:
        return None
    derived = tool.verify.arguments_for(arguments)
    found: dict[str, Any] = {"tool": tool.verify.tool, "tool_version": tool.verify.version}
    return found if derived is None else {**found, "arguments": derived}


ROUTES: Final = (
    Route(
        method="POST",
        path="/sessions/{session_id}/prompts",
        role=Role.TECHNICIAN,
        summary="Ask something of the computer; answered once it is durable",
        work=accept,
        again=again,
        body=PromptBody,
        body_as_document=True,
        shape_code=FAULT,
        body_bytes=bodies.PROMPT_BYTES,
        status=202,
        answers=Anything,
    ),
    Route(
        method="GET",
        path="/prompts/{prompt_id}",
        role=Role.VIEWER,
        summary="A prompt with its tool calls, attempts, verdicts and evidence",
        read=show,
        query=PromptQuery,
        answers=Anything,
    ),
    Route(
        method="GET",
        path="/prompts/{prompt_id}/awareness",
        role=Role.VIEWER,
        summary="What already ran, who worked there since, and what will be sent",
        read=awareness,
        query=AwarenessQuery,
        answers=Anything,
    ),
)
