"""`caisey act`: a person decides what happens to a step.

Owns the order of a decision: read what already ran, say yes, send it with what was seen and a key that makes it one.
Nothing that may run twice is sent unseen: `seen` comes from what was shown here.
"""

from __future__ import annotations

import getpass
import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from caisey.cli import prompt_words
from caisey.cli.command import Run, begin, single
from caisey.cli.completing import ACTIONS, complete_action
from caisey.cli.faults import CliFault, Problem, UsageFault
from caisey.cli.prompt import PromptCommand, limits_of, span_of

if TYPE_CHECKING:
    from caisey.cli.subject import Subject

app = single()

MAY_SEND = frozenset({"retry", "requeue", "reroute", "resume", "release", "adjust"})
FOLLOWED = MAY_SEND | {"verify", "cancel", "accept_partial"}
CLOSED_AS_ASKED = frozenset({"dropped", "cancelled"})

Document = dict[str, Any]


class ActCommand(PromptCommand):
    """As `prompt`: what follows `--` is a command for the computer."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """As people write it."""
        return ["[OPTIONS] PROMPT|CALL [ACTION] [-- COMMAND...]"]


class Offer(NamedTuple):
    """An action on a step, as far as the control plane describes it."""

    name: str
    label: str
    tool_call_id: str
    confirm: bool
    body: Document


@app.command("act", cls=ActCommand)
def act(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(metavar="PROMPT|CALL", help="A request (pmt_…) or one step of it (tcl_…).")],
    action: Annotated[
        str | None,
        typer.Argument(metavar="[ACTION]", help="Without it: what may be done.", autocompletion=complete_action),
    ] = None,
    *,
    step: Annotated[
        int | None, typer.Option("--step", metavar="N", min=1, help="Which step; else the first that is not done.")
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the log.")] = None,
    seen: Annotated[
        int | None, typer.Option("--seen", metavar="N", min=0, help="What you have read up to; else what is shown now.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    limit: Annotated[str | None, typer.Option("--limit", metavar="TIME", help="A new time limit, like 5m.")] = None,
    output_limit: Annotated[
        int | None, typer.Option("--output-limit", metavar="BYTES", min=1, help="A new limit of output.")
    ] = None,
    arg: Annotated[
        list[str] | None, typer.Option("--arg", metavar="NAME=TEXT", help="adjust, verify: an argument; NAME:=JSON.")
    ] = None,
    runtime: Annotated[
        str | None, typer.Option("--runtime", metavar="ID", help="retry, requeue, reroute: by this agent.")
    ] = None,
    bridge: Annotated[
        str | None, typer.Option("--bridge", metavar="KIND", help="The same, by websocket or longpoll.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="WHO", help="escalate: who is asked.")] = None,
    hold_for: Annotated[str | None, typer.Option("--for", metavar="TIME", help="hold: how long, like 2h.")] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="TEXT", help="input: what is typed, with a line end; - reads stdin.")
    ] = None,
    close: Annotated[bool, typer.Option("--close", help="input: nothing more comes.")] = False,
    sensitive: Annotated[
        bool, typer.Option("--sensitive", help="input: ask for it here or read stdin; only its length is recorded.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 10 for every step without output.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Write the output's bytes as they are.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for what follows.")] = False,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", metavar="KEY", help="The same key acts once in 24 h.")
    ] = None,
) -> None:
    """Decide: send again, continue, stop, answer, ask for help.

    caisey act pmt_… resume --step 3

    Before something is sent that may change things a second time, what already ran is shown, and you are asked. Without
    ACTION it lists what may be done.
    """
    from caisey.cli import following, subject

    if action is not None:
        _check_name(action)
    run = begin(ctx)
    found = subject.subject(run.api, what, step=step)
    if action is None:
        _list(run, found)
        return
    offer = _offer(run, found, action)
    command: list[str] = ctx.meta.get("caisey.cli.command", [])
    arguments = _arguments(found, offer, arg or [], command)
    if offer.name == "verify" and arguments is None:
        _check_look(found, offer)
    body = _Fields(
        reason=reason,
        limits=limits_of(limit, output_limit),
        arguments=arguments,
        runtime_id=runtime,
        bridge=bridge,
        to=to,
        hold_for=hold_for,
        data=data,
        close=close,
        sensitive=sensitive,
    ).body(run, offer)
    decision = _Decision(run, found.prompt, offer, body, seen=seen, yes=yes, key=idempotency_key)
    answer = decision.send()
    options = following.Options(strict=strict, raw=raw, detach=detach)
    _after(run, found.prompt, offer, answer, options)


# -- which step, which action -----------------------------------------------------------------------------------------


def _check_name(action: str) -> None:
    """A word that is no action is answered here, before anything is asked of the control plane."""
    if action in ACTIONS:
        return
    near = get_close_matches(action, ACTIONS, n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    raise UsageFault(f"{action!r} is no action.{meant}", hint=f"One of {', '.join(ACTIONS)}.")


def _check_look(found: Subject, offer: Offer) -> None:
    """A check of a shell's step is whatever a person wants to look at."""
    call = next(c for c in found.prompt["tool_calls"] if c["id"] == offer.tool_call_id)
    check = call.get("check")
    if isinstance(check, dict) and not check.get("arguments"):
        raise UsageFault(
            "verify needs what is to be looked at", hint="Put a command that only reads after --, or use --arg."
        )


