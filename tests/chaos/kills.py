"""`kill -9` of the control plane and of a runtime at random moments, while prompts keep coming.

What must hold afterwards: no accepted prompt is lost; no call that may change things started twice for one consent
(real lines in real files are counted); what is shown as "did not run" left no line, what is shown as "ran" left one;
every prompt is answered or waits for a person with its evidence; the audit chain verifies. Bounded in time and number.
"""

from __future__ import annotations

import contextlib
import json
import random
import secrets
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.end_to_end.server import Server, command, until

POLICY = {
    "heartbeat_interval_s": 0.5,
    "ack_window_s": 2,
    "reconcile_window_s": 4,
    "hold_expiry_s": 60,
    "max_automatic": 3,
}
SETTLED = ("ended", "waiting")
SESSIONS = 8


@dataclass
class Report:
    """What was done and what held."""

    seed: int
    kills: dict[str, int] = field(default_factory=lambda: {"control_plane": 0, "runtime": 0})
    accepted: int = 0
    refused: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    waiting: int = 0
    lines: int = 0
    broken: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Lines for people."""
        verdicts = ", ".join(f"{kind} {count}" for kind, count in sorted(self.verdicts.items()))
        return "\n".join(
            [
                f"seed {self.seed}: {self.kills['control_plane']} control planes and {self.kills['runtime']} runtimes killed",
                f"{self.accepted} prompts accepted, {self.refused} attempts to send met nobody; {self.lines} commands ran",
                f"verdicts: {verdicts}; {self.waiting} wait for a person",
                *(f"BROKEN: {line}" for line in self.broken),
                "every invariant held" if not self.broken else f"{len(self.broken)} broken",
            ]
        )


class Sender(threading.Thread):
    """Sends prompts at a steady rate; a prompt counts when it was answered with 202."""

    def __init__(self, url: str, token: str, sessions: list[str], directory: Path, rate: float) -> None:
        super().__init__(daemon=True)
        self.line = httpx.Client(base_url=url + "/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=20)
        self._sessions, self._directory, self._rate = sessions, directory, rate
        self.accepted: dict[str, str] = {}  # mark -> prompt id
        self.refused = 0
        self.faults: list[str] = []
        self.stop = threading.Event()

    def run(self) -> None:
        """Until stopped."""
        number = 0
        began = time.monotonic()
        while not self.stop.wait(max(0.0, began + number / self._rate - time.monotonic())):
            number += 1
            self._send(f"m{number:06d}")

    def _send(self, mark: str) -> None:
        session = self._sessions[hash(mark) % len(self._sessions)]
        text = f"echo {mark} >> {self._directory / 'effects'}; sleep 0.0{secrets.randbelow(10)}; echo done"
        body = {"tool_calls": [{"tool": "shell", "arguments": {"command": text}}], "side_by_side": True}
        key = {"Idempotency-Key": secrets.token_hex(12)}
        for _ in range(200):  # the same key: however often it is sent, it is one prompt
            try:
                answer = self.line.post(f"/sessions/{session}/prompts", json=body, headers=key)
            except httpx.TransportError:
                self.refused += 1
                if self.stop.wait(0.05):
                    return
                continue
            if answer.status_code == 202:
                self.accepted[mark] = answer.json()["id"]
                return
            if answer.status_code != 503 and "in_progress" not in answer.text:
                self.faults.append(f"{answer.status_code} {answer.text[:200]}")
                return


class Chaos:
    """One run."""

    def __init__(self, directory: Path, seed: int, kills: int, rate: float) -> None:
        self._directory = directory
        self._dice = random.Random(seed)
        self._kills, self._rate = kills, rate
        self._server = Server(directory / "data")
        self._runtime: subprocess.Popen[bytes] | None = None
        self.report = Report(seed)
        self._lines: list[httpx.Client] = []

    def run(self) -> Report:
        """All of it; every process is ended."""
        try:
            return self._run()
        finally:
            for line in self._lines:
                line.close()
            if self._runtime is not None:
                self._end_runtime(signal.SIGTERM)
            if self._server.running:
                self._server.kill()

    def _run(self) -> Report:
        self._server.start()
        token = self._server.token("owner")
        api = httpx.Client(
            base_url=self._server.url + "/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=20
        )
        self._lines.append(api)
        api.put("/policy", json=POLICY).raise_for_status()
        self._enroll(api)
        self._start_runtime()
        endpoint = until(lambda: self._ready(api), within=30, what="the runtime is ready")
        sessions = [self._session(api, endpoint) for _ in range(SESSIONS)]
        sender = Sender(self._server.url, token, sessions, self._directory, self._rate)
        self._lines.append(sender.line)
        sender.start()
        pause = threading.Event()
        for _ in range(self._kills):
            pause.wait(self._dice.uniform(0.2, 1.2))
            self._kill()
        pause.wait(1)
        sender.stop.set()
        sender.join(30)
        self.report.accepted, self.report.refused = len(sender.accepted), sender.refused
        self.report.broken += [f"a prompt was refused: {fault}" for fault in sender.faults[:5]]
        self._judge(api, sender.accepted)
        self._audit(api)
        return self.report

    # -- processes -----------------------------------------------------------------------------------------------

    def _enroll(self, api: httpx.Client) -> None:
        made = api.post("/enrollment-tokens", json={"scope": "organization"}).raise_for_status().json()
        state = str(self._directory / "runtime")
        arguments = ["runtime", "enroll", "--url", self._server.url, "--token", "-", "--state-dir", state]
        subprocess.run(
            [*command(), *arguments], input=made["token"].encode(), check=True, capture_output=True, timeout=60
        )

    def _start_runtime(self) -> None:
        with (self._directory / "runtime.log").open("ab") as log:
            self._runtime = subprocess.Popen(
                [*command(), "runtime", "run", "--state-dir", str(self._directory / "runtime")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _end_runtime(self, how: signal.Signals) -> None:
        assert self._runtime is not None
        with contextlib.suppress(ProcessLookupError):
            self._runtime.send_signal(how)
        self._runtime.wait(20)

    def _kill(self) -> None:
        if self._dice.random() < 0.5:
            self._server.kill()
            self._server.start()
            self.report.kills["control_plane"] += 1
        else:
            self._end_runtime(signal.SIGKILL)
            self._start_runtime()
            self.report.kills["runtime"] += 1

    @staticmethod
    def _ready(api: httpx.Client) -> str | None:
        items = api.get("/endpoints").json()["items"]
        return items[0]["id"] if items and items[0]["sendable"]["value"] else None

    @staticmethod
    def _session(api: httpx.Client, endpoint: str) -> str:
        body = {"endpoint_id": endpoint, "title": "chaos", "ticket": None}
        return str(api.post("/sessions", json=body).raise_for_status().json()["id"])

    # -- judging -------------------------------------------------------------------------------------------------

    def _judge(self, api: httpx.Client, accepted: dict[str, str]) -> None:
        effects = self._directory / "effects"
        for mark, prompt_id in accepted.items():
            prompt = until(lambda p=prompt_id: self._settled(api, p), within=180, what=f"{prompt_id} settles")
            if prompt.get("lost"):
                self.report.broken.append(f"accepted prompt {prompt_id} is gone")
                continue
            self._judge_prompt(mark, prompt, effects.read_text().split().count(mark) if effects.exists() else 0)
        self.report.lines = len(effects.read_text().split()) if effects.exists() else 0

    def _judge_prompt(self, mark: str, prompt: dict[str, Any], lines: int) -> None:
        [call] = prompt["tool_calls"]
        broken = self.report.broken
        last = call["attempts"][-1]["verdict"]
        kinds = [a["verdict"]["kind"] for a in call["attempts"] if a["verdict"]]
        kind = "answered" if "answered" in kinds else f"{last and last['kind']}, ran {call['ran']}"
        self.report.verdicts[kind] = self.report.verdicts.get(kind, 0) + 1
        self.report.waiting += prompt["state"] == "waiting"
        if lines > call["consents"]:
            broken.append(f"{mark}: {lines} starts for {call['consents']} consents: {prompt['id']}")
        if call["ran"] == "no" and lines:
            broken.append(f"{mark}: shown as not run, and it left a line: {prompt['id']}")
        if call["ran"] == "yes" and not lines:
            broken.append(f"{mark}: shown as run, and it left no line: {prompt['id']}")
        if prompt["state"] == "waiting" and not call["attempts"][-1]["evidence"]:
            broken.append(f"{mark}: waits without evidence: {prompt['id']}")

    @staticmethod
    def _settled(api: httpx.Client, prompt_id: str) -> dict[str, Any] | None:
        answer = api.get(f"/prompts/{prompt_id}")
        if answer.status_code == 404:
            return {"lost": True}
        prompt: dict[str, Any] = answer.raise_for_status().json()
        return prompt if prompt["state"] in SETTLED else None

    def _audit(self, api: httpx.Client) -> None:
        file = self._directory / "audit.jsonl"
        file.write_bytes(api.get("/audit/export", timeout=60).raise_for_status().content)
        done = self._server.cli_raw("audit", "verify", str(file), "--json")
        if done.returncode != 0:
            self.report.broken.append(f"the audit chain does not verify: {done.stdout[:300]} {done.stderr[:300]}")
        sequences = [json.loads(line).get("sequence") for line in file.read_text().splitlines()]
        if not sequences:
            self.report.broken.append("the audit export is empty")


def run(seed: int, kills: int, rate: float = 20.0) -> Report:
    """One run in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="caisey-chaos-") as name:
        return Chaos(Path(name), seed, kills, rate).run()
