"""`caisey endpoints`: the computers: what is known of them, adding one, what a person decides about one.

Owns the mapping to the API, and the wait for a computer that is being added.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from caisey.cli import exit_codes
from caisey.cli.command import ApiCommand, Run, begin, group
from caisey.cli.completing import complete_endpoint
from caisey.cli.faults import UsageFault
from caisey.cli.terminal import Column

app = group("Computers: list, show, add, edit, remove; what a person decides about one.")

Document = dict[str, Any]
Computer = Annotated[str, typer.Argument(metavar="COMPUTER", help="Its name or id.", autocompletion=complete_endpoint)]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the log.")]


@app.command("list", cls=ApiCommand)
def list_endpoints(
    ctx: typer.Context,
    search: Annotated[
        str | None, typer.Argument(metavar="[WORDS]", help="In name, user, address, serial, client, tag, ticket.")
    ] = None,
    *,
    client_group: Annotated[str | None, typer.Option("--group", metavar="ID", help="Of this client group.")] = None,
    health: Annotated[
        str | None, typer.Option("--health", help="healthy, unhealthy, asleep, offline, never_seen or removing.")
    ] = None,
    tag: Annotated[str | None, typer.Option("--tag", help="With this tag.")] = None,
    most: Annotated[int, typer.Option("--most", metavar="N", min=1, help="At most so many.")] = 200,
) -> None:
    """The computers, with whether each would take work now."""
    run = begin(ctx)
    query = {"q": search, "client_group": client_group, "health": health, "tag": tag}
    items = list(run.api.items("/endpoints", most=most, **query))
    if run.json:
        run.terminal.json({"items": items})
        return
    rows = [
        (
            str(item.get("name") or ""),
            _client(item),
            ready(item, run.api.now_ms()),
            _open(item),
            str(_fact(item, "os_version") or _fact(item, "os") or ""),
        )
        for item in items
    ]
    columns = [Column("COMPUTER", keep=True), Column("CLIENT"), Column("READY"), Column("OPEN"), Column("SYSTEM")]
    run.terminal.table(columns, rows, empty="No computers. `caisey endpoints add` shows how one joins.")


@app.command("show", cls=ApiCommand)
def show(ctx: typer.Context, computer: Computer) -> None:
    """One computer: is it ready, its agents, what is known of it and how old that is."""
    from caisey.cli import spans, subject

    run = begin(ctx)
    item = subject.endpoint(run.api, computer)
    document = run.api.get(f"/endpoints/{item['id']}")
    if run.json:
        run.terminal.json(document)
        return
    now_ms = run.api.now_ms()
    removing = document.get("removing") or {}
    run.terminal.fields(
        [
            ("computer", str(document.get("name"))),
            ("id", document["id"]),
            ("client", _client(document)),
            ("ready", ready(document, now_ms)),
            ("health", f"{document['health']} ({spans.ago(document.get('health_since'), now_ms)})"),
            ("tags", ", ".join(document.get("tags") or [])),
            ("open", _open(document)),
            ("gone at", spans.day_and_clock(removing.get("gone_at"))),
            (
                "review",
                "its record went back in time: see `endpoints reviewed`" if document.get("review_needed") else "",
            ),
            ("like", document.get("like_endpoint_id") or ""),
        ]
    )
    for runtime in document.get("runtimes") or []:
        run.terminal.print(_agent(runtime, now_ms))
    for name, fact in (document.get("facts") or {}).items():
        run.terminal.print(_fact_line(name, fact, now_ms))


@app.command("add", cls=ApiCommand)
def add(
    ctx: typer.Context,
    *,
    client_group: Annotated[
        str | None, typer.Option("--group", metavar="ID", help="Computers join this client group.")
    ] = None,
    computer: Annotated[
        str | None,
        typer.Option("--computer", help="One more agent for this computer.", autocompletion=complete_endpoint),
    ] = None,
    uses: Annotated[int, typer.Option("--uses", min=1, help="How many computers may join with it.")] = 1,
    valid_for: Annotated[str, typer.Option("--valid", metavar="TIME", help="How long it may be used.")] = "1h",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the computer is there.")] = True,
) -> None:
    """Print what to paste on a computer so that it joins, and wait until it is there.

    The command holds a secret: it lets a computer join until it is used up or has ended. Ctrl-C stops the waiting only.
    """
    from caisey.cli import subject
    from caisey.cli.prompt import span_of

    run = begin(ctx)
    if client_group and computer:
        raise UsageFault("--group and --computer exclude each other")
    body: Document = {"scope": "organization", "uses": uses, "expires_in_s": span_of(valid_for, "--valid") / 1000}
    if client_group:
        body |= {"scope": "client_group", "client_group_id": client_group}
    if computer:
        body |= {"scope": "endpoint", "endpoint_id": subject.endpoint(run.api, computer)["id"]}
    before = {item["id"]: _runtime_ids(item) for item in run.api.items("/endpoints")} if wait else {}
    made = run.api.post("/enrollment-tokens", body)
    if run.json:
        run.terminal.json(made)
        return
    command = made.get("command")
    for system, line in (command if isinstance(command, dict) else {"": command}).items():
        if system:
            run.terminal.print(f"{system}:")
        run.terminal.print(f"  {line}")
    run.terminal.say(f"It may be used {_times(uses)}, within {valid_for}.")
    if wait:
        _await(run, before, uses)


@app.command("edit", cls=ApiCommand)
def edit(
    ctx: typer.Context,
    computer: Computer,
    *,
    name: Annotated[str | None, typer.Option("--name", help="A new name.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="All its tags, one by one; '' for none.")] = None,
    client_group: Annotated[str | None, typer.Option("--group", metavar="ID", help="Move it; '' for none.")] = None,
    restore: Annotated[bool, typer.Option("--restore", help="Take a removal back.")] = False,
) -> None:
    """Change a computer's name, tags or client group, or take its removal back."""
    from caisey.cli import subject

    run = begin(ctx)
    body: Document = {}
    if name is not None:
        body["name"] = name
    if tag is not None:
        body["tags"] = [one for one in tag if one]
    if client_group is not None:
        body["client_group_id"] = client_group or None
    if restore:
        body["removing"] = False
    if not body:
        raise UsageFault("Nothing is to be changed", hint="Use --name, --tag, --group or --restore.")
    run.done(run.api.patch(f"/endpoints/{subject.endpoint(run.api, computer)['id']}", body), "Changed.")


