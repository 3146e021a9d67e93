"""`caisey prompt`: ask something of a computer and follow it to its verdict.

Owns the command line of a request. What is sent is printed before it is sent; Ctrl-C leaves and ends nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from caisey.cli import calls as steps
from caisey.cli.command import ApiCommand, Run, begin, single
from caisey.cli.completing import complete_endpoint, complete_session
from caisey.cli.faults import UsageFault
from caisey.cli.spans import parse_span

app = single()

EFFECTS = ("read_only", "idempotent", "mutating")
RUN_AS = ("user", "system")
TITLE_LENGTH = 120


class PromptCommand(ApiCommand):
    """What follows `--` is the command for the computer, word by word, whatever it looks like."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Cut the command off before options are read."""
        if "--" in args:
            cut = args.index("--")
            ctx.meta["caisey.cli.command"] = args[cut + 1 :]
            args = args[:cut]
        try:
            return super().parse_args(ctx, args)
        except TyperException as error:
            if "unexpected extra argument" in getattr(error, "message", ""):
                error.message += ". A command for the computer stands after --, as in: -- uptime"
            raise

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """As people write it."""
        return ["[OPTIONS] [COMPUTER] [-- COMMAND...]"]


@app.command("prompt", cls=PromptCommand)
def prompt(
    ctx: typer.Context,
    *,
    computer: Annotated[
        str | None,
        typer.Argument(metavar="[COMPUTER]", help="Its name or id.", autocompletion=complete_endpoint),
    ] = None,
    session: Annotated[
        str | None,
        typer.Option(
            "--session", metavar="ID", help="Ask in this session; else a new one.", autocompletion=complete_session
        ),
    ] = None,
    tool: Annotated[str | None, typer.Option("--tool", metavar="NAME", help="A tool instead of a command.")] = None,
    arg: Annotated[
        list[str] | None, typer.Option("--arg", metavar="NAME=TEXT", help="An argument of --tool; NAME:=JSON for JSON.")
    ] = None,
    step: Annotated[
        list[str] | None,
        typer.Option("--step", metavar="STEP", help="A step: a command, or '@tool name=text'. Repeat it for more."),
    ] = None,
    json_calls: Annotated[
        str | None, typer.Option("--json-calls", metavar="FILE", help="Tool calls as JSON; - reads stdin.")
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", metavar="WORDS", help="Ask in words; a model plans the steps.")
    ] = None,
    reads_only: Annotated[bool, typer.Option("--reads-only", help="It changes nothing: safe to repeat.")] = False,
    may_change: Annotated[bool, typer.Option("--may-change", help="It may change things.")] = False,
    effect: Annotated[
        str | None, typer.Option("--effect", metavar="EFFECT", help="read_only, idempotent or mutating.")
    ] = None,
    run_as: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="WHO", help="Run commands as the signed-in `user` or the `system`, not the agent."
        ),
    ] = None,
    limit: Annotated[
        str | None, typer.Option("--limit", metavar="TIME", help="End a step after this long, like 30s or 5m.")
    ] = None,
    output_limit: Annotated[
        int | None, typer.Option("--output-limit", metavar="BYTES", min=1, help="Keep at most this much of a stream.")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="Title of a new session.")] = None,
    ticket: Annotated[str | None, typer.Option("--ticket", help="Ticket of a new session.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 10 for every step without output.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Write the output's bytes as they are.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait: print what was accepted.")] = False,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", metavar="KEY", help="The same key is accepted once in 24 h.")
    ] = None,
    reconnect_for: Annotated[
        str, typer.Option("--reconnect-for", metavar="TIME", help="Wait this long for a control plane that went away.")
    ] = "2m",
) -> None:
    """Ask something of a computer and follow it to its end.

    caisey prompt ACCT-07 -- systemctl status cups

    caisey prompt ACCT-07 --may-change --step '@service name=cups action=stop' --step 'lpq' --step '@service name=cups
    action=start'

    Output goes to stdout, words to stderr. The exit code says how it ended (see docs/cli.md).
    """
    from caisey.cli import following

    run = begin(ctx)
    command: list[str] = ctx.meta.get("caisey.cli.command", [])
    asked = _Asked(
        command=command, tool=tool, arguments=arg or [], step_texts=step or [], json_calls=json_calls, text=text
    )
    asked.check()
    chosen = _effect(reads_only, may_change, effect)
    if run_as is not None and run_as not in RUN_AS:
        raise UsageFault(f"{run_as!r} is nobody", hint=f"One of {', '.join(RUN_AS)}.")
    limits = limits_of(limit, output_limit)
    reconnect_ms = span_of(reconnect_for, "--reconnect-for")
    found_session, endpoint = _place(run, computer, session)
    body = asked.body(str(_os_name(endpoint)), chosen, limits, run_as)
    if found_session is None:
        # A key for the request is one for its session too: else a repeated command line would open another one.
        session_key = None if idempotency_key is None else f"{idempotency_key}-session"
        found_session = _open(run, endpoint, title or asked.title(body), ticket, session_key)
    following.send_and_follow(
        run,
        found_session,
        endpoint,
        body,
        following.Options(strict=strict, raw=raw, detach=detach, key=idempotency_key, reconnect_s=reconnect_ms / 1000),
    )


