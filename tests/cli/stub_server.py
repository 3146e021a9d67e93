"""An honest stand-in for the control plane: speaks API.md over real sockets, and fails on request.

Owns no judgement: a test says what happens to each tool call (`dispatched`, `started`, `output`, `ended`, …), and the
stub keeps the prompt, its events and its output in step, as the API page describes them. Every write is recorded, so
that a test can ask what was sent, and how often.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "cst_stub"
PREFIX = "/api/v1"
WITHIN_S = 20.0

_FACTS = {"attempt.noticed": "stalled"}

Json = Any
Script = Callable[["Stub", dict[str, Any]], None]


def stamp(at: datetime | None = None) -> str:
    """A time as the API writes it."""
    return (at or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def problem(status: int, code: str, title: str, hint: str = "Do something else.", **extra: Json) -> tuple[int, Json]:
    """An answer that is a problem document."""
    return status, {"type": "about:blank", "status": status, "code": code, "title": title, "hint": hint, **extra}


NOT_FOUND = problem(404, "resource.not_found", "Not found", "Check the id.")


@dataclass
class Request:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Json


@dataclass
class Failure:
    """What happens to matching requests instead of an answer, `times` times."""

    method: str
    path: str
    times: int
    answer: tuple[int, Json] | None = None  # None: the connection is closed
    after: bool = False  # the write is done first; only the answer is lost


@dataclass
class Stub:
    """The state of the stand-in. All changes happen under `changed`."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    endpoints: dict[str, Json] = field(default_factory=dict)
    sessions: dict[str, Json] = field(default_factory=dict)
    prompts: dict[str, Json] = field(default_factory=dict)
    events: dict[str, list[Json]] = field(default_factory=dict)
    outputs: dict[tuple[str, int, str], bytes] = field(default_factory=dict)
    lists: dict[str, list[Json]] = field(default_factory=dict)
    documents: dict[str, Json] = field(default_factory=dict)
    texts: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    answers: dict[tuple[str, str], tuple[int, Json]] = field(default_factory=dict)  # by method and path, fixed
    actions: list[Json] = field(default_factory=list)
    on_prompt: Script | None = None
    on_action: Callable[[Stub, dict[str, Any], Json], tuple[int, Json] | None] | None = None
    awareness: Json = None
    sequence: int = 100
    count: int = 0
    generation: int = 0
    streams: int = 0
    reads: int = 0  # how often a prompt was read
    closing: bool = False
    held: str = "(nothing)"
    anything_goes: Json = None  # the answer to any other write
    url: str = ""
    _kept: dict[tuple[str, str, str], tuple[str, tuple[int, Json]]] = field(default_factory=dict)

    # -- what a test says -------------------------------------------------------------------------------------------

    def endpoint(self, name: str = "ACCT-07", **more: Json) -> str:
        """A computer that is ready."""
        endpoint_id = f"ept_{len(self.endpoints):026d}"
        self.endpoints[endpoint_id] = {
            "id": endpoint_id,
            "name": name,
            "client_group": {"id": "grp_" + "0" * 26, "name": "Acme"},
            "health": "healthy",
            "sendable": {"value": True, "reason": None, "proved_at": stamp()},
            "runtimes": [],
            "open_sessions": 0,
            "held": 0,
            "facts": {"os": {"value": "linux", "at": stamp()}},
            "tags": [],
            **more,
        }
        return endpoint_id

    def fail(
        self, method: str, path: str, *, times: int = 1, answer: tuple[int, Json] | None = None, after: bool = False
    ) -> None:
        """The next matching requests fail. `path` is a regular expression for the whole path below the prefix."""
        self.failures.append(Failure(method, path, times, answer, after))

    def hold_answers(self, path: str) -> None:
        """Requests to this path are taken and never answered."""
        self.held = path

    def newest_prompt(self) -> Json:
        """The prompt that was accepted last."""
        return list(self.prompts.values())[-1]

    def cut_streams(self) -> None:
        """Close every open event stream."""
        with self.changed:
            self.generation += 1
            self.changed.notify_all()

    def wait_for(self, condition: Callable[[], Json], what: str) -> Json:
        """The condition's first true value."""
        with self.changed:
            assert self.changed.wait_for(condition, WITHIN_S), f"not within {WITHIN_S} s: {what}"
            return condition()

    def sent(self, method: str, path: str) -> list[Request]:
        """The requests that came to this path (a regular expression)."""
        return [r for r in self.requests if r.method == method and re.fullmatch(path, r.path)]

    def is_news(self, session_id: str, after: int, generation: int) -> bool:
        """Whether an open stream has something to say, or to end for."""
        events = self.events.get(session_id)
        return self.closing or self.generation != generation or bool(events and events[-1]["sequence"] > after)

    # -- the life of a tool call -----------------------------------------------------------------------------------

    def add_prompt(self, session_id: str, tool_calls: list[Json], text: str | None = None) -> Json:
        """A prompt as the API shows it once it is durable."""
        self.count += 1
        prompt_id = f"pmt_{self.count:026d}"
        calls = []
        for position, call in enumerate(tool_calls, 1):
            calls.append(
                {
                    "id": f"tcl_{self.count:020d}{position:06d}",
                    "position": position,
                    "tool": call["tool"],
                    "arguments": call.get("arguments", {}),
                    "effect": call.get("effect", "mutating"),
                    "limits": call.get("limits"),
                    "consents": [],
                    "state": "pending",
                    "ran": "no",
                    "attempts": [],
                }
            )
        prompt = {
            "id": prompt_id,
            "session_id": session_id,
            "text": text,
            "state": "running",
            "sequence": self.sequence,
            "tool_calls": calls,
        }
        with self.changed:
            self.prompts[prompt_id] = prompt
            self.note(prompt, "prompt.accepted", prompt_id=prompt_id)
        return prompt

    def note(self, prompt: Json, event_type: str, **payload: Json) -> Json:
        """One event, committed and told."""
        with self.changed:
            self.sequence += 1
            event = {
                "sequence": self.sequence,
                "at": stamp(),
                "organization_id": "org_" + "0" * 26,
                "session_id": prompt["session_id"],
                "type": event_type,
                "actor": {"kind": "control_plane", "id": "control_plane"},
                "reason": None,
                "payload": payload,
            }
            self.events.setdefault(prompt["session_id"], []).append(event)
            if event_type not in ("attempt.output", "attempt.progressed"):
                prompt["sequence"] = self.sequence
            self.changed.notify_all()
            return event

    def attempt(self, prompt: Json, step: int = 1) -> Json:
        """A new try, queued."""
        call = prompt["tool_calls"][step - 1]
        number = len(call["attempts"]) + 1
        attempt = {
            "number": number,
            "consent": 1,
            "state": "queued",
            "owner": "control_plane",
            "due_at": stamp(datetime.now(UTC) + timedelta(seconds=10)),
            "next_state": "dispatched",
            "runtime_id": None,
            "verdict": None,
            "evidence": [],
            "execution": None,
            "output": {},
            "result": None,
            "shape_faults": [],
            "changes": [],
            "late": [],
        }
        call["attempts"].append(attempt)
        call["state"] = "running"
        self.move(prompt, step, "queued", "attempt.queued")
        return attempt

    def move(
        self,
        prompt: Json,
        step: int,
        state: str,
        event_type: str,
        *,
        due_s: float = 10,
        at: str | None = None,
        **payload: Json,
    ) -> None:
        """The newest try of a step comes into a state, by an event."""
        with self.changed:
            call = prompt["tool_calls"][step - 1]
            attempt = call["attempts"][-1]
            attempt["state"] = state
            attempt["due_at"] = stamp(datetime.now(UTC) + timedelta(seconds=due_s))
            fact = {
                "at": at or stamp(),
                "source": "control_plane",
                "type": _FACTS.get(event_type, event_type.partition(".")[2]),
                **payload,
            }
            attempt["evidence"].append(fact)
            self.note(prompt, event_type, tool_call_id=call["id"], number=attempt["number"], **payload)

    def started(self, prompt: Json, step: int = 1) -> None:
        """Queued, sent, received and started."""
        self.attempt(prompt, step)
        self.move(prompt, step, "dispatched", "attempt.dispatched")
        self.move(prompt, step, "acknowledged", "attempt.acknowledged")
        self.move(prompt, step, "started", "attempt.started", pid=42, user="root")

    def output(self, prompt: Json, data: bytes, *, step: int = 1, stream: str = "stdout") -> None:
        """Bytes of the newest try."""
        with self.changed:
            call = prompt["tool_calls"][step - 1]
            attempt = call["attempts"][-1]
            key = (call["id"], attempt["number"], stream)
            offset = len(self.outputs.get(key, b""))
            self.outputs[key] = self.outputs.get(key, b"") + data
            whole = self.outputs[key]
            attempt["output"][stream] = {
                "bytes": len(whole), "text": whole.decode("utf-8", "replace"), "truncated": False, "gaps": [],
            }  # fmt: skip
            self.note(
                prompt, "attempt.output", tool_call_id=call["id"], number=attempt["number"],
                stream=stream, offset=offset, length=len(data),
            )  # fmt: skip

    def ended(
        self,
        prompt: Json,
        kind: str,
        ran: str,
        *,
        step: int = 1,
        label: str = "Done",
        summary: str = "It ran and gave a result.",
        actions: list[Json] | None = None,
        call_state: str | None = None,
        exit_code: int = 0,
        **fields: Json,
    ) -> None:
        """The verdict of the newest try; the step ends, or waits for a person where the verdict asks for one."""
        done = kind in ("answered", "empty")
        with self.changed:
            call = prompt["tool_calls"][step - 1]
            attempt = call["attempts"][-1]
            attempt["verdict"] = {
                "kind": kind, "ran": ran, "label": label, "summary": summary, "next_actions": actions or [],
            }  # fmt: skip
            now = datetime.now(UTC)
            attempt["execution"] = {
                "exit_code": exit_code, "ended_by": "itself", "started_at": stamp(now - timedelta(seconds=0.4)),
                "ended_at": stamp(now), "streams": {},
            }  # fmt: skip
            attempt.update(fields)
            attempt["due_at"] = attempt["next_state"] = None
            call["state"] = call_state or ("ended" if done else "waiting")
            call["ran"] = ran
            self.move(prompt, step, "ended", "attempt.ended")
            states = {c["state"] for c in prompt["tool_calls"]}
            if states == {"ended"}:
                prompt["state"] = "ended"
                self.note(prompt, "prompt.ended", prompt_id=prompt["id"])
            elif "waiting" in states and "running" not in states:
                prompt["state"] = "waiting"
                self.note(prompt, "prompt.waiting", prompt_id=prompt["id"])

    # -- serving ------------------------------------------------------------------------------------------------------

    def answer(self, request: Request) -> tuple[int, Json]:
        """What the API says to this request."""
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return problem(401, "auth.token_invalid", "The token is not valid", "Make a new one.")
        fixed = self.answers.get((request.method, request.path))
        if fixed is not None:
            return fixed
        if request.method == "GET":
            return self._read(request)
        key = request.headers.get("idempotency-key")
        if key is None:
            return problem(422, "idempotency.key_required", "This needs an Idempotency-Key")
        kept = self._kept.get((key, request.method, request.path))
        body = json.dumps(request.body, sort_keys=True)
        if kept is not None:
            return kept[1] if kept[0] == body else problem(409, "idempotency.mismatch", "Another body")
        answer = self._write(request)
        self._kept[(key, request.method, request.path)] = (body, answer)
        return answer

    def _read(self, request: Request) -> tuple[int, Json]:
        path = request.path
        if path == "/endpoints":
            asked = request.query.get("q", "").lower()
            return self._page(request, [e for e in self.endpoints.values() if asked in e["name"].lower()])
        if path == "/sessions":
            return self._page(request, list(self.sessions.values()))
        if path in self.lists:
            return self._page(request, self.lists[path])
        if path in self.documents:
            return 200, self.documents[path]
        if path.startswith("/prompts/"):
            self.reads += 1
            self.changed.notify_all()
        if match := re.fullmatch(r"/(endpoints|sessions|prompts)/(\w+)", path):
            found = getattr(self, match[1]).get(match[2])
            return (200, found) if found else NOT_FOUND
        if match := re.fullmatch(r"/sessions/(\w+)/events", path):
            after = int(request.query.get("after", 0))
            return self._page(request, [e for e in self.events.get(match[1], []) if e["sequence"] > after])
        if match := re.fullmatch(r"/prompts/(\w+)/awareness", path):
            return 200, self.awareness
        return NOT_FOUND

    def _page(self, request: Request, items: list[Json]) -> tuple[int, Json]:
        start = int(request.query.get("cursor", 0))
        limit = int(request.query.get("limit", 50))
        more = start + limit < len(items)
        return 200, {"items": items[start : start + limit], "next": str(start + limit) if more else None}

    def _write(self, request: Request) -> tuple[int, Json]:
        if request.path == "/sessions":
            session_id = f"ses_{len(self.sessions):026d}"
            self.sessions[session_id] = {"id": session_id, "state": "open", "opened_at": stamp(), **request.body}
            return 201, self.sessions[session_id]
        if match := re.fullmatch(r"/sessions/(\w+)/prompts", request.path):
            prompt = self.add_prompt(match[1], request.body.get("tool_calls", []), request.body.get("text"))
            answer = json.loads(json.dumps(prompt))
            if self.on_prompt is not None:
                threading.Thread(target=self.on_prompt, args=(self, prompt), daemon=True).start()
            return 202, answer
        if match := re.fullmatch(r"/tool-calls/(\w+)/actions", request.path):
            prompt = next(p for p in self.prompts.values() if match[1] in {c["id"] for c in p["tool_calls"]})
            refused = self.on_action(self, prompt, request.body) if self.on_action else None
            if refused is not None:
                return refused
            self.actions.append({"tool_call_id": match[1], **request.body})
            return 202, json.loads(json.dumps(prompt))
        return NOT_FOUND if self.anything_goes is None else (200, self.anything_goes)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *args: Json) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        stub = self.server.stub
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        request = Request(
            self.command,
            parts.path.removeprefix(PREFIX),
            {name: values[-1] for name, values in parse_qs(parts.query).items()},
            {name.lower(): value for name, value in self.headers.items()},
            json.loads(body) if body else None,
        )
        with stub.changed:
            stub.requests.append(request)
            stub.changed.notify_all()
            failure = next(
                (
                    f
                    for f in stub.failures
                    if f.times and f.method == request.method and re.fullmatch(f.path, request.path)
                ),
                None,
            )
            if failure is not None:
                failure.times -= 1
            if re.fullmatch(stub.held, request.path):
                stub.changed.wait_for(lambda: stub.closing)
        if failure is not None and not failure.after:
            if failure.answer is None:
                self.close_connection = True
            else:
                self._send_json(*failure.answer)
            return
        if request.method == "GET" and self._special(stub, request):
            return
        with stub.changed:
            status, document = stub.answer(request)
        if failure is not None:
            self.close_connection = True
            return
        self._send_json(status, document)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815  # names of the standard library

    def _special(self, stub: Stub, request: Request) -> bool:
        """Answers that are not JSON: bytes and event streams."""
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return False
        if match := re.fullmatch(r"/tool-calls/(\w+)/output", request.path):
            key = (match[1], int(request.query.get("attempt", 1)), request.query.get("stream", "stdout"))
            self._send("application/octet-stream", stub.outputs.get(key, b"")[int(request.query.get("offset", 0)) :])
            return True
        if request.path in stub.texts:
            self._send(*stub.texts[request.path])
            return True
        if match := re.fullmatch(r"/sessions/(\w+)/stream", request.path):
            self._stream(stub, match[1], int(request.headers.get("last-event-id") or 0))
            return True
        if request.path == "/stream":
            self._stream(stub, "*", int(request.headers.get("last-event-id") or 0))
            return True
        return False

    def _stream(self, stub: Stub, session_id: str, after: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        with stub.changed:
            generation = stub.generation
            stub.streams += 1
            stub.changed.notify_all()
        while True:
            with stub.changed:
                stub.changed.wait_for(partial(stub.is_news, session_id, after, generation), 1.0)
                if stub.closing or stub.generation != generation:
                    return
                news = [event for event in stub.events.get(session_id, []) if event["sequence"] > after]
            try:
                for event in news:
                    text = f"id: {event['sequence']}\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n"
                    self.wfile.write(text.encode())
                    after = event["sequence"]
                self.wfile.write(b": here\n\n")
                self.wfile.flush()
            except OSError:
                return

    def _send_json(self, status: int, document: Json) -> None:
        data = b"" if document is None else json.dumps(document).encode()
        kind = "application/problem+json" if status >= 400 else "application/json"
        self._send(kind, data, status)

    def _send(self, kind: str, data: bytes, status: int = 200) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    stub: Stub


class Listener:
    """The stub on a port of this machine, that can go away and come back to the same one."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._port = 0
        self._server: _Server | None = None

    def listen(self) -> None:
        """Be there."""
        self._server = server = _Server(("127.0.0.1", self._port), _Handler)
        server.stub = self._stub
        self._port = int(server.server_address[1])
        self._stub.closing = False
        self._stub.url = f"http://127.0.0.1:{self._port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def leave(self) -> None:
        """Be gone: nothing listens, and every connection is closed."""
        server, self._server = self._server, None
        if server is None:
            return
        with self._stub.changed:
            self._stub.closing = True
            self._stub.changed.notify_all()
        server.shutdown()
        server.server_close()


@contextmanager
def serving(stub: Stub) -> Iterator[Listener]:
    """The stub, until the block ends."""
    listener = Listener(stub)
    listener.listen()
    try:
        yield listener
    finally:
        listener.leave()
