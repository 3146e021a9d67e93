"""What is written where: machine output and answers to stdout, words to stderr, tables that fit.

Owns stdout and stderr of a command, colours (NO_COLOR, TERM=dumb and no terminal: none) and the one line on stderr
that is renewed while something is awaited. Text of an endpoint comes in through `safe_text` only; nothing is ever read
as markup.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from caisey.cli.safe_text import cut, safe_json, visible, visible_line

if TYPE_CHECKING:
    from rich.console import Console

TONES: dict[str, tuple[str, str]] = {
    "plain": ("·", "dim"),
    "done": ("✓", "green"),
    "run": ("▸", "blue"),
    "wait": ("…", "cyan"),
    "ask": ("!", "yellow"),
    "alarm": ("‼", "bold red"),
    "not_sent": ("\u2013", "dim"),
}


@dataclass(frozen=True)
class Column:
    """A column of a table. `keep`: never broken or cut, because people copy it."""

    title: str
    keep: bool = False


class Terminal:
    """The two streams of one command."""

    def __init__(self, *, json_output: bool = False, quiet: bool = False) -> None:
        self.json_output = json_output
        self.quiet = quiet
        self.stdout_is_terminal = _is_terminal(sys.stdout)
        self.stderr_is_terminal = _is_terminal(sys.stderr)
        self._consoles: dict[str, Console] = {}
        self._status = ""
        self._open_line = False  # output that both streams show ended without a line end

    # -- answers ----------------------------------------------------------------------------------------------------

    def json(self, document: Any) -> None:
        """One document, as the only thing on stdout."""
        self._end_line()
        sys.stdout.write(safe_json(document, indent=2) + "\n")
        sys.stdout.flush()

    def json_line(self, document: Any) -> None:
        """One document on one line, of a stream of them."""
        sys.stdout.write(safe_json(document) + "\n")
        sys.stdout.flush()

    def print(self, text: str = "", style: str = "") -> None:
        """A line of an answer."""
        self._write("stdout", visible(text), style)

    def write_text(self, text: str) -> None:
        """Visible text as it is, without a line end of our own: the output of a command."""
        self.clear_status()
        sys.stdout.write(text)
        sys.stdout.flush()
        if text and self._both_are_one:
            self._open_line = not text.endswith("\n")

    def write_bytes(self, data: bytes) -> None:
        """Bytes as they are; only where the person asked for that."""
        self.clear_status()
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        if data and self._both_are_one:
            self._open_line = not data.endswith(b"\n")

    def write_error_text(self, text: str) -> None:
        """As `write_text`, to stderr: what a command wrote there."""
        self.clear_status()
        sys.stderr.write(text)
        sys.stderr.flush()
        if text:
            self._open_line = not text.endswith("\n")

    def write_error_bytes(self, data: bytes) -> None:
        """As `write_bytes`, to stderr."""
        self.clear_status()
        sys.stderr.flush()
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()
        if data:
            self._open_line = not data.endswith(b"\n")

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[str]], *, empty: str) -> None:
        """Rows under titles: fitted to a terminal, and whole (nothing cut or broken) where stdout is none."""
        cells = [[visible_line(cell) for cell in row] for row in rows]
        if not cells:
            self.say(empty)
            return
        if self.stdout_is_terminal:
            self._fitted(columns, cells)
        else:
            _plain(columns, cells)

    def fields(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Names and values, one pair a line; what has no value is left out."""
        shown = [(name, visible_line(value)) for name, value in pairs if value]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            self.print(f"{name.ljust(width)}  {value}")

    # -- words ------------------------------------------------------------------------------------------------------

    def say(self, text: str, tone: str | None = None) -> None:
        """One line of words for the person, on stderr. `tone` gives the icon and the colour."""
        if self.quiet and tone not in ("ask", "alarm"):
            return
        self.clear_status()
        icon, style = TONES[tone] if tone else ("", "")
        line = visible_line(text)
        self._write("stderr", f"{icon} {line}" if icon else line, style)

    def status(self, *texts: str) -> None:
        """One line on stderr that the next call renews: the first of the texts that fits, else the last one, cut.

        Nothing where stderr is no terminal.
        """
        if not self.stderr_is_terminal or self.quiet or os.environ.get("TERM") == "dumb":
            return
        width = shutil.get_terminal_size().columns - 1
        shown = [visible_line(text) for text in texts]
        text = next((text for text in shown if len(text) <= width), cut(shown[-1], width))
        if text != self._status:
            self._end_line()
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
            self._status = text

    def clear_status(self) -> None:
        """Take the renewed line away, before anything else is written."""
        if self._status:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._status = ""

    def ask(self, question: str) -> bool:
        """y/N on the terminal. False for everything but yes, and for an end of input."""
        self.clear_status()
        self._end_line()
        sys.stderr.write(f"{visible_line(question)} [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    @property
    def can_ask(self) -> bool:
        """Whether a person can be asked: both ends are a terminal, and no machine reads."""
        return self.stderr_is_terminal and _is_terminal(sys.stdin) and not self.json_output

    # -- how ----------------------------------------------------------------------------------------------------------

    def _end_line(self) -> None:
        """Our words begin on a line of their own, also below output that ended without a line end.

        The line end goes to stderr, which is ours: what a file or a pipe gets on stdout stays byte for byte.
        """
        if self._open_line:
            sys.stderr.write("\n")
            sys.stderr.flush()
            self._open_line = False

    @property
    def _both_are_one(self) -> bool:
        """Whether stdout and stderr are seen in one place."""
        return self.stdout_is_terminal and self.stderr_is_terminal

    def _write(self, where: str, text: str, style: str) -> None:
        self._end_line()
        stream = sys.stdout if where == "stdout" else sys.stderr
        terminal = self.stdout_is_terminal if where == "stdout" else self.stderr_is_terminal
        if not style or not terminal or os.environ.get("NO_COLOR"):
            stream.write(text + "\n")
        else:
            from rich.text import Text

            self._console(where).print(Text(text, style=style), soft_wrap=True)
        stream.flush()

    def _console(self, where: str) -> Console:
        from rich.console import Console

        if where not in self._consoles:
            self._consoles[where] = Console(
                file=sys.stdout if where == "stdout" else sys.stderr, highlight=False, markup=False, emoji=False
            )
        return self._consoles[where]

    def _fitted(self, columns: Sequence[Column], cells: list[list[str]]) -> None:
        from rich.table import Table
        from rich.text import Text

        bold = "" if os.environ.get("NO_COLOR") else "bold"
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=bold)
        for column in columns:
            table.add_column(Text(column.title), no_wrap=column.keep, overflow="fold")
        for row in cells:
            table.add_row(*(Text(cell) for cell in row))
        self._console("stdout").print(table)


def prepare_streams() -> None:
    """A terminal that cannot show a character gets its code instead of a crash."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # JSON and safe text hold no surrogates and no unprintable characters; "é" on an ASCII terminal is \xe9.
            stream.reconfigure(errors="backslashreplace")


def _plain(columns: Sequence[Column], cells: list[list[str]]) -> None:
    rows = [[column.title for column in columns], *cells]
    widths = [max(len(row[index]) for row in rows) for index in range(len(columns))]
    for row in rows:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")
    sys.stdout.flush()


def _is_terminal(stream: TextIO) -> bool:
    return not stream.closed and stream.isatty()
