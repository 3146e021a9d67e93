"""`caisey awareness`: what already ran, before something is sent again (RECOVERY.md §7).

Owns the panel "What already ran". What it says is the control plane's; `seen` in it is what an action carries.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from caisey.cli.command import ApiCommand, begin, single

app = single()

Document = dict[str, Any]
Line = tuple[str | None, str]


@app.command("awareness", cls=ApiCommand)
def awareness(
    ctx: typer.Context,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The request: pmt_… (or a step of it: tcl_…).")],
) -> None:
    """What already ran, before something is sent again.

    Shows each step with whether it ran and what it changed, who else worked on the computer since, and what would be
    sent.
    """
    from caisey.cli import subject

    run = begin(ctx)
    found = subject.subject(run.api, prompt)
    document = run.api.get(f"/prompts/{found.prompt['id']}/awareness")
    if run.json:
        run.terminal.json(document)
        return
    for _, line in lines(document, run.api.now_ms()):
        run.terminal.print(line)


def lines(document: Document, now_ms: int) -> Iterator[Line]:
    """The panel, line by line, each with its tone."""
    from caisey.cli import spans

    where = f" on {document['computer']}" if document.get("computer") else ""
    as_of = document.get("as_of")
    yield None, f"What already ran{where}" + (f"  (as of {spans.clock(as_of)})" if as_of else "")
    rows = [_step(step, now_ms) for step in document.get("steps") or []]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)]
        yield None, f"  {'  '.join([*cells, row[4]])}".rstrip()
    yield from _notes(document)
    for other in document.get("others") or []:
        text = (
            other.get("text") or f"{(other.get('actor') or {}).get('id')} worked here {spans.ago(other['at'], now_ms)}"
        )
        yield None, f"Since then: {text}"
    yield from _will_send(document)


def _step(step: Document, now_ms: int) -> tuple[str, str, str, str, str]:
    """Position, what was asked, did it run, what changed, when."""
    from caisey.cli import prompt_words, spans
    from caisey.cli.safe_text import cut, visible_line

    what = cut(visible_line(step.get("literal") or prompt_words.short(step)), 30)
    verdict = step.get("verdict")
    ran = step.get("ran_label") or prompt_words.ran_words(verdict or {"ran": step.get("ran")})
    changes = prompt_words.changes(step)
    if not changes and step.get("ran") != "no" and step.get("effect") != "read_only":
        changes = ["changes: none recorded"]
    return str(step["position"]), what, ran, "; ".join(changes), spans.ago(step.get("ended_at"), now_ms)


def _notes(document: Document) -> Iterator[Line]:
    """What the list of changes cannot show, said once."""
    for note in dict.fromkeys(step.get("changes_note") for step in document.get("steps") or []):
        if note:
            yield None, f"  {note}"


def _will_send(document: Document) -> Iterator[Line]:
    from caisey.cli.calls import EFFECT_WORDS, one_line

    sends = document.get("will_send") or []
    if not sends:
        yield None, "Will be sent: nothing"
        return
    for index, call in enumerate(sends):
        head = "Will be sent: " if index == 0 else "              "
        place = f"step {call['position']}: " if call.get("position") else ""
        effect = EFFECT_WORDS.get(str(call.get("effect")), EFFECT_WORDS["mutating"])
        yield None, f"{head}{place}{call.get('literal') or one_line(call)}  ({effect})"
