"""A session as the console shows it, without a server: the core's own documents in the place of the API's answers.

`Look` renders the real templates through the real pages; only the bytes on the wire are missing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import msgspec

from caisey.control.roles import Role
from caisey.core.awareness import present_awareness
from caisey.core.present import present_prompt, present_session
from caisey.core.scene import PLAINLY, Telling
from caisey.core.session import Session
from caisey.core.spoken import rfc3339
from caisey.core.view import EndpointView
from caisey.tools import catalogue
from caisey.web.inside import ApiFault
from caisey.web.page import Reply
from caisey.web.pages import session as pages
from caisey.web.pages import session_act
from caisey.web.rendering import Rendering
from caisey.web.static_files import StaticFiles
from caisey.web.visit import Form, Person, Visit

Document = dict[str, Any]


_THREAD = ThreadPoolExecutor(1, thread_name_prefix="looking")


def run(work: Coroutine[Any, Any, Reply]) -> Reply:
    """On a loop of its own: a browser test in the same process has one running here."""
    return _THREAD.submit(asyncio.run, work).result()


@cache
def rendering() -> Rendering:
    """The console's own; templates are compiled once."""
    return Rendering(StaticFiles())


@dataclass(frozen=True, repr=False)  # asyncio spells out what it runs, and a session may be large
class Inside:
    """The API of one session, from the core's presentation."""

    session: Session
    view: EndpointView
    now: int
    telling: Telling = PLAINLY
    raw_bytes: bytes = b""

    async def get(self, path: str, /, **query: Any) -> Any:
        """As the API answers."""
        return msgspec.json.decode(msgspec.json.encode(self._found(path, query)))

    async def raw(self, path: str, /, **query: Any) -> tuple[bytes, Mapping[str, str]]:
        """The bytes of a stream."""
        return self.raw_bytes, {}

    def _found(self, path: str, query: Mapping[str, Any]) -> Any:
        if path.endswith(("/presence", "/colleagues", "/snippets", "/prompts")):
            return {"items": []}
        if path == "/tools":
            return {"items": [_tool(tool) for tool in catalogue.TOOLS]}
        if path.endswith("/awareness"):
            prompt_id = path.split("/")[2]
            call = query.get("tool_call_id")
            return present_awareness(
                self.session, prompt_id, self.view, self.now, tool_call_id=call, telling=self.telling
            )
        if path.startswith("/prompts/"):
            return present_prompt(self.session, path.split("/")[2], self.view, self.now, self.telling)
        if path.startswith("/endpoints/"):
            return self._endpoint()
        if path.startswith("/tools/"):
            tool = catalogue.find(path.split("/")[2], 1)
            assert tool is not None
            return _tool(tool)
        if path.startswith("/sessions/"):
            only, also = query.get("only") == "open", (query.get("also") or "").split(",")
            return present_session(self.session, self.view, self.now, self.telling, open_only=only, also=also)
        raise ApiFault(404, {"code": "resource.not_found", "title": "Not found", "hint": ""})

    def _endpoint(self) -> Document:
        healthy = self.view.health.value == "healthy"
        return {
            "id": self.view.endpoint_id,
            "health": self.view.health.value,
            "health_since": rfc3339(self.view.since_ms),
            "sendable": {"value": healthy, "reason": None if healthy else "offline", "proved_at": rfc3339(self.now)},
            "facts": {},
            "runtimes": [],
            "name": self.view.name,
            "hostname": self.view.name,
            "client_group_id": None,
            "client_group": self.view.client or None,
            "tags": [],
            "open_sessions": 1,
            "held": 0,
            "review_needed": False,
            "like_endpoint_id": None,
            "removing": None,
            "created_at": rfc3339(self.view.since_ms),
        }


def _tool(tool: Any) -> Document:
    return {
        "name": tool.name,
        "version": tool.version,
        "summary": tool.summary,
        "arguments_schema": tool.arguments_schema,
        "effect": tool.effect,
        "effect_by_call": tool.effect_by_call,
        "effect_by_argument": tool.effect_by_argument,
        "platforms": list(tool.platforms),
    }


class Look:
    """Somebody who looks at a session."""

    def __init__(self, inside: Any, now_ms: int, role: Role = Role.TECHNICIAN) -> None:
        self.inside = inside
        self.now_ms = now_ms
        self.person = Person("usr_1", "Anna", "anna@example.org", role, None, "bro_1", SETTINGS)

    def visit(self, path: dict[str, str], query: dict[str, str], form: Form, *, fragment: bool) -> Visit:
        """One request."""
        return Visit(
            request=cast(Any, None),
            person=self.person,
            inside=self.inside,
            csrf="token",
            path=path,
            query=query,
            form=form,
            fragment=fragment,
            now_ms=self.now_ms,
        )

    def page(self, session_id: str, **query: str) -> str:
        """The whole page."""
        visit = self.visit({"session_id": session_id}, query, Form(), fragment=False)
        return self._html(run(pages.show(visit)), visit)

    def parts(self, session_id: str, **query: str) -> str:
        """The parts that the script asks for."""
        visit = self.visit({"session_id": session_id}, query, Form(), fragment=True)
        return self._html(run(pages.parts(visit)), visit)

    def step(self, session_id: str, call_id: str, *, fragment: bool = False) -> str:
        """One step."""
        visit = self.visit({"session_id": session_id, "tool_call_id": call_id}, {}, Form(), fragment=fragment)
        return self._html(run(pages.step(visit)), visit)

    def press(self, session_id: str, fields: dict[str, str]) -> Reply:
        """A form of NOW, sent."""
        visit = self.visit({"session_id": session_id}, {}, Form(list(fields.items())), fragment=False)
        return run(session_act.act(visit))

    def _html(self, reply: Reply, visit: Visit) -> str:
        assert reply.template is not None
        frame = {"person": self.person, "csrf": "token", "nav": "", "attention_count": 0}
        return rendering().html(reply.template, {**frame, **reply.context}).decode()


SETTINGS = {"theme": "system", "keys": "on", "zone": ""}

_TAG = re.compile(r"<[^>]*>")
_GONE = re.compile(r"<(script|style|svg)\b.*?</\1>", re.DOTALL)


def text_of(html: str) -> str:
    """What a person reads, with the titles and names that stand in attributes."""
    named = re.findall(r'(?:title|aria-label|placeholder)="([^"]*)"', html)
    return "\n".join([_TAG.sub("\n", _GONE.sub("\n", html)), *named])
