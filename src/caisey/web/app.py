"""The console's ASGI application: from a request to a page.

Owns the order in which a request is judged: its host, who asks (else to the sign-in page), its role, the origin and the
token of a form, and only then the page. Every way in which that fails ends in a page too, with the fault's own words.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import quote

import structlog
from litestar import Litestar, Request
from litestar.config.app import AppConfig
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from caisey.control import csrf
from caisey.control.browser_sessions import Browser
from caisey.control.zones import is_name
from caisey.core.errors import Fault
from caisey.web import faults
from caisey.web.csrf import require_own_origin, require_token
from caisey.web.headers import ASK_AGAIN, FOR_EVER, GUARDS, NO_STORE
from caisey.web.inside import ApiFault, Application, Inside
from caisey.web.page import OpenPage, Page, Reply, see_other
from caisey.web.rendering import Rendering, compressed
from caisey.web.services import ConsoleServices
from caisey.web.static_files import PREFIX, StaticFiles
from caisey.web.table import OPEN_PAGES, PAGES
from caisey.web.visit import AnyRequest, Doorstep, Form, Person, Visit

logger = structlog.get_logger(__name__)

ZONE_COOKIE: Final = "caisey-zone"
PART_HEADER: Final = "x-caisey-part"
FORM_TYPE: Final = "application/x-www-form-urlencoded"
SIGN_IN: Final = "/sign-in"
_FORWARDED: Final = (b"cookie", b"host", b"origin", b"sec-fetch-site", b"user-agent")


def build(services: ConsoleServices, api: Application) -> Any:
    """The application. `api` is the API's, called in process as the person who asks."""
    return Console(services, api).app


class Console:
    """See the module."""

    def __init__(self, services: ConsoleServices, api: Application) -> None:
        self._services = services
        self._api = api
        self._static = StaticFiles()
        self._rendering = Rendering(self._static)
        handlers = [self._handler(page, self._serve(page)) for page in PAGES]
        handlers += [self._handler(page, self._open(page)) for page in OPEN_PAGES]
        self.app = Litestar.from_config(
            AppConfig(
                route_handlers=[*handlers, self._static_handler()],
                exception_handlers={
                    HTTPException: self._on_framework_exception,
                    Exception: self._on_defect,
                },
                openapi_config=None,
                logging_config=None,
                request_max_body_size=max(
                    [page.form_bytes for page in PAGES] + [page.form_bytes for page in OPEN_PAGES]
                ),
                pdb_on_exception=False,
                debug=False,
            )
        )

    # -- from a line of the table to a handler ----------------------------------------------------------------------

    def _handler(self, page: Page | OpenPage, respond: Callable[[AnyRequest], Awaitable[Any]]) -> HTTPRouteHandler:
        async def handle(request: AnyRequest) -> Any:
            return await respond(request)

        handle.__annotations__ = {"request": Request, "return": ASGIResponse}
        path = re.sub(r"\{(\w+)\}", r"{\1:str}", page.path)
        return HTTPRouteHandler(path, http_method=page.method, include_in_schema=False, status_code=200)(handle)

    def _serve(self, page: Page) -> Callable[[AnyRequest], Awaitable[Any]]:
        async def respond(request: AnyRequest) -> Any:
            visit: Visit | None = None
            try:
                self._require_known_host(request)
                browser = self._services.browsers.find(request.headers.get("cookie"), active=_by_hand(request))
                if browser is None:
                    return self._sent(request, _to_sign_in(request))
                form = await self._form(page, request, browser)
                visit = self._visit(request, browser, form)
                if not visit.person.may(page.role):
                    raise Fault("access.role_too_low")
                reply = await page.show(visit)
            except ApiFault as fault:
                if fault.status == 401:
                    return self._sent(request, _to_sign_in(request))
                reply = faults.page(fault.status, fault.problem)
            except Fault as fault:
                reply = faults.of(fault)
            return self._sent(request, await self._rendered(request, reply, visit, page.nav))

        return respond

    def _open(self, page: OpenPage) -> Callable[[AnyRequest], Awaitable[Any]]:
        async def respond(request: AnyRequest) -> Any:
            try:
                self._require_known_host(request)
                form = await self._form(page, request, None)
                reply = await page.show(self._doorstep(request, form))
            except Fault as fault:
                reply = faults.of(fault)
            return self._sent(request, await self._rendered(request, reply, None, ""))

        return respond

    def _require_known_host(self, request: AnyRequest) -> None:
        if not self._services.origins.knows(request.headers.get("host")):
            raise Fault("access.host_unknown")

    async def _form(self, page: Page | OpenPage, request: AnyRequest, browser: Browser | None) -> Form:
        """The fields of a POST, once it is known to come from one of our own pages."""
        if page.method != "POST":
            return Form()
        require_own_origin(self._services.origins, request)
        media_type = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
        if media_type != FORM_TYPE:
            raise Fault("request.unsupported_media_type", f"Send {FORM_TYPE}.")
        form = Form.of(await _body(request, page.form_bytes))
        if browser is not None:
            require_token(browser.secret, form)
        return form

    def _visit(self, request: AnyRequest, browser: Browser, form: Form) -> Visit:
        token = csrf.token_for(browser.secret)
        member = browser.member
        person = Person(
            member_id=member.member_id,
            name=member.name,
            email=member.email,
            role=member.role,
            client_groups=None if member.client_groups is None else frozenset(member.client_groups),
            browser_session_id=browser.session.browser_session_id,
            settings=browser.settings,
            browser_zone=_browser_zone(request),
            group_roles=member.group_roles,
        )
        headers = tuple((name, value) for name, value in request.scope["headers"] if name.lower() in _FORWARDED)
        headers += ((b"time-zone", person.zone.encode()),) if person.zone else ()
        kept = ("asgi", "http_version", "scheme", "server", "client", "root_path", "extensions")
        scope = {name: request.scope[name] for name in kept if name in request.scope}  # type: ignore[literal-required]
        return Visit(
            request=request,
            person=person,
            inside=Inside(self._api, headers=headers, csrf=token, scope=scope),
            csrf=token,
            path=request.path_params,
            query=_query(request),
            form=form,
            fragment=request.headers.get(PART_HEADER) == "1",
            now_ms=self._services.clock.now_ms(),
        )

    def _doorstep(self, request: AnyRequest, form: Form) -> Doorstep:
        return Doorstep(
            request=request,
            services=self._services,
            path=request.path_params,
            query=_query(request),
            form=form,
            address=request.client.host if request.client else "",
            now_ms=self._services.clock.now_ms(),
        )

    # -- answering --------------------------------------------------------------------------------------------------

    async def _rendered(self, request: AnyRequest, reply: Reply, visit: Visit | None, nav: str) -> Reply:
        """The reply with its template filled in."""
        if reply.template is None:
            return reply
        frame: dict[str, Any] = {
            "visit": visit or self._doorstep(request, Form()),
            "person": visit.person if visit else None,
            "csrf": visit.csrf if visit else "",
            "nav": nav,
            "attention_count": await _attention_count(visit) if visit is not None and not visit.fragment else 0,
        }
        body = self._rendering.html(reply.template, {**frame, **reply.context})
        return Reply(status=reply.status, headers=reply.headers, body=body, media_type=reply.media_type)

    def _sent(self, request: AnyRequest, reply: Reply) -> ASGIResponse:
        body, packed = compressed(reply.body, request.headers.get("accept-encoding"))
        kind = (("content-type", reply.media_type),) if body else ()
        return _Raw(reply.status, (*kind, NO_STORE, *GUARDS, *packed, *reply.headers), body)

    def _on_framework_exception(self, request: AnyRequest, error: Any) -> Any:
        """Unknown addresses, wrong methods, oversized forms."""
        return self._outside(request, faults.of_status(error.status_code))

    def _on_defect(self, request: AnyRequest, error: Any) -> Any:
        # The template of the path: the path itself may hold a one-time link.
        path = str(request.scope.get("path_template", ""))
        logger.error("console.defect", method=request.method, path=path, exc_info=error)
        return self._outside(request, faults.of_status(500))

    def _outside(self, request: AnyRequest, reply: Reply) -> ASGIResponse:
        """A page of a fault without anything that could fault again."""
        frame = {"visit": self._doorstep(request, Form()), "person": None, "csrf": "", "nav": "", "attention_count": 0}
        body = self._rendering.html(reply.template or "fault.html", {**frame, **reply.context})
        return self._sent(request, Reply(status=reply.status, body=body))

    # -- static files -----------------------------------------------------------------------------------------------

    def _static_handler(self) -> HTTPRouteHandler:
        async def serve(request: AnyRequest) -> Any:
            found = self._static.find(request.url.path.removeprefix(PREFIX))
            if found is None:
                return self._sent(request, Reply(status=404, body=b"Not found", media_type="text/plain"))
            file, for_ever = found
            tag = f'"{file.tag}"'
            headers = [("content-type", file.media_type), ("etag", tag), FOR_EVER if for_ever else ASK_AGAIN, *GUARDS]
            headers.append(("vary", "accept-encoding"))
            if request.headers.get("if-none-match") == tag:
                return _Raw(304, headers, b"")
            if "gzip" in request.headers.get("accept-encoding", "").lower():
                return _Raw(200, [*headers, ("content-encoding", "gzip")], file.gzipped)
            return _Raw(200, headers, file.body)

        serve.__annotations__ = {"request": Request, "return": ASGIResponse}
        path = PREFIX + "{path:path}"
        return HTTPRouteHandler(path, http_method="GET", include_in_schema=False, status_code=200)(serve)