@app.command("remove", cls=ApiCommand)
def remove(
    ctx: typer.Context,
    computer: Computer,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a computer. It takes no more work; after 7 days it is gone. `edit --restore` takes it back before."""
    from caisey.cli import subject

    run = begin(ctx)
    found = subject.endpoint(run.api, computer)
    _sure(run, f"Remove {found.get('name')} ({_client(found) or 'no client group'})?", yes)
    run.done(run.api.delete(f"/endpoints/{found['id']}"), "It is being removed.")


@app.command("join", cls=ApiCommand)
def join(
    ctx: typer.Context,
    computer: Computer,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="Its agents become the first one's.")],
    *,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the log.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Say that two computers are one."""
    from caisey.cli import subject

    run = begin(ctx)
    first, second = subject.endpoint(run.api, computer), subject.endpoint(run.api, other)
    _sure(run, f"Make {second.get('name')} ({second['id']}) a part of {first.get('name')} ({first['id']})?", yes)
    body = {"with": second["id"], **({"reason": reason} if reason else {})}
    run.done(run.api.post(f"/endpoints/{first['id']}/join", body), "They are one now.")


@app.command("reviewed", cls=ApiCommand)
def reviewed(ctx: typer.Context, computer: Computer, *, reason: Reason) -> None:
    """Say that you have looked at a computer whose record went back in time."""
    from caisey.cli import subject

    run = begin(ctx)
    found = subject.endpoint(run.api, computer)
    document = run.api.post(f"/endpoints/{found['id']}/journal-reviewed", {"reason": reason})
    run.done(document, "Noted. Work that may change things is sent again.")


@app.command("accept-runtime", cls=ApiCommand)
def accept_runtime(
    ctx: typer.Context, runtime: Annotated[str, typer.Argument(metavar="RUNTIME", help="rtm_…")], *, reason: Reason
) -> None:
    """Say that an agent under suspicion is the right one."""
    run = begin(ctx)
    run.done(run.api.post(f"/runtimes/{runtime}/accept", {"reason": reason}), "Accepted.")


@app.command("revoke-runtime", cls=ApiCommand)
def revoke_runtime(
    ctx: typer.Context,
    runtime: Annotated[str, typer.Argument(metavar="RUNTIME", help="rtm_…")],
    *,
    reason: Reason,
    compromised: Annotated[
        bool, typer.Option("--compromised", help="It is not let in any more, not even to report.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Take an agent out of service for good."""
    run = begin(ctx)
    _sure(run, f"Take {runtime} out of service for good?", yes)
    body = {"reason": reason, "compromised": compromised}
    run.done(run.api.post(f"/runtimes/{runtime}/revoke", body), "Revoked.")


# -- in words ---------------------------------------------------------------------------------------------------------


def ready(item: Document, now_ms: int) -> str:
    """The proof, never a bare "online": `Ready. Answered 3 s ago`."""
    from caisey.cli import spans

    sendable = item.get("sendable") or {}
    answered = spans.ago(sendable.get("proved_at"), now_ms)
    if sendable.get("value"):
        return f"Ready. Answered {answered}" if answered else "Ready"
    reason = str(sendable.get("reason") or item.get("health") or "").replace("_", " ")
    return f"Not now: {reason}" + (f". Answered {answered}" if answered else "")


def _client(item: Document) -> str:
    found = item.get("client_group")
    return str((found.get("name") if isinstance(found, dict) else found) or "")


def _open(item: Document) -> str:
    sessions, held = item.get("open_sessions") or 0, item.get("held") or 0
    parts = [f"{sessions} session{'s' if sessions != 1 else ''}" if sessions else "", f"{held} held" if held else ""]
    return ", ".join(part for part in parts if part)


def _fact(item: Document, name: str) -> Any:
    fact = (item.get("facts") or {}).get(name)
    return fact.get("value") if isinstance(fact, dict) else fact


def _fact_line(name: str, fact: Any, now_ms: int) -> str:
    from caisey.cli import spans
    from caisey.cli.safe_text import cut, safe_json

    value = fact.get("value") if isinstance(fact, dict) else fact
    if isinstance(value, int) and name.endswith("_bytes"):
        text = spans.size(value)
    else:
        text = value if isinstance(value, str) else safe_json(value)
    age = spans.ago(fact.get("at"), now_ms) if isinstance(fact, dict) else ""
    return f"  {name.removesuffix('_bytes').replace('_', ' ')}: {cut(text, 100)}" + (f"  ({age})" if age else "")


def _agent(runtime: Document, now_ms: int) -> str:
    from caisey.cli import spans

    bridges = " and ".join(runtime.get("bridges") or [])
    answered = spans.ago(runtime.get("last_proof_at"), now_ms)
    parts = [
        f"agent {runtime['id']}",
        f"version {runtime['version']}" if runtime.get("version") else "",
        f"by {bridges}" if bridges else "not connected",
        f"answered {answered}" if answered else "",
        "revoked" if runtime.get("revoked_at") else "",
        "two may hold its key" if runtime.get("suspected_since") else "",
    ]
    return ", ".join(part for part in parts if part)


def _times(uses: int) -> str:
    return "once" if uses == 1 else f"{uses} times"


# -- doing ------------------------------------------------------------------------------------------------------------


def _sure(run: Run, question: str, yes: bool) -> None:
    if yes:
        return
    if not run.terminal.can_ask:
        raise UsageFault("A yes is needed", hint="Add --yes.")
    if not run.terminal.ask(question):
        run.terminal.say("Nothing was changed.", "plain")
        raise typer.Exit(1)


def _runtime_ids(item: Document) -> frozenset[str]:
    return frozenset(runtime["id"] for runtime in item.get("runtimes") or [])


def _await(run: Run, before: dict[str, frozenset[str]], uses: int) -> None:
    """Until as many agents are new and ready as may join; the organization's stream says when to look."""
    from caisey.cli.faults import CliFault
    from caisey.cli.feed import EventFeed
    from caisey.cli.follow import GIVE_UP_S

    feed = EventFeed(run.api, "/stream", "", give_up_s=GIVE_UP_S)
    feed.start()
    told: set[str] = set()
    left = uses
    try:
        while left > 0:
            for item in run.api.items("/endpoints"):
                new = _runtime_ids(item) - before.get(item["id"], frozenset()) - told
                if new and (item.get("sendable") or {}).get("value"):
                    told |= new
                    left -= len(new)
                    run.terminal.say(f"{item['name']} is there. {ready(item, run.api.now_ms())}.", "done")
                    run.terminal.say(f"  caisey prompt {item['name']} -- uptime")
            if left <= 0:
                break
            run.terminal.status("Waiting for the computer. Ctrl-C stops the waiting only.")
            happened = next_item(feed)
            if isinstance(happened, CliFault):
                raise happened
    except KeyboardInterrupt as interrupt:
        run.terminal.clear_status()
        run.terminal.say("Left. The command can still be used.", "wait")
        raise typer.Exit(exit_codes.DETACHED) from interrupt
    finally:
        feed.stop()
        run.terminal.clear_status()


LOOK_AGAIN_S = 5.0


def next_item(feed: Any) -> Any:
    """What happened next; None when nothing did for a while, since not every change is told on the stream."""
    from queue import Empty

    try:
        return feed.items.get(timeout=LOOK_AGAIN_S)
    except Empty:
        return None