def _list(run: Run, found: Subject) -> None:
    """What may be done, with the command for each."""
    calls = [found.call] if found.call else found.prompt["tool_calls"]
    if run.json:
        run.terminal.json([{"tool_call_id": c["id"], "next_actions": prompt_words.next_actions(c)} for c in calls])
        return
    for call in calls:
        lines = list(prompt_words.action_lines(found.prompt, call))
        if lines:
            run.terminal.print(f"Step {call['position']}: {prompt_words.short(call)}")
        for _, line in lines:
            run.terminal.print(line)


def _offer(run: Run, found: Subject, action: str) -> Offer:
    """The action on the step that is meant, as it is offered; one that is not goes out too, and is refused there."""
    prompt = found.prompt
    offers = [
        (call, _offered(item, call))
        for call in ([found.call] if found.call else prompt["tool_calls"])
        for item in prompt_words.next_actions(call)
        if item["action"] == action
    ]
    open_call = found.call or prompt_words.first_open(prompt)
    mine = [offer for call, offer in offers if call is open_call or offer.tool_call_id == (open_call or {}).get("id")]
    if mine:
        return mine[0]
    if len({offer.tool_call_id for _, offer in offers}) > 1:
        raise UsageFault("Several steps could be meant", hint="Name one with --step; `caisey act` lists them.")
    if offers:
        return offers[0][1]
    target = (_resume_target(run, prompt) if action == "resume" and found.call is None else None) or open_call
    if target is None:
        hint = f"Look: caisey story {prompt['id']}"
        raise CliFault("No step of this request is open", hint=hint, code="action.not_offered")
    return Offer(action, action, target["id"], action in MAY_SEND, {})


def _resume_target(run: Run, prompt: Document) -> Document | None:
    """The first step that never started, by the control plane's word."""
    sends = run.api.get(f"/prompts/{prompt['id']}/awareness").get("will_send") or []
    first = sends[0] if sends else {}
    matches = (c for c in prompt["tool_calls"] if first.get("tool_call_id", first.get("id")) == c["id"])
    by_position = (c for c in prompt["tool_calls"] if first.get("position") == c["position"])
    return next(matches, None) or next(by_position, None)


def _offered(item: Document, call: Document) -> Offer:
    confirm = item.get("confirm")
    return Offer(
        name=item["action"],
        label=item["label"],
        tool_call_id=str(item.get("tool_call_id") or call["id"]),
        confirm=bool(confirm) if confirm is not None else item["action"] in MAY_SEND,
        body=dict(item.get("body") or {}),
    )