class _Raw(ASGIResponse):
    """A response with exactly these headers."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        super().__init__(body=body, status_code=status)
        length = (b"content-length", str(len(body)).encode())
        self._listed = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        self._listed.append(length)

    def to_asgi_response(self, **_: Any) -> ASGIResponse:
        """What the framework asks of the answer to an exception."""
        return self

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self._listed})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def _browser_zone(request: AnyRequest) -> str:
    """What the page's script says of the browser's zone."""
    name = request.cookies.get(ZONE_COOKIE, "")
    return name if is_name(name) else ""


def _by_hand(request: AnyRequest) -> bool:
    """Whether a person did this: what a script fetches by itself does not keep a browser session alive."""
    return request.headers.get(PART_HEADER) != "1"


def _query(request: AnyRequest) -> dict[str, str]:
    """The last value of each parameter."""
    return dict(request.query_params.multi_items())


def _to_sign_in(request: AnyRequest) -> Reply:
    """To the sign-in page and back; a script is told in so many words instead."""
    if request.headers.get(PART_HEADER) == "1":
        return Reply(status=401, body=b"", headers=())
    if request.method != "GET":
        return see_other(SIGN_IN)
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return see_other(SIGN_IN if wanted == "/" else f"{SIGN_IN}?next={quote(wanted, safe='')}")


async def _body(request: AnyRequest, at_most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > at_most:
            raise Fault("request.too_large", f"At most {at_most} bytes.")
        parts.append(part)
    return b"".join(parts)


async def _attention_count(visit: Visit) -> int:
    """How many things wait for a person; a list that cannot be read lights no number."""
    try:
        async with asyncio.timeout(2):
            found = await visit.inside.get("/attention", limit=1)
    except (ApiFault, TimeoutError):
        return 0
    return int(found["total"] - found["aside"])
