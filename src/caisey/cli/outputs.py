"""The output of a prompt's steps, written once and in order, byte for byte, while it comes.

Owns how far each stream was written. Bytes come from the API by offset; a gap is said on stderr and passed over.
A command's stdout goes to stdout, its stderr to stderr. Without `raw` both are made visible (`safe_text`). Of a tool
that answers with a result, stdout is for the result alone: what it says for people goes to stderr.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caisey.cli.calls import SHELLS
from caisey.cli.client import Api
from caisey.cli.faults import CliFault, is_passing
from caisey.cli.safe_text import VisibleStream
from caisey.cli.spans import size
from caisey.cli.terminal import Terminal
from caisey.core.catalogue import ENGLISH

STREAMS = ("stdout", "stderr")

Document = dict[str, Any]
Key = tuple[str, int, str]


class _Written:
    def __init__(self) -> None:
        self.offset = 0
        self.visible = VisibleStream()


class Outputs:
    """Writes what is new. `silent`: nothing at all, for a reader who wants one document at the end."""

    def __init__(self, api: Api, terminal: Terminal, *, raw: bool = False, silent: bool = False) -> None:
        self._api = api
        self._terminal = terminal
        self._raw = raw
        self._silent = silent
        self._written: dict[Key, _Written] = {}
        self._marked: set[Key] = set()
        self._gaps: dict[Key, list[Document]] = {}
        self._shells: set[str] = set()
        self._ended: set[tuple[str, int]] = set()

    @property
    def shown(self) -> int:
        """How many control characters were shown instead of obeyed."""
        return sum(written.visible.shown for written in self._written.values())

    def mark(self, call_id: str, number: object, stream: object) -> None:
        """Something came on this stream."""
        if isinstance(number, int) and stream in STREAMS:
            self._marked.add((call_id, number, str(stream)))

    def know(self, prompt: Document) -> None:
        """Take over the gaps, and mark every stream that has more than was written."""
        for call in prompt["tool_calls"]:
            if call.get("tool") in SHELLS:
                self._shells.add(call["id"])
            for attempt in call.get("attempts") or []:
                if attempt.get("state") == "ended":
                    self._ended.add((call["id"], attempt["number"]))
                for stream, summary in (attempt.get("output") or {}).items():
                    if stream not in STREAMS:
                        continue
                    key = (call["id"], attempt["number"], stream)
                    self._gaps[key] = list(summary.get("gaps") or [])
                    written = self._written.get(key)
                    if summary.get("bytes", 0) > (written.offset if written else 0):
                        self._marked.add(key)

    def pass_over(self, prompt: Document) -> None:
        """What is stored of this prompt was read before; only what comes after it is written."""
        for call in prompt["tool_calls"]:
            for attempt in call.get("attempts") or []:
                for stream, summary in (attempt.get("output") or {}).items():
                    if stream in STREAMS:
                        written = self._written.setdefault((call["id"], attempt["number"], stream), _Written())
                        written.offset = summary.get("bytes", 0)

    @property
    def behind(self) -> bool:
        """Whether something is known to be there that was not written yet."""
        return bool(self._marked)

    def pull_marked(self) -> None:
        """Write what came on the marked streams. What cannot be read just now stays marked."""
        for key in sorted(self._marked):
            try:
                self._pull(key)
            except CliFault as fault:
                if not is_passing(fault):
                    raise
                return
            self._marked.discard(key)
        self._write_held(lambda key: key[:2] in self._ended)

    def finish(self) -> None:
        """Nothing more comes: write what was held back."""
        self._write_held(lambda _: True)

    def _write_held(self, of: Callable[[Key], bool]) -> None:
        """The half characters at the end of streams that bring nothing more, before anything is said of their end."""
        if self._silent or self._raw:
            return
        for key, written in self._written.items():
            if of(key):
                self._write(key, written.visible.finish())

    def _pull(self, key: Key) -> None:
        if self._silent:
            return
        call_id, number, stream = key
        written = self._written.setdefault(key, _Written())
        while True:
            came = 0
            path = f"/tool-calls/{call_id}/output"
            for data in self._api.text(path, attempt=number, stream=stream, offset=written.offset):
                came += len(data)
                written.offset += len(data)
                if not self._raw:
                    self._write(key, written.visible.feed(data))
                elif self._is_answer(key):
                    self._terminal.write_bytes(data)
                else:
                    self._terminal.write_error_bytes(data)
            if not came and not self._pass_gap(key, written):
                return

    def _pass_gap(self, key: Key, written: _Written) -> bool:
        """Whether a gap begins here; it is said, and the writing goes on behind it."""
        for gap in self._gaps.get(key, []):
            if gap.get("offset") == written.offset and isinstance(gap.get("length"), int) and gap["length"] > 0:
                written.offset += gap["length"]
                why = ENGLISH.phrases.get(f"gap.{gap.get('why')}", ENGLISH.phrases["gap.other"])
                self._terminal.say(f"[{size(gap['length'])} of {key[2]} are missing here: {why}]", "plain")
                return True
        return False

    def _is_answer(self, key: Key) -> bool:
        """Whether it belongs on stdout."""
        return key[2] == "stdout" and key[0] in self._shells

    def _write(self, key: Key, text: str) -> None:
        if not text:
            return
        if self._is_answer(key):
            self._terminal.write_text(text)
        else:
            self._terminal.write_error_text(text)