# -- what is sent -----------------------------------------------------------------------------------------------------


def _arguments(found: Subject, offer: Offer, assignments: list[str], command: list[str]) -> Document | None:
    """New arguments: of a shell's step a command, of others the present ones with what was changed."""
    from caisey.cli import calls

    if not assignments and not command:
        return None
    if assignments and command:
        raise UsageFault("--arg and -- COMMAND exclude each other")
    call = next(c for c in found.prompt["tool_calls"] if c["id"] == offer.tool_call_id)
    if command:
        line = calls.command_line(command, call["tool"])
        return {**(call["arguments"] if offer.name == "adjust" else {}), "command": line}
    given: Document = calls.tool_call("", assignments)["arguments"]
    return {**call["arguments"], **given} if offer.name == "adjust" else given


class _Fields(NamedTuple):
    """What was given on the command line beside the action."""

    reason: str | None
    limits: dict[str, int]
    arguments: Document | None
    runtime_id: str | None
    bridge: str | None
    to: str | None
    hold_for: str | None
    data: str | None
    close: bool
    sensitive: bool

    def body(self, run: Run, offer: Offer) -> Document:
        """The request's body, without `seen`."""
        body: Document = {"action": offer.name, **offer.body}
        if self.limits:
            body["limits"] = self.limits
        for name in ("reason", "arguments", "runtime_id", "bridge", "to"):
            value = getattr(self, name)
            if value is not None:
                body[name] = value
        if self.hold_for is not None:
            body["expires_in_s"] = span_of(self.hold_for, "--for") / 1000
        if offer.name == "adjust" and self.arguments is None:
            raise UsageFault("adjust needs what is to be sent", hint="Put the new command after --, or use --arg.")
        return body | (self._input(run) if offer.name == "input" else {})

    def _input(self, run: Run) -> Document:
        if self.data is None and not self.sensitive:
            if self.close:
                return {"data": "", "close": True}
            raise UsageFault("input needs --data, --sensitive or --close")
        if self.sensitive and self.data not in (None, "-"):
            raise UsageFault("A secret does not go on a command line", hint="Leave --data out, or use --data -.")
        text = self._typed(run)
        return {
            "data": text,
            **({"close": True} if self.close else {}),
            **({"sensitive": True} if self.sensitive else {}),
        }

    def _typed(self, run: Run) -> str:
        if self.data not in (None, "-"):
            return f"{self.data}\n"
        if self.sensitive and run.terminal.can_ask:
            return getpass.getpass("Answer (not shown): ") + "\n"
        return sys.stdin.read()


# -- the decision -----------------------------------------------------------------------------------------------------


