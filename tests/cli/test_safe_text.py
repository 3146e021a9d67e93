"""Nothing that an endpoint says reaches a terminal as anything but text."""

from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caisey.cli.safe_text import VisibleStream, cut, visible, visible_line

ANY_TEXT = st.text(st.characters())
HOSTILE = st.text(
    st.sampled_from(
        "\x00\x07\x08\x0a\x0d\x09\x1b\x7f\x85\x9b\u200b\u200e\u202e\u2028\u2066\ufeff\ud800\U000e0041[31m;]a€é"
    )
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("abc\u202etxt.exe", "abc\\u202etxt.exe"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("\x9b31m", "\\u009b31m"),
        ("a\x00b\x7f", "a␀b␡"),
        ("zero\u200bwidth \ufeff", "zero\\u200bwidth \\ufeff"),
        ("\U000e0041", "\\U000e0041"),
        ("[bold red]no markup[/]", "[bold red]no markup[/]"),
        ("C:\\Users\\é €", "C:\\Users\\é €"),
        ("12\u202f345\u00a0kB", "12\u202f345\u00a0kB"),
        ("one\r\ntwo\n\tthree\rover", "one\ntwo\n\tthree␍over"),
    ],
)
def test_controls_are_shown_and_text_is_kept(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_line_stays_one_line() -> None:
    assert visible_line("ACCT-07\nroot: all is well\t\r\n") == "ACCT-07␊root: all is well␉␍␊"


@given(ANY_TEXT | HOSTILE)
def test_only_printable_characters_line_feeds_and_tabs_come_out(text: str) -> None:
    for character in visible(text):
        assert character in "\n\t" or character.isprintable() or unicodedata.category(character) == "Zs"
    for character in visible_line(text):
        assert character.isprintable() or unicodedata.category(character) == "Zs"


@given(ANY_TEXT | HOSTILE)
def test_showing_twice_changes_nothing(text: str) -> None:
    assert visible(visible(text)) == visible(text)
    assert visible_line(visible_line(text)) == visible_line(text)


@given(st.text(st.characters(categories=("L", "M", "N", "P", "S")) | st.sampled_from(" \n\t")))
def test_printable_text_is_untouched(text: str) -> None:
    printable = "".join(c for c in text if c.isprintable() or c in "\n\t")
    assert visible(printable) == printable


@given(st.lists(st.binary(max_size=8) | HOSTILE.map(lambda t: t.encode("utf-8", "surrogatepass")), max_size=8))
def test_a_stream_reads_the_same_in_any_pieces(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    stream = VisibleStream()
    text = "".join([*(stream.feed(piece) for piece in pieces), stream.finish()])
    assert text == visible(whole.decode("utf-8", "backslashreplace"))


@pytest.mark.parametrize(
    ("data", "count"),
    [(b"plain\r\n\tonly\n", 0), (b"\x1b[1mbold\x1b[0m", 2), (b"end\r", 1), ("\u202e".encode(), 1), ("é".encode(), 0)],
)
def test_a_stream_counts_what_it_replaced(data: bytes, count: int) -> None:
    stream = VisibleStream()
    stream.feed(data)
    stream.finish()
    assert stream.shown == count


def test_bytes_that_are_not_text_are_shown_as_bytes() -> None:
    stream = VisibleStream()
    assert stream.feed(b"caf\xe9 \xc3") + stream.feed(b"\xa9\xff") + stream.finish() == "caf\\xe9 é\\xff"


@given(ANY_TEXT, st.integers(1, 20))
def test_a_cut_says_so(text: str, length: int) -> None:
    result = cut(text, length)
    assert len(result) <= length
    assert result == text or result.endswith("…")


@given(HOSTILE | st.sampled_from(["[red]x[/red]", "[link=http://a]b[/link]", ":smile:", "[/]", "\\[x]"]))
def test_a_terminal_library_prints_it_letter_by_letter(text: str) -> None:
    from rich.console import Console
    from rich.text import Text

    target = io.StringIO()
    console = Console(file=target, width=500, force_terminal=True, color_system="truecolor", highlight=False)
    console.print(Text(visible_line(text)), soft_wrap=True)
    assert target.getvalue() == visible_line(text) + "\n"
