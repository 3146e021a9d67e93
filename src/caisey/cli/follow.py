"""A prompt followed to its end: output as it comes, words while it waits, the verdict.

Owns the loop between the session's events, the passing of time and the terminal. The stream only says that something
happened; what is true is read from `GET /prompts/{id}` each time, so that a missed or doubled event shows nothing
wrong. Leaving it ends nothing: the work belongs to the control plane.
"""

from __future__ import annotations

import json
import time
from queue import Empty
from typing import Any

from caisey.cli import prompt_words
from caisey.cli.client import Api
from caisey.cli.faults import CliFault, is_passing
from caisey.cli.feed import Connected, EventFeed, Interrupted, Item
from caisey.cli.outputs import Outputs
from caisey.cli.sse import ServerEvent
from caisey.cli.terminal import Terminal

TICK_S = 1.0
"""How often words that depend on the time are renewed; more often would flicker."""
GIVE_UP_S = 120.0
_ONLY_OUTPUT = frozenset({"attempt.output", "attempt.gap"})

Document = dict[str, Any]


class Follower:
    """Follows one prompt. `run` returns the prompt as it stands when nothing more happens by itself."""

    def __init__(
        self,
        api: Api,
        terminal: Terminal,
        prompt: Document,
        *,
        computer: str,
        outputs: Outputs,
        give_up_s: float,
        before: Document | None = None,
    ) -> None:
        self._api = api
        self._terminal = terminal
        self._prompt = prompt
        self._computer = computer
        self._outputs = outputs
        self._told = prompt_words.Told()
        if before is not None:
            self._told.pass_over(before, computer)
        self._give_up_s = give_up_s
        self._away_since: float | None = None
        self._stale = False  # what is shown could not be read anew
        last_id = str(prompt.get("sequence") or 0)
        self._feed = EventFeed(api, f"/sessions/{prompt['session_id']}/stream", last_id, give_up_s=give_up_s)

    def run(self) -> Document:
        """Until every step has ended or a person is needed. Raises what ends the stream; KeyboardInterrupt passes."""
        self._outputs.know(self._prompt)
        self._feed.start()
        try:
            self._tell()
            while self._outputs.behind or not prompt_words.stands_still(self._prompt):
                self._step()
        finally:
            self._feed.stop()
            self._terminal.clear_status()
        self._outputs.finish()
        self._tell()
        return self._prompt

    def _step(self) -> None:
        """Wait for something to happen, at most until the words change by themselves."""
        items = self._wait()
        changed = self._stale  # nothing else may come that would have it read again
        for item in items:
            if isinstance(item, CliFault):
                raise item
            if isinstance(item, Interrupted):
                self._away_since = self._away_since or time.monotonic()
            elif isinstance(item, Connected):
                # What happened before the stream was there is in the answer, and what happens now is on the stream.
                self._away_since = None
                changed = True
            else:
                changed = self._concerns(item) or changed
        if changed:
            self._refresh()
        self._outputs.pull_marked()
        self._tell()

    def _wait(self) -> list[Item]:
        try:
            items = [self._feed.items.get(timeout=TICK_S)]
        except Empty:
            return []
        while True:
            try:
                items.append(self._feed.items.get_nowait())
            except Empty:
                return items

    def _concerns(self, event: ServerEvent) -> bool:
        """Whether the prompt has to be read anew. Output alone only marks its stream."""
        payload = _payload(event)
        call_id = payload.get("tool_call_id")
        ours = call_id in {call["id"] for call in self._prompt["tool_calls"]}
        if ours and event.type in _ONLY_OUTPUT:
            self._outputs.mark(str(call_id), payload.get("number"), payload.get("stream"))
            return event.type == "attempt.gap"
        return ours or payload.get("prompt_id") == self._prompt["id"]

    def _refresh(self) -> None:
        try:
            self._prompt = self._api.get(f"/prompts/{self._prompt['id']}")
        except CliFault as fault:
            self._away_since = self._away_since or time.monotonic()
            if not is_passing(fault) or time.monotonic() - self._away_since >= self._give_up_s:
                raise
            self._stale = True
            return
        if self._stale:
            self._stale, self._away_since = False, None
        self._outputs.know(self._prompt)

    def _tell(self) -> None:
        for tone, line in self._told.news(self._prompt, self._computer):
            self._terminal.say(line, tone)
        if self._away_since is not None:
            away = time.monotonic() - self._away_since
            if away >= TICK_S:
                self._terminal.status(f"No contact with Caisey for {away:.0f} s. Connecting again; the work goes on.")
            return
        words = prompt_words.now(self._prompt, self._computer, self._api.now_ms())
        if words is None:
            self._terminal.clear_status()
        elif self._told.is_new(words, renewable=self._terminal.stderr_is_terminal):
            self._terminal.say(words.line, words.tone)
        elif not words.firm:
            self._terminal.status(words.line, words.sentence or words.label)


def _payload(event: ServerEvent) -> Document:
    try:
        document = json.loads(event.data)
    except ValueError:
        return {}
    payload = document.get("payload") if isinstance(document, dict) else None
    return payload if isinstance(payload, dict) else {}
