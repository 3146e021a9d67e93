"""A whole control plane in a thread of the test's process, reached over real HTTP on loopback."""

from __future__ import annotations

import base64
import json
import os
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from caisey import wiring
from caisey.settings import ServerSettings

START_WITHIN_S = 20.0
TLS = ssl.create_default_context()
"""Made once: making one takes longer than most requests, and loopback needs none."""


class Plane:
    """Started and ended as a program would; the data directory may be used again."""

    def __init__(self, data_dir: Path, **settings: Any) -> None:
        self.settings = ServerSettings(data_dir=data_dir, listen="127.0.0.1:0", **settings)
        self.data_dir = data_dir
        self.url = ""
        self._thread: threading.Thread | None = None
        self._end: Callable[[], None] = lambda: None
        self._tokens: dict[tuple[str, str, tuple[str, ...] | None], str] = {}
        self._clients: dict[str | None, httpx.Client] = {}

    def start(self) -> Plane:
        ready: Future[int] = Future()

        def started(port: int, end: Callable[[], None]) -> None:
            self._end = end
            ready.set_result(port)

        def run() -> None:
            try:
                wiring.serve(self.settings, started)
            except BaseException as error:
                if not ready.done():
                    ready.set_exception(error)
                raise

        self._thread = threading.Thread(target=run, name="plane", daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{ready.result(START_WITHIN_S)}"
        return self

    def stop(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self._end()
        if self._thread is not None:
            self._thread.join(START_WITHIN_S)
            assert not self._thread.is_alive(), "the control plane does not end"
            self._thread = None

    def organization(self, name: str) -> str:
        """A new organization's id."""
        return str(elsewhere(wiring.create_organization, self.data_dir, name)["id"])

    def set_up_link(self, organization: str = "default") -> str:
        """The path of a one-time link that makes an owner."""
        return str(elsewhere(wiring.create_set_up_link, self.data_dir, organization)["path"])

    def token(self, role: str = "owner", organization: str = "default", groups: tuple[str, ...] | None = None) -> str:
        """An API token; the same one for the same question."""
        key = (role, organization, groups)
        if key not in self._tokens:
            made = elsewhere(wiring.create_token, self.data_dir, organization, role, client_group_ids=groups)
            self._tokens[key] = made["token"]
        return self._tokens[key]

    def api(self, role: str = "owner", organization: str = "default", groups: tuple[str, ...] | None = None) -> Api:
        """A client with such a token."""
        return self.client(self.token(role, organization, groups))

    def client(self, token: str | None) -> Api:
        """A client with this token."""
        if token not in self._clients:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            self._clients[token] = httpx.Client(
                base_url=f"{self.url}/api/v1", headers=headers, timeout=20, trust_env=False, verify=TLS
            )
        return Api(self._clients[token], self.url)


def elsewhere(work: Callable[..., dict[str, Any]], *arguments: Any, **named: Any) -> dict[str, Any]:
    """In a thread of its own: the test's own may have a loop that runs, as the browser's driver does."""
    with ThreadPoolExecutor(1) as one:
        return one.submit(work, *arguments, **named).result()


class Api:
    """Requests, checked for their form."""

    def __init__(self, http: httpx.Client, url: str) -> None:
        self.http = http
        self.url = url

    def send(self, method: str, path: str, body: Any = None, *, key: str | None = None, **more: Any) -> httpx.Response:
        headers = dict(more.pop("headers", {}))
        if key is not None:
            headers["Idempotency-Key"] = key
        if body is not None:
            more["json"] = body
        answer = self.http.request(method, path, headers=headers, **more)
        if answer.status_code >= 400:
            check_problem(answer)
        return answer

    def get(self, path: str, **params: Any) -> Any:
        return self._good("GET", path, params=params or None)

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        return self._good("POST", path, body, **more)

    def put(self, path: str, body: Any, **more: Any) -> Any:
        return self._good("PUT", path, body, **more)

    def patch(self, path: str, body: Any, **more: Any) -> Any:
        return self._good("PATCH", path, body, **more)

    def delete(self, path: str, **more: Any) -> Any:
        return self._good("DELETE", path, **more)

    def refused(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, str, dict[str, Any]]:
        """Status, code and the whole problem of a request that has to be refused."""
        answer = self.send(method, path, body, **more)
        assert answer.status_code >= 400, (method, path, answer.status_code, answer.text)
        problem = answer.json()
        return answer.status_code, problem["code"], problem

    def _good(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        answer = self.send(method, path, body, **more)
        assert answer.is_success, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    # -- what most tests need ----------------------------------------------------------------------------------------

    def group(self, name: str | None = None) -> str:
        return str(self.post("/client-groups", {"name": name or f"group {uuid.uuid4().hex[:12]}"})["id"])

    def enrollment_token(self, scope: str = "organization", **more: Any) -> str:
        return str(self.post("/enrollment-tokens", {"scope": scope, **more})["token"])

    def enroll(self, token: str | None = None, **changes: Any) -> dict[str, Any]:
        """A computer that never connects."""
        answer = self.try_to_enroll(token or self.enrollment_token(), **changes)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def try_to_enroll(self, token: str, **changes: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/runtime/v1/enroll", json=computer(token, **changes), trust_env=False, verify=TLS)

    def endpoint(self, group: str | None = None, hostname: str = "ACCT-07") -> str:
        token = self.enrollment_token("client_group", client_group_id=group) if group else None
        return str(self.enroll(token, hostname=hostname)["endpoint_id"])

    def session(self, endpoint_id: str, **more: Any) -> str:
        return str(self.post("/sessions", {"endpoint_id": endpoint_id, "title": "a look", **more})["id"])

    def prompt(self, session_id: str, *calls: dict[str, Any]) -> dict[str, Any]:
        body = {"tool_calls": list(calls or (shell(),))}
        return dict(self.post(f"/sessions/{session_id}/prompts", body))

    @contextmanager
    def stream(self, path: str, *, last: int | None = None, within: float = 10.0) -> Iterator[Iterator[dict[str, Any]]]:
        """Server-sent events as dictionaries of `id`, `event` and `data`; ends when the stream does."""
        headers = {} if last is None else {"Last-Event-ID": str(last)}
        with self.http.stream("GET", path, headers=headers, timeout=httpx.Timeout(within)) as answer:
            if answer.status_code != 200:
                answer.read()
            assert answer.status_code == 200, answer.text
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield _events(answer.iter_lines())


def _events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
            continue
        if fields:
            yield {
                "id": int(fields["id"]) if "id" in fields else None,
                "event": fields["event"],
                "data": json.loads(fields["data"]),
            }
        fields = {}


def shell(command: str = "true", **more: Any) -> dict[str, Any]:
    return {"tool": "shell", "arguments": {"command": command}, **more}


def computer(token: str, **changes: Any) -> dict[str, Any]:
    """The body of an enrollment; `changes` are fields of it or of its endpoint."""
    body: dict[str, Any] = {
        "token": token,
        "public_key": base64.b64encode(os.urandom(32)).decode(),
        "runtime_version": "0.1.0",
        "journal_id": uuid.uuid4().hex,
        "endpoint": {
            "hostname": "ACCT-07",
            "os": "linux",
            "os_version": "Debian 12",
            "arch": "x86_64",
            "machine_fingerprint": os.urandom(32).hex(),
            "boot_id": uuid.uuid4().hex,
        },
    }
    for name, value in changes.items():
        place = body["endpoint"] if name in body["endpoint"] else body
        place[name] = value
    return body


def check_problem(answer: httpx.Response) -> None:
    """RFC 9457, with a code, a hint, and no word of how it is made."""
    assert answer.headers["content-type"].startswith("application/problem+json"), answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert "." in problem["code"]
    assert problem["hint"]
    assert problem["title"]
    assert "Traceback" not in answer.text
    assert answer.status_code != 500, answer.text
    for fault in problem.get("errors", ()):
        assert set(fault) == {"pointer", "expected", "found"}
