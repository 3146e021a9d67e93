"""Rendering: what is foreign is escaped and made visible; what is ours stays markup."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caisey.control.zones import zone_of
from caisey.web import qr
from caisey.web.rendering import Rendering, compressed
from caisey.web.static_files import StaticFiles
from caisey.web.times import ago, exact, ms_of
from caisey.web.views.browsers import named

NOW = 1_800_000_000_000
RENDERING = Rendering(StaticFiles())


def rendered(source: str, zone: str = "", **context: object) -> str:
    visit = SimpleNamespace(now_ms=NOW)
    person = SimpleNamespace(settings={"zone": zone}, zone=zone)
    return RENDERING._environment.from_string(source).render(visit=visit, person=person, **context)


HOSTILE = [
    "<script>alert(1)</script>",
    '" onload="alert(1)',
    "\x1b[2J\x1b]0;title\x07",
    "\u202egnp.exe",
    "{{ 7 * 7 }}",
    "{x}",
    "a" * 100_000,
    "\x00\x7f\x9b",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_shown_and_not_obeyed(text: str) -> None:
    shown = rendered('<b title="{{ text | one_line(80) }}">{{ text | one_line(80) }}</b>', text=text)
    inside = shown.partition(">")[2].rpartition("<")[0]
    assert "<" not in inside
    assert '"' not in inside
    assert len(inside) < 1_000
    assert all(character.isprintable() for character in shown)
    assert "49" not in shown


@given(st.text(max_size=300))
def test_any_text_stays_text(text: str) -> None:
    shown = rendered("<p>{{ text | visible }}</p>", text=text)
    inside = shown.removeprefix("<p>").removesuffix("</p>")
    assert "<" not in inside
    assert ">" not in inside
    kept = "\n\t\u00a0\u2007\u202f"  # spaces that numbers of other languages hold
    assert all(character.isprintable() or character in kept for character in inside)


def test_words_escape_what_fills_them_unless_it_is_ours() -> None:
    assert rendered('{{ w("join.title", name=name) }}', name="<b>") == "Welcome, &lt;b&gt;"
    told = rendered('{{ w("link.once", when=(at | when)) }}', at=NOW + 86_400_000)
    assert "<time datetime=" in told
    assert "in 24 h</time>" in told
    mixed = rendered('{{ w("policy.inherited", value=(at | when), origin=origin) }}', at=NOW, origin="<b>")
    assert "<time" in mixed
    assert "&lt;b&gt;" in mixed


def test_times() -> None:
    assert ago(NOW - 40_000, NOW) == "40 s ago"
    assert ago(NOW + 300_000, NOW) == "in 5 min"
    assert ago(NOW, NOW) == "now"
    assert ms_of("2027-01-15T08:00:00.000Z") == NOW
    assert ms_of(NOW) == NOW
    assert exact(NOW) == "15 Jan 2027, 08:00:00 UTC"
    assert exact(NOW, zone_of("Asia/Tokyo")) == "15 Jan 2027, 17:00:00 JST"
    for unknown in ("", "No/Where", "../../etc/passwd", "/etc/passwd", "x" * 500):
        assert exact(NOW, zone_of(unknown)).endswith("UTC")
    assert rendered("{{ none | when }}", none=None) == "never"
    assert rendered("{{ at | exact }}", "Asia/Tokyo", at=NOW).endswith(">15 Jan 2027, 17:00:00 JST</time>")


def test_a_template_that_lacks_something_is_a_defect() -> None:
    with pytest.raises(Exception, match="undefined"):
        rendered("{{ nothing }}")
    with pytest.raises(KeyError):
        rendered('{{ w("no.such.word") }}')
    with pytest.raises(KeyError):
        rendered('{{ static("js/none.js") }}')


def test_what_is_small_is_not_compressed() -> None:
    assert compressed(b"x" * 100, "gzip") == (b"x" * 100, ())
    body, headers = compressed(b"x" * 5000, "br, gzip")
    assert len(body) < 100
    assert ("content-encoding", "gzip") in headers
    assert compressed(b"x" * 5000, None)[0] == b"x" * 5000


def test_a_qr_code_holds_no_markup_of_what_it_says() -> None:
    picture = qr.svg("otpauth://totp/Caisey:<script>@x?secret=A")
    assert picture.startswith("<svg ")
    assert "script" not in picture
    assert "viewBox" in picture
    assert "style=" not in picture


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36 Edg/142.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36",
            "Chrome on Linux",
        ),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18 Safari/605.1.15", "Safari on macOS"),
        ("curl/8", ""),
        ("", ""),
    ],
)
def test_browsers_in_words(agent: str, words: str) -> None:
    assert named(agent) == words
