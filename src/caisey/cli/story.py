"""`caisey story`: why a request stands where it stands.

Owns the order in which it is told: how it stands, whose move it is, until when and what then; below it the evidence in
the order of time. The sentences are the control plane's.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from caisey.cli.command import ApiCommand, Run, begin, single

app = single()

Document = dict[str, Any]


@app.command("story", cls=ApiCommand)
def story(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(metavar="PROMPT|CALL", help="A request (pmt_…) or one step of it (tcl_…).")],
    *,
    step: Annotated[int | None, typer.Option("--step", metavar="N", help="Only this step.", min=1)] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Stay with it, as `caisey prompt` does.")] = False,
) -> None:
    """Why a request stands where it stands.

    For each step: what happened, did it run, whose move it is, until when, and what happens then; below it how this is
    known, in the order of time.
    """
    from caisey.cli import subject

    run = begin(ctx)
    found = subject.subject(run.api, what, step=step)
    if follow:
        from caisey.cli import following

        following.follow(run, found.prompt, following.computer_of(run, found.prompt), following.Options())
        return
    if run.json:
        run.terminal.json(found.call or found.prompt)
        return
    _tell(run, found.prompt, [found.call] if found.call else found.prompt["tool_calls"])


def _tell(run: Run, prompt: Document, calls: list[Document]) -> None:
    print_line = run.terminal.print
    words = {"running": "goes on", "waiting": "waits for a person", "ended": "has ended"}
    print_line(f"Request {prompt['id']}: {words.get(prompt['state'], prompt['state'])}")
    if prompt.get("text"):
        print_line(f"  {prompt['text']}")
    for call in calls:
        print_line()
        _tell_call(run, prompt, call)


def _tell_call(run: Run, prompt: Document, call: Document) -> None:
    from caisey.cli import prompt_words
    from caisey.cli.calls import EFFECT_WORDS

    say = run.terminal.print
    say(f"Step {call['position']}: {prompt_words.short(call)}  ({EFFECT_WORDS.get(call['effect'], call['effect'])})")
    label, summary, ran = _standing(call)
    say(f"  {label}. {ran}.")
    if summary:
        say(f"  {summary}")
    for line in _owner_lines(call, run.api.now_ms()):
        say(f"  {line}")
    for attempt in call.get("attempts") or []:
        _tell_attempt(run, attempt)
    actions = list(prompt_words.action_lines(prompt, call))
    if actions:
        say("  What may be done")
    for _, line in actions:
        say(f"  {line}")


def _standing(call: Document) -> tuple[str, str, str]:
    """Label, sentence, did it run."""
    from caisey.cli import prompt_words

    now = call.get("now")
    if isinstance(now, dict):
        return now["label"], now.get("summary") or "", now.get("ran_label") or prompt_words.ran_words(call)
    found = prompt_words.deciding(call)
    if found is not None:
        verdict = found[1]
        return verdict["label"], verdict.get("summary") or "", prompt_words.ran_words(verdict)
    label = "Not sent yet" if call["state"] == "pending" else str(call["state"])
    return label, "", prompt_words.ran_words(call)


def _owner_lines(call: Document, now_ms: int) -> list[str]:
    """Whose move, until when, what then: of the step, or of its open try."""
    from caisey.cli import spans
    from caisey.core.catalogue import ENGLISH

    stands = call
    if not call.get("owner"):
        stands = next((a for a in reversed(call.get("attempts") or []) if a["state"] != "ended"), {})
    owner, due = stands.get("owner"), stands.get("due_at")
    if not owner:
        return []
    who = ENGLISH.phrases.get(
        {"control_plane": "who.the_control_plane", "runtime": "who.the_agent"}.get(owner, ""), owner
    )
    lines = [f"It is up to {who}."]
    if due:
        then = ENGLISH.facts.get(f"then.{stands.get('next_state')}") or f"it becomes {stands.get('next_state')}"
        lines.append(f"At the latest {spans.clock(due)} ({spans.ago(due, now_ms)}): {then}.")
    return lines


def _tell_attempt(run: Run, attempt: Document) -> None:
    from caisey.cli import prompt_words, spans

    say = run.terminal.print
    verdict = attempt.get("verdict")
    state = f"{verdict['label']} ({verdict['kind']}, ran: {verdict['ran']})" if verdict else attempt["state"]
    say(f"  Try {attempt['number']}: {state}")
    for fact in attempt.get("evidence") or []:
        source = str(fact.get("source", ""))
        say(f"    {spans.clock(fact.get('at'))}  {source.ljust(13)}  {fact.get('text') or _bare(fact)}")
    for line in prompt_words.changes(attempt):
        say(f"    changed: {line}")
    for fault in attempt.get("shape_faults") or []:
        from caisey.cli.faults import fault_line

        say(f"    does not fit: {fault_line(fault)}")


def _bare(fact: Document) -> str:
    """A fact without a sentence: its type and its fields."""
    fields = {k: v for k, v in fact.items() if k not in ("at", "source", "type", "index", "sequence", "payload")}
    payload = fact.get("payload")
    given = {**fields, **payload} if isinstance(payload, dict) else fields
    return " ".join([str(fact.get("type")), *(f"{name}={value}" for name, value in given.items() if value is not None)])