class _Decision:
    """What is shown before, the question, and the sending."""

    def __init__(
        self, run: Run, prompt: Document, offer: Offer, body: Document, *, seen: int | None, yes: bool, key: str | None
    ) -> None:
        self._run = run
        self._prompt = prompt
        self._offer = offer
        self._body = body
        self._seen = seen
        self._yes = yes
        self._key = key

    def send(self) -> Document:
        """Show, ask, send. Shown and asked again where something happened meanwhile and a person can be asked."""
        from caisey.cli.client import new_key

        while True:
            seen = self._show_and_ask()
            body = {**self._body, "seen": seen if self._seen is None else self._seen}
            path = f"/tool-calls/{self._offer.tool_call_id}/actions"
            try:
                answer: Document = self._run.api.post(path, body, key=self._key or new_key())
            except Problem as problem:
                if problem.code != "action.stale":
                    raise
                self._prompt = self._run.api.get(f"/prompts/{self._prompt['id']}")
                self._show_news(problem, int(body["seen"]))
                if not (self._run.terminal.can_ask and self._offer.confirm and not self._yes and self._seen is None):
                    raise
                continue
            return answer

    def _show_and_ask(self) -> int:
        """What the person has seen then. Usage fault where nobody can be asked; ends the program on no."""
        terminal = self._run.terminal
        if not self._offer.confirm:
            return int(self._prompt["sequence"])
        from caisey.cli import awareness

        document = self._run.api.get(f"/prompts/{self._prompt['id']}/awareness")
        lines = list(awareness.lines(self._as_asked(document), self._run.api.now_ms()))
        for tone, line in lines:
            terminal.say(line, tone)
        if not self._yes:
            if not terminal.can_ask:
                raise UsageFault("This may change things: a yes is needed", hint="Read the above, then add --yes.")
            if not terminal.ask(f"{self._offer.label}?"):
                terminal.say("Nothing was sent.", "plain")
                raise typer.Exit(1)
        return int(document["seen"])

    def _as_asked(self, document: Document) -> Document:
        """The list of what will be sent, for this action: `resume` sends the rest, anything else one step."""
        calls = self._prompt["tool_calls"]
        target = next(c for c in calls if c["id"] == self._offer.tool_call_id)
        rest = [
            c for c in calls if c is target or (c["position"] > target["position"] and c["state"] != "ended")
        ]  # as `resume` is defined: N and all after it
        chosen = rest if self._offer.name == "resume" else [target]
        if "arguments" in self._body:
            chosen = [{**target, "arguments": self._body["arguments"], "literal": None}]
        return {**document, "will_send": chosen}

    def _show_news(self, problem: Problem, seen: int) -> None:
        terminal = self._run.terminal
        terminal.say("New since you looked:", "ask")
        told = {
            (call["id"], fact.get("sequence")): f"step {call['position']}: {fact.get('text') or fact.get('type')}"
            for call in self._prompt["tool_calls"]
            for attempt in call.get("attempts") or []
            for fact in attempt.get("evidence") or []
        }
        news = problem.body.get("new")
        for item in news if isinstance(news, list) else []:
            text = told.get((item.get("tool_call_id"), item.get("sequence"))) or str(item.get("type"))
            terminal.say(f"  {text}")


# -- afterwards -------------------------------------------------------------------------------------------------------


def _after(run: Run, prompt: Document, offer: Offer, answer: Document | None, options: Any) -> None:
    """Stay with what was started, or say that it is done."""
    from caisey.cli import exit_codes, following

    document = (
        answer if isinstance(answer, dict) and "tool_calls" in answer else run.api.get(f"/prompts/{prompt['id']}")
    )
    document.setdefault("session_id", prompt.get("session_id"))
    if offer.name not in FOLLOWED or options.detach:
        # What was asked for is accepted; the command that reads the answer goes on by itself.
        goes_on = f" It goes on: caisey story {prompt['id']} --follow" if offer.name == "input" else ""
        run.done(document, f"Accepted: {offer.label}.{goes_on}")
        return
    computer = following.computer_of(run, document)
    if check := document.get("check_prompt_id"):
        following.follow(run, run.api.get(f"/prompts/{check}"), computer, options)
        return
    try:
        following.follow(run, document, computer, options, before=prompt)
    except typer.Exit as ended:
        if offer.name == "cancel" and ended.exit_code not in (exit_codes.DETACHED, exit_codes.UNREACHABLE):
            raise typer.Exit(_of_cancel(run, prompt["id"], offer.tool_call_id, ended.exit_code)) from ended
        raise


def _of_cancel(run: Run, prompt_id: str, tool_call_id: str, code: int) -> int:
    """0 where the step was stopped as was asked; else how it ended, since a cancel may lose the race."""
    from caisey.cli import exit_codes

    prompt = run.api.get(f"/prompts/{prompt_id}")
    call = next(c for c in prompt["tool_calls"] if c["id"] == tool_call_id)
    verdict = exit_codes.deciding_verdict(call)
    stopped = call.get("outcome") in CLOSED_AS_ASKED or (verdict is not None and verdict["kind"] == "cancelled")
    return exit_codes.OK if stopped else code
