"""`caisey sessions`: the conversations on computers: list, show, open, change, follow, close.

Owns the mapping of their commands to the API.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from caisey.cli import exit_codes
from caisey.cli.command import ApiCommand, Run, begin, group
from caisey.cli.completing import complete_endpoint, complete_session
from caisey.cli.faults import Problem
from caisey.cli.terminal import Column

app = group("Sessions: the conversations on computers.")

Document = dict[str, Any]
SessionId = Annotated[str, typer.Argument(metavar="SESSION", help="Its id: ses_….", autocompletion=complete_session)]


@app.command("list", cls=ApiCommand)
def list_sessions(
    ctx: typer.Context,
    *,
    computer: Annotated[
        str | None, typer.Option("--computer", metavar="NAME", help="On this one.", autocompletion=complete_endpoint)
    ] = None,
    state: Annotated[str | None, typer.Option("--state", metavar="STATE", help="open or closed.")] = None,
    ticket: Annotated[str | None, typer.Option("--ticket", help="With exactly this ticket.")] = None,
    most: Annotated[int, typer.Option("--most", metavar="N", min=1, help="At most so many.")] = 50,
) -> None:
    """Sessions, newest first."""
    from caisey.cli import spans, subject

    run = begin(ctx)
    endpoint_id = subject.endpoint(run.api, computer)["id"] if computer else None
    items = list(run.api.items("/sessions", most=most, endpoint_id=endpoint_id, state=state, ticket=ticket))
    if run.json:
        run.terminal.json({"items": items})
        return
    names = names_of_endpoints(run, items)
    rows = [
        (
            item["id"],
            names.get(item["endpoint_id"], item["endpoint_id"]),
            str(item.get("state") or ""),
            spans.ago(item.get("updated_at") or item.get("created_at"), run.api.now_ms()),
            " ".join(filter(None, (item.get("ticket"), item.get("title")))),
        )
        for item in items
    ]
    columns = [
        Column("SESSION", keep=True),
        Column("COMPUTER"),
        Column("STATE"),
        Column("LAST CHANGE"),
        Column("ABOUT"),
    ]
    run.terminal.table(columns, rows, empty="No sessions.")


@app.command("show", cls=ApiCommand)
def show(ctx: typer.Context, session: SessionId) -> None:
    """A session with its requests in short."""
    from caisey.cli import spans

    run = begin(ctx)
    document = run.api.get(f"/sessions/{session}")
    if run.json:
        run.terminal.json(document)
        return
    closed = document.get("closed") or {}
    run.terminal.fields(
        [
            ("session", document["id"]),
            ("computer", _computer(run, document["endpoint_id"])),
            ("title", document.get("title") or ""),
            ("ticket", document.get("ticket") or ""),
            ("owner", document.get("owner") or ""),
            ("state", str(document.get("state") or "")),
            ("outcome", str(closed.get("outcome") or "")),
            ("checked", str(closed.get("verified") or "")),
            ("opened", spans.day_and_clock(document.get("created_at"))),
        ]
    )
    for prompt in document.get("prompts") or []:
        run.terminal.print()
        run.terminal.print(f"{prompt['id']}  {prompt['state']}  {spans.day_and_clock(prompt.get('created_at'))}")
        for call in prompt.get("tool_calls") or []:
            what = call.get("literal") or call.get("tool")
            run.terminal.print(f"  {call['position']} {what}: {call.get('label') or call['state']}")


@app.command("open", cls=ApiCommand)
def open_session(
    ctx: typer.Context,
    computer: Annotated[
        str, typer.Argument(metavar="COMPUTER", help="Its name or id.", autocompletion=complete_endpoint)
    ],
    *,
    title: Annotated[str, typer.Option("--title", help="What it is about.")] = "",
    ticket: Annotated[str | None, typer.Option("--ticket", help="The ticket it belongs to.")] = None,
) -> None:
    """Open a session and print its id."""
    from caisey.cli import subject

    run = begin(ctx)
    body: Document = {"endpoint_id": subject.endpoint(run.api, computer)["id"], "title": title}
    if ticket is not None:
        body["ticket"] = ticket
    document = run.api.post("/sessions", body)
    if run.json:
        run.terminal.json(document)
        return
    run.terminal.print(document["id"])
    run.terminal.say(f"Ask in it: caisey prompt --session {document['id']} -- COMMAND")


@app.command("edit", cls=ApiCommand)
def edit(
    ctx: typer.Context,
    session: SessionId,
    *,
    title: Annotated[str | None, typer.Option("--title", help="A new title.")] = None,
    ticket: Annotated[str | None, typer.Option("--ticket", help="A new ticket.")] = None,
    owner: Annotated[str | None, typer.Option("--owner", metavar="ID", help="Hand it over.")] = None,
) -> None:
    """Change title, ticket or owner."""
    run = begin(ctx)
    given = {"title": title, "ticket": ticket, "owner": owner}
    document = run.api.patch(
        f"/sessions/{session}", {name: value for name, value in given.items() if value is not None}
    )
    run.done(document, "Changed.")


@app.command("close", cls=ApiCommand)
def close(
    ctx: typer.Context,
    session: SessionId,
    *,
    outcome: Annotated[str, typer.Option("--outcome", metavar="TEXT", help="How it went; for the ticket.")],
    verified: Annotated[str | None, typer.Option("--verified", metavar="TEXT", help="How that was checked.")] = None,
    drop: Annotated[list[str] | None, typer.Option("--drop", metavar="CALL", help="Give this open step up.")] = None,
    keep: Annotated[list[str] | None, typer.Option("--keep", metavar="CALL", help="Leave this one going.")] = None,
) -> None:
    """Close a session. Open steps are named, each to drop or to keep."""
    run = begin(ctx)
    body = {"outcome": outcome, "verified": verified, "drop": drop or [], "keep": keep or []}
    try:
        document = run.api.post(f"/sessions/{session}/close", body)
    except Problem as problem:
        if problem.code == "session.open_work":
            problem.hint = "\n".join([problem.hint or "", *_open_work(problem.body)])
        raise
    run.done(document, "Closed.")


@app.command("events", cls=ApiCommand)
def events(
    ctx: typer.Context,
    session: SessionId,
    *,
    after: Annotated[int, typer.Option("--after", metavar="N", min=0, help="Only after this sequence.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens; Ctrl-C leaves.")] = False,
) -> None:
    """The events of a session, in order; with --json one document on each line."""
    run = begin(ctx)
    try:
        for event in (
            _followed(run, session, after) if follow else run.api.items(f"/sessions/{session}/events", after=after)
        ):
            if run.json:
                run.terminal.json_line(event)
            else:
                run.terminal.print(event_line(event))
    except KeyboardInterrupt as interrupt:
        raise typer.Exit(exit_codes.DETACHED) from interrupt


def _followed(run: Run, session: str, after: int) -> Iterator[Document]:
    """What happened and what happens, across interruptions."""
    from caisey.cli.faults import CliFault
    from caisey.cli.feed import EventFeed
    from caisey.cli.follow import GIVE_UP_S
    from caisey.cli.sse import ServerEvent

    feed = EventFeed(run.api, f"/sessions/{session}/stream", str(after), give_up_s=GIVE_UP_S)
    feed.start()
    try:
        while True:
            item = feed.items.get()
            if isinstance(item, CliFault):
                raise item
            if isinstance(item, ServerEvent):
                yield json.loads(item.data)
    finally:
        feed.stop()


def event_line(event: Document) -> str:
    """An event on one line: sequence, time, who, type, payload."""
    from caisey.cli import spans
    from caisey.cli.safe_text import safe_json

    actor = event.get("actor") or {}
    who = f"{actor.get('kind')}:{actor.get('id')}" if actor.get("kind") != actor.get("id") else str(actor.get("kind"))
    payload = safe_json(event.get("payload") or {})
    return f"{event['sequence']}  {spans.clock(event.get('at'))}  {event['type']}  {who}  {payload}"


def names_of_endpoints(run: Run, items: list[Document]) -> dict[str, str]:
    """Names by id, for what a list shows; one page of computers, and each other one by itself, at most 20."""
    wanted = {str(item["endpoint_id"]) for item in items if item.get("endpoint_id")}
    if not wanted:
        return {}
    names = {item["id"]: str(item.get("name") or item["id"]) for item in run.api.items("/endpoints", most=200)}
    for endpoint_id in sorted(wanted - names.keys())[:20]:
        names[endpoint_id] = _computer(run, endpoint_id)
    return names


def _computer(run: Run, endpoint_id: str) -> str:
    try:
        return str(run.api.get(f"/endpoints/{endpoint_id}").get("name") or endpoint_id)
    except Problem as problem:
        if problem.status != 404:
            raise
        return endpoint_id


def _open_work(body: Document) -> list[str]:
    """The open steps that a refusal names."""
    names = ("open", "open_work", "tool_calls", "open_tool_calls")
    found: Any = next((body[name] for name in names if name in body), [])
    lines = []
    for item in found if isinstance(found, list) else []:
        call_id = item.get("tool_call_id") or item.get("id") if isinstance(item, dict) else item
        label = item.get("label") or item.get("state") or "" if isinstance(item, dict) else ""
        lines.append(f"--drop {call_id} or --keep {call_id}  {label}".rstrip())
    return lines
