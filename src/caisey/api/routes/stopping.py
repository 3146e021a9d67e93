"""`/endpoints/{id}/stop-everything`: end all that runs or waits to be sent on one computer.

Owns the way from one press to a cancel of every open step. Each is an ordinary cancel, decided in its own session, with
its own event and reason: what was stopped, and whether it ran, is said there.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import msgspec

from caisey.api.call import Answer, Call, Route
from caisey.api.fields import GivenReason
from caisey.control.directory import endpoints
from caisey.control.directory.answered import Claim
from caisey.control.roles import Role
from caisey.control.sessions import Handled
from caisey.core import commands as c
from caisey.core.errors import Fault
from caisey.core.states import Action, CallState
from caisey.storage.contract import AppendFailed, Overloaded


class StopBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why: it stands in every session that is touched."""

    reason: GivenReason


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """`asked`: the steps whose end was asked for; a wish until the computer answers."""

    asked: int
    tool_call_ids: tuple[str, ...] = ()
    session_ids: tuple[str, ...] = ()


async def stop(call: Call, claim: Claim) -> Answer:
    body: StopBody = call.body
    endpoint = endpoints.find(call.services.directory, call.principal, call.path["endpoint_id"])
    sessions = call.services.sessions
    steps: list[tuple[str, str]] = []
    wishes = []
    for session_id in sessions.sessions_with_open_work(endpoint.endpoint_id):
        session = sessions.peek(session_id)
        if session is None or not call.principal.sees_group(session.client_group_id):
            continue
        for step in session.live_calls():
            if step.state is CallState.RUNNING:
                wish = c.Act(actor=call.principal.actor, tool_call_id=step.id, action=Action.CANCEL, reason=body.reason)
                steps.append((step.id, session_id))
                wishes.append(sessions.submit(session_id, wish))
    asked = [step for step, came in zip(steps, await _all(wishes), strict=True) if came]
    step_ids, session_ids = (tuple(dict.fromkeys(part)) for part in (zip(*asked, strict=True) if asked else ((), ())))
    answer = Answer(Stopped(asked=len(asked), tool_call_ids=step_ids, session_ids=session_ids))
    await _remembered(call, claim, answer)
    return answer


async def _all(wishes: list[asyncio.Future[Handled]]) -> list[bool]:
    """Which of them were taken up. Raises the first fault that is more than "it ended in this very moment"."""
    came = await asyncio.gather(*wishes, return_exceptions=True)
    for one in came:
        if isinstance(one, BaseException) and not (isinstance(one, Fault) and one.code == "action.not_offered"):
            raise one
    return [not isinstance(one, BaseException) for one in came]


async def _remembered(call: Call, claim: Claim, answer: Answer) -> None:
    """A repeated request is told what the first one did. Doing it twice would do no harm: what was asked is asked."""
    writes = claim.remember(answer.status, body=answer.for_repeats())
    if writes:
        with suppress(Overloaded, AppendFailed):
            await call.services.log.append([], writes).committed


ROUTES: Final = (
    Route(
        method="POST",
        path="/endpoints/{endpoint_id}/stop-everything",
        role=Role.TECHNICIAN,
        summary="Ask for the end of every step that runs or waits to be sent on this computer",
        work=stop,
        body=StopBody,
        answers=Stopped,
    ),
)
