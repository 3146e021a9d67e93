"""A technician's side of the HTTP API: authorization, idempotency keys, bounded waits, server-sent events."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.end_to_end import views
from tests.end_to_end.server import until
from tests.end_to_end.views import Prompt

NEW_KEY = "new"


def shell(command: str = "true", effect: str | None = "read_only", **more: Any) -> dict[str, Any]:
    """One call of the shell tool. `effect=None` declares nothing, which is `mutating`."""
    tool_call = {"tool": "shell", "arguments": {"command": command}, **more}
    return tool_call if effect is None else {**tool_call, "effect": effect}


@dataclass(frozen=True)
class StreamEvent:
    id: str
    event: str
    data: dict[str, Any]


class Api:
    def __init__(self, url: str, token: str | None) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.root = url
        self.http = httpx.Client(base_url=f"{url}/api/v1", headers=headers, timeout=30, trust_env=False)

    def close(self) -> None:
        self.http.close()

    def send(
        self, method: str, path: str, body: Any = None, *, key: str | None = NEW_KEY, **more: Any
    ) -> httpx.Response:
        """One request, with a new Idempotency-Key for every write unless told otherwise."""
        headers = dict(more.pop("headers", {}))
        if key is not None and method not in ("GET", "HEAD"):
            headers["Idempotency-Key"] = uuid.uuid4().hex if key == NEW_KEY else key
        if body is not None:
            more["json"] = body
        return self.http.request(method, path, headers=headers, **more)

    def get(self, path: str, **params: Any) -> Any:
        answer = self.send("GET", path, params=params)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return answer.json()

    def write(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """A write that must be accepted; its decoded answer."""
        answer = self.send(method, path, body, **more)
        assert answer.is_success, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        return self.write("POST", path, body, **more)

    def put(self, path: str, body: Any) -> Any:
        return self.write("PUT", path, body)

    def problem(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, dict[str, Any]]:
        """A request that must be refused: the status and the problem document, checked for its form."""
        return problem_of(self.send(method, path, body, **more))

    # -- troubleshooting -------------------------------------------------------------------------------------

    def open_session(self, endpoint_id: str, title: str = "looking into it", **more: Any) -> str:
        answer = self.send("POST", "/sessions", {"endpoint_id": endpoint_id, "title": title, **more})
        assert answer.status_code == 201, (answer.status_code, answer.text)
        return str(answer.json()["id"])

    def ask(self, session_id: str, *tool_calls: dict[str, Any]) -> Prompt:
        answer = self.send("POST", f"/sessions/{session_id}/prompts", {"tool_calls": list(tool_calls)})
        assert answer.status_code == 202, (answer.status_code, answer.text)
        return views.check(answer.json())

    def prompt(self, prompt_id: str) -> Prompt:
        return views.check(self.get(f"/prompts/{prompt_id}"))

    def wait(
        self, prompt: Prompt, condition: Callable[[Prompt], Any], *, within: float = 40.0, what: str = "the condition"
    ) -> Prompt:
        """The first view of the prompt for which the condition holds; every view on the way is checked."""
        newest: list[Prompt] = [prompt]

        def look() -> Prompt | None:
            newest[0] = self.prompt(prompt["id"])
            return newest[0] if condition(newest[0]) else None

        try:
            return dict(until(look, within=within, what=what))
        except AssertionError as error:
            error.add_note(story(newest[0]))
            raise

    def wait_verdict(self, prompt: Prompt, *wanted: tuple[str, str], step: int = 1, within: float = 40.0) -> Prompt:
        """Waits until the newest attempt of a step shows one of these (kind, ran)."""
        return self.wait(
            prompt, lambda p: views.verdict(p, step) in wanted, within=within, what=f"step {step} is {wanted}"
        )

    def wait_state(self, prompt: Prompt, *states: str, step: int = 1, within: float = 40.0) -> Prompt:
        """Waits until the newest attempt of a step is in one of these states."""
        return self.wait(
            prompt, lambda p: views.last(p, step)["state"] in states, within=within, what=f"step {step} is {states}"
        )

    def wait_waiting(self, prompt: Prompt, step: int = 1, within: float = 40.0) -> Prompt:
        """Waits until a step waits for a person."""
        return self.wait(
            prompt, lambda p: views.call(p, step)["state"] == "waiting", within=within, what=f"step {step} waits"
        )

    def act(self, prompt: Prompt, action: str, *, step: int = 1, reason: str = "needed", **fields: Any) -> Any:
        """An action that must be accepted, by someone who has just read the prompt."""
        answer = self.try_to_act(prompt, action, step=step, reason=reason, **fields)
        assert answer.status_code == 202, (action, answer.status_code, answer.text, story(self.prompt(prompt["id"])))
        return answer.json()

    def try_to_act(
        self,
        prompt: Prompt,
        action: str,
        *,
        step: int = 1,
        key: str | None = NEW_KEY,
        seen: int | None = -1,
        **fields: Any,
    ) -> httpx.Response:
        """`seen=-1` reads the prompt first; None leaves it out."""
        if seen == -1:
            seen = self.prompt(prompt["id"])["sequence"]
        body = {"action": action, "reason": "needed", **fields}
        if seen is not None:
            body["seen"] = seen
        return self.send("POST", f"/tool-calls/{views.call(prompt, step)['id']}/actions", body, key=key)

    def output(self, tool_call_id: str, stream: str = "stdout", attempt: int = 1, offset: int = 0) -> bytes:
        answer = self.send(
            "GET", f"/tool-calls/{tool_call_id}/output", params={"attempt": attempt, "stream": stream, "offset": offset}
        )
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return answer.content

    def events(self, session_id: str, after: int = 0) -> list[dict[str, Any]]:
        """All events of a session, page by page."""
        found: list[dict[str, Any]] = []
        params: dict[str, Any] = {"after": after, "limit": 200}
        while True:
            page = self.get(f"/sessions/{session_id}/events", **params)
            found += page["items"]
            if page["next"] is None or not page["items"]:
                return found
            params = {"after": after, "limit": 200, "cursor": page["next"]}

    @contextmanager
    def stream(
        self, path: str, *, last_event_id: int | None = None, within: float = 40.0
    ) -> Iterator[Iterator[StreamEvent]]:
        """An open stream of server-sent events. Reading on past `within` seconds fails."""
        headers = {"Accept": "text/event-stream"}
        if last_event_id is not None:
            headers["Last-Event-ID"] = str(last_event_id)
        with self.http.stream("GET", path, headers=headers, timeout=httpx.Timeout(within)) as answer:
            if answer.status_code != 200:
                answer.read()
            assert answer.status_code == 200, (path, answer.status_code, answer.text)
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield _events(answer.iter_lines(), time.monotonic() + within)


def _events(lines: Iterator[str], deadline: float) -> Iterator[StreamEvent]:
    fields: dict[str, str] = {}
    for line in lines:
        assert time.monotonic() < deadline, "the stream said nothing of use in time"
        if line == "":
            if "data" in fields:
                yield StreamEvent(fields.get("id", ""), fields.get("event", "message"), json.loads(fields["data"]))
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name == "data" and name in fields else value


def problem_of(answer: httpx.Response) -> tuple[int, dict[str, Any]]:
    """API.md: RFC 9457 problem details with a stable dotted `code` and a `hint`; no stack trace, no bare 500."""
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text)
    assert answer.headers["content-type"].startswith("application/problem+json"), answer.headers["content-type"]
    problem = answer.json()
    assert "." in problem["code"], problem
    assert problem["hint"], problem
    assert problem.get("status", answer.status_code) == answer.status_code
    assert "Traceback" not in answer.text
    for fault in problem.get("errors") or ():
        assert {"pointer", "expected", "found"} <= set(fault), fault
    return answer.status_code, problem


def story(prompt: Prompt) -> str:
    """What a person needs to see of a prompt when a test fails."""
    lines = [f"prompt {prompt['id']} {prompt['state']} sequence {prompt['sequence']}"]
    for tool_call in prompt["tool_calls"]:
        lines.append(f"  {tool_call['tool']} {tool_call['effect']} {tool_call['state']} ran={tool_call['ran']}")
        for a in tool_call["attempts"]:
            given = a.get("verdict") or {}
            lines.append(
                f"    #{a['number']} consent {a['consent']} {a['state']} {given.get('kind')}/{given.get('ran')} "
                f"owner={a.get('owner')} due={a.get('due_at')} next={a.get('next_state')} on {a.get('runtime_id')}"
            )
            lines += [f"      {fact}" for fact in a["evidence"]]
    return "\n".join(lines)
