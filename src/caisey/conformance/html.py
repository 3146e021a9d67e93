"""The matrix as one HTML file: no script, nothing loaded from anywhere, everything escaped.

Owns the look. What was found comes from a control plane and is text, never markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

from caisey.conformance.report import Line

COLUMNS: Final = (
    "", "what goes wrong", "effect", "detected as", "ran", "really started", "known", "measured", "by itself", "then",
    "offered",
)  # fmt: skip

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --bad: #c22; --good: #287a3e; }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8080; --good: #7fd39a; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 100rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; white-space: nowrap; }
.ok { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
.what { min-width: 16rem; } .small { font-size: .85em; opacity: .8; }
"""


def page(lines: Sequence[Line], document: dict[str, Any]) -> str:
    """The whole file."""
    played, wrong = document["cells_played"], document["cells_not_as_specified"]
    verdict = (
        f'<p class="ok">✓ All {played} cells are as specified.</p>'
        if not wrong
        else f'<p class="bad">✗ {wrong} of {played} cells are not as specified.</p>'
    )
    about = " · ".join(escape(str(document[key])) for key in ("control_plane", "at", "version") if document.get(key))
    policy = ", ".join(f"{escape(name)} {value:g}" for name, value in document["policy"].items())
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>Caisey: failure matrix</title><style>{_STYLE}</style></head><body>",
        "<h1>Failure matrix</h1>",
        verdict,
        f'<p class="small">{about}<br>Windows of the test: {policy}</p>',
    ]
    for group in dict.fromkeys(line.group for line in lines):
        parts += _group(group, [line for line in lines if line.group == group])
    parts.append("</body></html>")
    return "\n".join(parts) + "\n"


def _group(name: str, lines: Sequence[Line]) -> Iterable[str]:
    yield f'<h2>{escape(name)}</h2><div class="scroll"><table><thead><tr>'
    yield "".join(f'<th scope="col">{escape(column) or "<span>&nbsp;</span>"}</th>' for column in COLUMNS)
    yield "</tr></thead><tbody>"
    for line in lines:
        yield _row(line)
    yield "</tbody></table></div>"


def _row(line: Line) -> str:
    mark = '<span class="ok">✓</span>' if line.ok else '<span class="bad">✗</span>'
    differences = "".join(f'<br><span class="bad">{escape(said)}</span>' for said in line.differences)
    label = f'<br><span class="small">A technician reads: {escape(line.label)}</span>' if line.label else ""
    rule = f'<br><span class="small">{escape(line.rule)}</span>'
    what = f"<strong>{escape(line.name)}</strong><br>{escape(line.what)}{label}{rule}{differences}"
    cells = [
        line.effects, line.detected, line.ran, line.started, line.known, line.seconds, line.by_itself, line.then,
        line.offered,
    ]  # fmt: skip
    shown = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr><td>{mark}</td><td class="what">{what}</td>{shown}</tr>'
