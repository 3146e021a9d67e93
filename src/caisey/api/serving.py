"""From one line of the route table to one HTTP handler.

Owns the order in which a request is judged: who asks (401), whether the role is enough (403), the idempotency key, the
query and the body (4xx with every fault), and only then the handler. A write is committed together with the answer
that a repeated request gets.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import msgspec
from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from caisey.api import bodies
from caisey.api.call import PREFIX, Answer, Call, Nothing, Route, Sending, encode
from caisey.api.services import Services
from caisey.control import csrf
from caisey.control.access import Principal
from caisey.control.directory.answered import Answered, Claim
from caisey.control.roles import may_somewhere
from caisey.core.errors import Fault

AnyRequest = Request[Any, Any, Any]
Responder = Callable[[AnyRequest], Awaitable[Any]]

KEY_HEADER: Final = "idempotency-key"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_SAME: Final = msgspec.json.Encoder(order="sorted")
_HEADERS: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_NOTHING: Final = Nothing()


def handler_of(route: Route, services: Services) -> HTTPRouteHandler:
    """The framework's handler for a line of the table."""
    respond = _reader(route, services) if route.read is not None else _writer(route, services)

    async def handle(request: AnyRequest) -> Any:
        return await respond(request)

    # The framework reads annotations to decide what to inject; these are the ones it has to see.
    handle.__annotations__ = {"request": Request, "return": ASGIResponse}
    path = PREFIX + re.sub(r"\{(\w+)\}", r"{\1:str}", route.path)
    return HTTPRouteHandler(
        path,
        http_method=route.method,
        name=f"{route.method} {route.path}",
        opt={"route": route},
        include_in_schema=False,
        status_code=200,
    )(handle)


def admit(route: Route, services: Services, request: AnyRequest) -> Principal:
    """Who asks, if they may ask this at all."""
    principal = _who_asks(services, request).asking(route.role)
    if not may_somewhere(principal, route.role):
        raise Fault("access.role_too_low", f"This needs the role {route.role.value}.")
    if route.whole_organization and not principal.everywhere:
        raise Fault("access.group_limited")
    return principal


def _who_asks(services: Services, request: AnyRequest) -> Principal:
    """By token; else by the console's cookie, and then what changes something has to come from one of its pages."""
    headers = request.headers
    authorization = headers.get("authorization")
    if authorization is not None or headers.get("cookie") is None:
        return services.access.authenticate(authorization)
    writes = request.method not in _SAFE_METHODS
    browser = services.browsers.find(headers.get("cookie"), active=writes)
    if browser is None:
        raise Fault("auth.required")
    host = headers.get("host")
    if not services.origins.knows(host):
        raise Fault("access.host_unknown")
    if writes:
        scheme = request.url.scheme
        if not services.origins.is_own(scheme, host, headers.get("origin"), headers.get("sec-fetch-site")):
            raise Fault("access.foreign_origin")
        if not csrf.fits(browser.secret, headers.get(csrf.HEADER)):
            raise Fault("access.csrf_invalid")
    return browser.principal


def _reader(route: Route, services: Services) -> Responder:
    read = route.read
    if read is None:
        raise ValueError(f"{route.path} reads nothing")

    async def respond(request: AnyRequest) -> Any:
        asks = partial(admit, route, services, request)
        principal = asks()
        query = _query(route, request)
        answer = await read(Call(services, principal, request.path_params, query, None, request, asks))
        return _sent(answer)

    return respond


def _writer(route: Route, services: Services) -> Responder:
    async def respond(request: AnyRequest) -> Any:
        asks = partial(admit, route, services, request)
        principal = asks()
        key = _key(request)
        query = _query(route, request)
        document, body = await _body(route, request)
        who = (principal.id, request.method, request.url.path)
        async with services.answered.claim(who, key, _SAME.encode((document, query))) as claim:
            # A body comes as slowly as its sender likes: what they might do when it began they may not do any more.
            call = Call(services, asks(), request.path_params, query, body, request, asks)
            if claim.answered is not None:
                return await _again(route, call, claim.answered)
            return _sent(await _do(route, call, claim))

    return respond


async def _do(route: Route, call: Call, claim: Claim) -> Answer:
    if route.work is not None:
        return await route.work(call, claim)
    if route.change is None:
        raise ValueError(f"{route.path} does nothing")
    async with call.services.directory.changing(call.principal.organization_id, call.principal.actor) as draft:
        answer = route.change(call.as_of_now(), draft)
        draft.statements += claim.remember(answer.status, body=answer.for_repeats())
    if answer.after is not None:
        answer.after()
    return answer


async def _again(route: Route, call: Call, answered: Answered) -> Any:
    """The first answer once more. Where it was lost between COMMIT and answer, what it would be now."""
    if answered.body is not None:
        return _response(answered.body, answered.status)
    if route.again is None or answered.resource is None:
        return _response(b"", answered.status)
    return _response(encode(await route.again(call, answered.resource)), answered.status)


def _query(route: Route, request: AnyRequest) -> msgspec.Struct:
    return _NOTHING if route.query is Nothing else bodies.query(request, route.query)


def _key(request: AnyRequest) -> str | None:
    key = request.headers.get(KEY_HEADER)
    if key is not None and _KEY.fullmatch(key) is None:
        raise Fault("request.invalid_header", "Idempotency-Key: 1 to 255 visible ASCII characters.")
    return key


async def _body(route: Route, request: AnyRequest) -> tuple[Any, Any]:
    """The parsed document, for telling repeats apart, and the typed body."""
    data = await bodies.read(request, route.body_bytes or bodies.BODY_BYTES)
    if route.body is None:
        return None, None
    if data or request.headers.get("content-type") is not None:
        bodies.require_json(request)
    if not data.strip() and route.method == "POST":
        data = b"{}"
    document = bodies.parse_json(data)
    if route.body_as_document:
        return document, document
    return document, bodies.typed(document, route.body, route.shape_code)


def _sent(answer: Answer | Sending) -> Any:
    if not isinstance(answer, Answer):
        return answer
    return _response(encode(answer.body), answer.status, answer.headers)


def _response(body: bytes, status: int, headers: Any = None) -> ASGIResponse:
    if status == 204:
        return ASGIResponse(status_code=204, headers=_HEADERS)
    media_type = "application/json" if status < 400 else "application/problem+json"
    return ASGIResponse(
        body=body, status_code=status, media_type=media_type, headers={**_HEADERS, **headers} if headers else _HEADERS
    )
