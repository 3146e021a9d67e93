"""Sending a request or an action and staying with it: what `prompt` and `act` have in common.

Owns the way from "accepted" to the exit code: the words at the start and at the end, Ctrl-C, `--json`, `--detach`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import typer

from caisey.cli import calls, exit_codes, prompt_words
from caisey.cli.client import LostAnswer, new_key
from caisey.cli.command import Run
from caisey.cli.faults import CliFault, Unreachable
from caisey.cli.follow import GIVE_UP_S, Follower
from caisey.cli.outputs import Outputs
from caisey.cli.safe_text import VisibleStream
from caisey.core.interactive import waits_for

Document = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """How a request is followed."""

    strict: bool = False
    raw: bool = False
    detach: bool = False
    key: str | None = None
    reconnect_s: float = GIVE_UP_S


def send_and_follow(run: Run, session: Document, endpoint: Document, body: Document, options: Options) -> None:
    """Send a request in a session, and end the program with the exit code of how it went."""
    computer = str(endpoint.get("name") or endpoint["id"])
    place = computer_and_client(endpoint)
    for call in body.get("tool_calls", []):
        effect = calls.EFFECT_WORDS.get(call.get("effect", ""))
        run.terminal.say(f"{place}: {calls.one_line(call)}" + (f"  ({effect})" if effect else ""), "plain")
        warn_of_waiting(run, endpoint, call)
    try:
        prompt = run.api.post(f"/sessions/{session['id']}/prompts", body, key=options.key or new_key())
    except (KeyboardInterrupt, LostAnswer) as error:
        run.terminal.say("It is not known if the request was accepted.", "ask")
        run.terminal.say(f"  Look: caisey sessions show {session['id']}")
        if isinstance(error, LostAnswer):
            raise
        raise typer.Exit(exit_codes.DETACHED) from error
    prompt.setdefault("session_id", session["id"])
    if options.detach:
        accepted(run, prompt)
        return
    follow(run, prompt, computer, options)


def warn_of_waiting(run: Run, endpoint: Document, call: Document) -> None:
    """Before it is sent: a prompt that nobody sees is the commonest command that never ends."""
    arguments = call.get("arguments")
    command = arguments.get("command") if isinstance(arguments, dict) else None
    fact = (endpoint.get("facts") or {}).get("os")
    system = str(fact.get("value") if isinstance(fact, dict) else fact or "")
    if not isinstance(command, str) or (isinstance(arguments, dict) and "stdin" in arguments):
        return
    waits = waits_for(str(call.get("tool")), command, windows=system.lower().startswith("win"))
    if waits is not None:
        run.terminal.say(
            f"  “{waits}” usually waits for somebody at a keyboard. It is answered by caisey act … input.", "ask"
        )


def accepted(run: Run, prompt: Document) -> None:
    """What there is to say when nobody stays to watch."""
    if run.json:
        run.terminal.json(prompt)
        return
    run.terminal.print(prompt["id"])
    run.terminal.say(f"Accepted. Look: caisey story {prompt['id']}", "plain")


def follow(run: Run, prompt: Document, computer: str, options: Options, *, before: Document | None = None) -> None:
    """Stay with a prompt until nothing more happens by itself; ends the program with its exit code.

    `before`: the prompt as the person knows it already; only what came after it is told.
    """
    outputs = Outputs(run.api, run.terminal, raw=options.raw, silent=run.json)
    if before is not None:
        outputs.pass_over(before)
    follower = Follower(
        run.api,
        run.terminal,
        prompt,
        computer=computer,
        outputs=outputs,
        give_up_s=options.reconnect_s,
        before=before,
    )
    try:
        prompt = follower.run()
    except KeyboardInterrupt as interrupt:
        run.terminal.clear_status()
        if run.json:
            run.terminal.json(prompt)
        run.terminal.say("Left. The work goes on.", "wait")
        run.terminal.say(f"  Look: caisey story {prompt['id']}")
        run.terminal.say(f"  Stop: caisey act {prompt['id']} cancel")
        raise typer.Exit(exit_codes.DETACHED) from interrupt
    except Unreachable as fault:
        raise CliFaultWhileFollowing(fault, prompt["id"]) from fault
    finish(run, prompt, outputs, strict=options.strict)


def finish(run: Run, prompt: Document, outputs: Outputs | None, *, strict: bool) -> None:
    """The last words and the exit code."""
    code = exit_codes.of_prompt(prompt, strict=strict)
    if run.json:
        run.terminal.json(prompt)
        raise typer.Exit(code)
    for call in prompt["tool_calls"]:
        _print_result(run, call)
    if outputs is not None and outputs.shown:
        run.terminal.say(f"{outputs.shown} control characters are shown, not obeyed; --raw writes them as they are.")
    for tone, line in prompt_words.verdict_lines(prompt):
        run.terminal.say(line, tone)
    raise typer.Exit(code)


def computer_of(run: Run, prompt: Document) -> str:
    """The name of a prompt's computer."""
    endpoint_id = prompt.get("endpoint_id") or run.api.get(f"/sessions/{prompt['session_id']}")["endpoint_id"]
    return str(run.api.get(f"/endpoints/{endpoint_id}").get("name") or endpoint_id)


def computer_and_client(endpoint: Document) -> str:
    """Which computer of which client, as it stands before everything that is sent."""
    group = endpoint.get("client_group")
    client = group.get("name") if isinstance(group, dict) else group
    name = str(endpoint.get("name") or endpoint["id"])
    return f"{name} ({client})" if client else name


class CliFaultWhileFollowing(Unreachable):
    """The control plane went away and did not come back in time. The work may go on."""

    def __init__(self, fault: CliFault, prompt_id: str) -> None:
        super(Unreachable, self).__init__(
            fault.message, hint=f"What runs goes on. When Caisey answers again: caisey story {prompt_id}"
        )


def _print_result(run: Run, call: Document) -> None:
    """A structured answer: on stdout, as JSON. One too large for the prompt is read as the stream that it came by."""
    found = prompt_words.deciding(call)
    if found is None:
        return
    attempt, _ = found
    if attempt.get("result") is not None:
        run.terminal.json(attempt["result"])
    elif ((attempt.get("output") or {}).get("result") or {}).get("bytes"):
        visible = VisibleStream()
        path = f"/tool-calls/{call['id']}/output"
        for data in run.api.text(path, attempt=attempt["number"], stream="result"):
            run.terminal.write_text(visible.feed(data))
        run.terminal.write_text(visible.finish() + "\n")
