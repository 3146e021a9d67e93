"""What a visitor reads: a heading for each stall, a line for each thing that happens, the product's own words, a table.

Owns the form: 80 columns, aligned, the same facts without colour, nothing but text where it is piped. It writes the
control plane's words as they came and invents none about a stall.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from caisey.cli import prompt_words
from caisey.cli.calls import EFFECT_WORDS, one_line
from caisey.cli.demo.expected import Expectation
from caisey.cli.demo.judging import Found, Judged, recovered
from caisey.cli.safe_text import cut, visible_line
from caisey.cli.spans import to_ms
from caisey.cli.terminal import TONES, Terminal
from caisey.core import spoken
from caisey.core.catalogue import ENGLISH

WIDTH = 80
INDENT = 10
MOST_FACTS = 8
MOST_OFFERED = 4
NOT_PLAYED = TONES["not_sent"][0]
_SOURCE_WIDTH = 17
_UNTOLD = frozenset({"progress", "ended", "verdict_refined", "check_asked"})
"""Facts that the line above has said already, or that are there by the dozen."""

Document = dict[str, Any]


class Screen:
    """The terminal of one demonstration; silent where a machine reads."""

    def __init__(self, terminal: Terminal, directory: Path) -> None:
        self._terminal = terminal
        self._silent = terminal.json_output
        self._directory = str(directory)
        self._began = time.time()

    # -- around the scenes --------------------------------------------------------------------------------------------

    def say(self, text: str, style: str = "") -> None:
        """A paragraph."""
        for line in textwrap.wrap(text, WIDTH) or [""]:
            self._print(line, style)

    def heading(self, number: int, count: int, expected: Expectation) -> None:
        """One stall begins."""
        left = f"── {number} of {count} · {expected.name} "
        right = f" {expected.computer} ──"
        self._print()
        self._print(left + "─" * (WIDTH - len(left) - len(right)) + right, "bold")
        self._wrapped("", f"{expected.title}.", "")
        self.start_clock()

    def start_clock(self) -> None:
        """Times of lines count from now."""
        self._began = time.time()

    # -- what happens -------------------------------------------------------------------------------------------------

    def asks(self, call: Document, who: str) -> None:
        """Somebody asks something of the computer."""
        effect = EFFECT_WORDS.get(str(call.get("effect")), EFFECT_WORDS["mutating"])
        self._line(">", f"{self.short(one_line(call))}  ({effect})", "bold", who=who)

    def does(self, words: str, meaning: str) -> None:
        """The demonstration does something to the computer."""
        self._line("$", f"{words}  {meaning}", "magenta")

    def stands(self, words: Document) -> None:
        """How a step stands now: its label."""
        icon, style = TONES[str(words["tone"])]
        self._line(icon, words["label"], style)

    def tells(self, ran: str, sentence: str, actions: Sequence[Document] = ()) -> None:
        """Below a label: did it run, the sentence, what may be done."""
        self._below(f"{ran}. {sentence}" if ran else sentence)
        if actions:
            labels = [action["label"] for action in actions[:MOST_OFFERED]]
            more = len(actions) - len(labels)
            self._below("Offered: " + " · ".join([*labels, *([f"{more} more"] if more else [])]))

    def evidence(self, facts: Sequence[Document]) -> None:
        """How we know: the facts, each with its time and whose word it is."""
        told = [fact for fact in facts if fact["type"] not in _UNTOLD and fact.get("why") != "prompt"]
        left_out = max(0, len(told) - MOST_FACTS)
        if left_out:
            told = [*told[:3], *told[3 + left_out :]]
        self._below("How we know", "dim")
        for fact in told:
            at = max(0.0, (to_ms(fact["at"]) or 0) / 1000 - self._began)
            source = ENGLISH.phrases.get(f"source.{fact['source']}", fact["source"])
            head = f"{'':{INDENT + 2}}{at:4.1f} s  {source:<{_SOURCE_WIDTH}}  "
            lines = textwrap.wrap(visible_line(fact["text"]), WIDTH - len(head)) or [""]
            self._print(head + lines[0], "dim")
            for line in lines[1:]:
                self._print(" " * len(head) + line, "dim")

    def decides(self, who: str, label: str, detail: str = "") -> None:
        """A person takes an action that was offered."""
        self._line("→", f"{label}{f'  {self.short(detail)}' if detail else ''}", "bold", who=who)

    def shows(self, lines: Iterable[str]) -> None:
        """Lines of the product's own, such as the panel "What already ran"."""
        for line in lines:
            self._print(" " * (INDENT + 2) + cut(self.short(line), WIDTH - INDENT - 2))

    # -- what came of it ----------------------------------------------------------------------------------------------

    def judged(self, judged: Judged) -> None:
        """What the row was found to be, and whether that is as specified; if not, what differs."""
        found, expected = judged.found, judged.expected
        if judged.left_out is not None:
            self._wrapped(f"{NOT_PLAYED} ", f"Left out here: {judged.left_out}. It does not count as passed.", "")
        elif judged.as_specified and found is not None:
            by_then = f"{found.found}, ran {found.ran}, known after {_seconds(found.known_s)}; {recovered(found)}"
            self._wrapped("✓ ", f"As §{expected.section} says: {by_then}{_started(found)}.", "green")
        else:
            self._print(f"✗ Not as §{expected.section} says", "bold red")
            for difference in judged.differences:
                self._wrapped("  ", difference, "")

    def table(self, rows: Sequence[Judged]) -> None:
        """All rows: stall, found as, ran, seconds until known, recovery."""
        self._print()
        self._print(_row(" ", "Stall", "Found as", "Ran", "Known", "Recovery"), "bold")
        for judged in rows:
            name, found = judged.expected.name, judged.found
            if judged.left_out is not None:
                self._print(_row(NOT_PLAYED, name, "left out", "", "", ""))
            elif found is None:
                self._print(_row("✗", name, "did not end", "", "", ""), "bold red")
            else:
                mark = "✓" if judged.as_specified else "✗"
                cells = (name, found.found, found.ran, _seconds(found.known_s), recovered(found))
                self._print(_row(mark, *cells), "" if judged.as_specified else "bold red")

    # -- how ----------------------------------------------------------------------------------------------------------

    def _wrapped(self, head: str, text: str, style: str) -> None:
        for number, line in enumerate(textwrap.wrap(visible_line(text), WIDTH - len(head))):
            self._print((head if number == 0 else " " * len(head)) + line, style)

    def _line(self, icon: str, text: str, style: str, *, who: str = "") -> None:
        if self._silent:
            return
        seconds = time.time() - self._began
        head = f"{seconds:5.1f} s  "
        body = visible_line(f"{f'{who}: ' if who else ''}{text}").replace("  ", "\u00a0 ")
        lines = textwrap.wrap(body, WIDTH - INDENT - 2, break_long_words=True) or [""]
        self._print(f"{head.ljust(INDENT - 1)} {icon} {lines[0]}".replace("\u00a0", " "), style)
        for line in lines[1:]:
            self._print(f"{'':{INDENT + 2}}{line}".replace("\u00a0", " "), style)

    def _below(self, text: str, style: str = "") -> None:
        for line in textwrap.wrap(visible_line(text), WIDTH - INDENT - 2):
            self._print(f"{'':{INDENT + 2}}{line}", style)

    def short(self, text: str) -> str:
        """Text with the demonstration's own directory by a short name."""
        return visible_line(text).replace(self._directory, "$DEMO")

    def _print(self, text: str = "", style: str = "") -> None:
        if not self._silent:
            self._terminal.print(text.rstrip(), style)


def _row(mark: str, name: str, found: str, ran: str, known: str, recovery: str) -> str:
    return f"{mark} {name:<20}  {found:<16}  {ran:<11} {known:>6}  {recovery}".rstrip()


def _started(found: Found) -> str:
    """The proof on disk: no more starts than consents."""
    if found.starts is None:
        return ""
    consents = "1 consent" if found.consents == 1 else f"{found.consents} consents"
    return f"; started {spoken.times(found.starts, ENGLISH.phrases)}, with {consents}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"


def ran_words(verdict: Document) -> str:
    """The second line of every verdict."""
    return prompt_words.ran_words(verdict)