class _Asked:
    """The one way in which the request was given."""

    def __init__(
        self,
        *,
        command: list[str],
        tool: str | None,
        arguments: list[str],
        step_texts: list[str],
        json_calls: str | None,
        text: str | None,
    ) -> None:
        self.command = command
        self.tool = tool
        self.arguments = arguments
        self.step_texts = step_texts
        self.json_calls = json_calls
        self.text = text

    def check(self) -> None:
        """Exactly one way. UsageFault otherwise."""
        ways = {
            "-- COMMAND": bool(self.command),
            "--tool": self.tool is not None,
            "--step": bool(self.step_texts),
            "--json-calls": self.json_calls is not None,
            "--text": self.text is not None,
        }
        given = [name for name, is_given in ways.items() if is_given]
        if not given:
            raise UsageFault("Nothing is asked", hint="Put a command after --, or use --tool, --step, --json-calls.")
        if len(given) > 1:
            raise UsageFault(f"{' and '.join(given)} exclude each other")
        if self.arguments and self.tool is None:
            raise UsageFault("--arg belongs to --tool")

    def body(self, os_name: str, effect: str | None, limits: dict[str, int], run_as: str | None) -> dict[str, Any]:
        """The body of the request, as the API takes it."""
        if self.text is not None:
            if effect is not None or limits or run_as is not None:
                raise UsageFault("--text takes no effect, no limit and no account: the model plans the steps")
            return {"text": self.text}
        return {"tool_calls": steps.with_options(self._calls(os_name), effect=effect, limits=limits, run_as=run_as)}

    def _calls(self, os_name: str) -> list[steps.Call]:
        shell = steps.default_shell(os_name)
        if self.tool is not None:
            return [steps.tool_call(self.tool, self.arguments)]
        if self.step_texts:
            return [steps.step(text, shell) for text in self.step_texts]
        if self.json_calls is not None:
            return steps.from_json(_read(self.json_calls), "stdin" if self.json_calls == "-" else self.json_calls)
        return [steps.shell_call(self.command, shell)]

    def title(self, body: dict[str, Any]) -> str:
        """What a new session is called: what was asked first."""
        first = self.text if self.text is not None else steps.one_line(body["tool_calls"][0])
        return " ".join(first.split())[:TITLE_LENGTH] or "Request"


def _read(where: str) -> str:
    try:
        return sys.stdin.read() if where == "-" else Path(where).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UsageFault(f"{'stdin' if where == '-' else where} cannot be read: {why}") from error


def _effect(reads_only: bool, may_change: bool, effect: str | None) -> str | None:
    given = [name for name, value in (("read_only", reads_only), ("mutating", may_change), (effect, effect)) if value]
    if len(given) > 1:
        raise UsageFault("--reads-only, --may-change and --effect exclude each other")
    if effect is not None and effect not in EFFECTS:
        raise UsageFault(f"{effect!r} is no effect", hint=f"One of {', '.join(EFFECTS)}.")
    return given[0] if given else None


def limits_of(limit: str | None, output_limit: int | None) -> dict[str, int]:
    """The limits of a step, as the API takes them."""
    limits: dict[str, int] = {}
    if limit is not None:
        limits["time_ms"] = span_of(limit, "--limit")
    if output_limit is not None:
        limits["output_bytes"] = output_limit
    return limits


def span_of(text: str, option: str) -> int:
    """Milliseconds of a span of time that was given with an option. UsageFault for anything else."""
    try:
        return parse_span(text)
    except ValueError as error:
        raise UsageFault(f"{option}: {error}") from error


def _place(run: Run, computer: str | None, session: str | None) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The session, where one was named, and its computer."""
    from caisey.cli import subject

    if session is None and computer is None:
        raise UsageFault("Name a computer, or --session", hint="`caisey endpoints` lists the computers.")
    if session is None:
        return None, subject.endpoint(run.api, str(computer))
    found: dict[str, Any] = run.api.get(f"/sessions/{session}")
    endpoint: dict[str, Any] = run.api.get(f"/endpoints/{found['endpoint_id']}")
    if computer is not None and computer not in (endpoint["id"], endpoint.get("name")):
        raise UsageFault(
            f"The session is on {endpoint.get('name')}, not on {computer}",
            hint="If that is part of the command, put -- before it.",
        )
    return found, endpoint


def _os_name(endpoint: dict[str, Any]) -> Any:
    facts = endpoint.get("facts") or {}
    fact = facts.get("os")
    return (fact.get("value") if isinstance(fact, dict) else fact) or endpoint.get("os") or "linux"


def _open(run: Run, endpoint: dict[str, Any], title: str, ticket: str | None, key: str | None) -> dict[str, Any]:
    body = {"endpoint_id": endpoint["id"], "title": title}
    if ticket is not None:
        body["ticket"] = ticket
    session: dict[str, Any] = run.api.post("/sessions", body, key=key)
    return session
