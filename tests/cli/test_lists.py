"""The lists and the small changes: what each command asks of the API, and what it prints."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.cli import program
from tests.cli.conftest import Cli
from tests.cli.stub_server import Stub, problem, stamp

Json = dict[str, Any]
LONG = "a title that is much longer than any terminal is wide, so that something has to give way somewhere here"


@pytest.fixture
def full(stub: Stub) -> Stub:
    """A control plane with something in every list."""
    endpoint_id = next(iter(stub.endpoints))
    stub.sessions["ses_1"] = {
        "id": "ses_" + "1" * 26, "endpoint_id": endpoint_id, "title": LONG, "ticket": "4711", "owner": "usr_1",
        "state": "open", "created_at": stamp(), "updated_at": stamp(),
    }  # fmt: skip
    stub.lists |= {
        "/attention": [
            {
                "type": "runtime_died", "label": "Stopped at step 2", "since": stamp(), "due_at": None,
                "owner": "usr_1", "session_id": "ses_1", "prompt_id": "pmt_" + "2" * 26, "tool_call_id": "tcl_1",
                "endpoint_id": endpoint_id, "reason": "may have changed the computer",
            }
        ],
        "/tools": [
            {
                "name": "service", "version": 1, "effect": "mutating", "effect_by_call": False,
                "platforms": ["linux", "windows", "macos"],
                "arguments_schema": {
                    "type": "object", "required": ["name"],
                    "properties": {"name": {"type": "string"}, "action": {"enum": ["start", "stop"]}},
                },
            }
        ],
        "/tokens": [{"id": "tok_1", "name": "ci", "role": "viewer", "client_group_ids": ["grp_1"], "expires_at": None}],
        "/members": [{"id": "usr_1", "name": "", "email": "m@x.example", "role": "owner", "client_group_ids": None}],
        "/client-groups": [{"id": "grp_1", "name": "Acme", "created_at": stamp()}],
        "/reports/recovery": [
            {
                "group": {"kind": "orphaned"}, "stalls": 3, "by_verdict": {"orphaned": 3}, "by_ran": {"no": 3},
                "seconds_until_known": {"p50": 10.1, "p90": 10.4, "max": 11.0}, "recovered_without_a_person": 2,
                "recovered_by_a_person": 1, "not_recovered": 0,
            }
        ],
        "/reports/shapes": [
            {
                "group": {"fingerprint": "abcd"}, "count": 4, "endpoints": 3, "likelier_cause": "tool",
                "why": "The same shape on 3 computers.", "tools": ["service 1"],
                "shapes": [{"errors": [{"pointer": "/state", "expected": "string", "found": "integer"}]}],
            }
        ],
    }  # fmt: skip
    return stub


LISTS = [
    (["endpoints"], "ACCT-07"),
    (["sessions"], "ses_" + "1" * 26),
    (["attention"], "Stopped at step 2"),
    (["tools"], "service"),
    (["tokens"], "tok_1"),
    (["members"], "m@x.example"),
    (["groups"], "Acme"),
    (["recovery"], "orphaned"),
]


@pytest.mark.parametrize(("command", "text"), LISTS, ids=lambda value: value[0] if isinstance(value, list) else "")
def test_a_list_in_a_pipe_is_whole_and_plain(full: Stub, caisey: Cli, command: list[str], text: str) -> None:
    done = caisey(*command)
    assert done.code == 0, done
    assert text in done.out
    assert "\x1b" not in done.out
    if command == ["sessions"]:
        assert LONG in done.out
    as_json = caisey(*command, "--json")
    assert as_json.code == 0
    assert isinstance(json.loads(as_json.out)["items"], list)
    assert as_json.err == ""


@pytest.mark.parametrize("command", [["sessions"], ["attention"], ["tools"]], ids=lambda value: value[0])
def test_a_list_fits_a_terminal_of_80_columns(full: Stub, env: dict[str, str], command: list[str]) -> None:
    with program.on_terminal(command, {**env, "NO_COLOR": "1"}) as terminal:
        assert terminal.end() == 0
    lines = terminal.seen.replace("\r", "").split("\n")
    assert max(map(len, lines)) <= 80, terminal.seen
    if command == ["sessions"]:
        assert any("ses_" + "1" * 26 in line for line in lines), "an id that is to be copied is never broken"


def test_hostile_names_in_a_table(full: Stub, env: dict[str, str], caisey: Cli) -> None:
    full.endpoint("[red]EVIL\x1b[2J\u202e\n", facts={"os_version": {"value": "[link=http://x]W\x9b1m[/link]"}})
    for text in (caisey("endpoints").out, _on_terminal(env, ["endpoints"])):
        assert "[red]EVIL␛[2J\\u202e␊" in text
        assert "\u202e" not in text
        assert "\x9b" not in text
        assert "\x1b[2J" not in text


def _on_terminal(env: dict[str, str], command: list[str]) -> str:
    with program.on_terminal(command, {**env, "COLUMNS": "200"}) as terminal:
        assert terminal.end() == 0
    return terminal.seen


def test_every_page_is_read(stub: Stub, caisey: Cli) -> None:
    for number in range(450):
        stub.endpoint(f"PC-{number:03d}")
    names = [item["name"] for item in json.loads(caisey("endpoints", "--most", "430", "--json").out)["items"]]
    assert names == ["ACCT-07", *(f"PC-{number:03d}" for number in range(429))]
    asked = [request.query for request in stub.sent("GET", "/endpoints")]
    assert [query["limit"] for query in asked] == ["200", "200", "30"]


def test_nothing_is_said_where_nothing_is(stub: Stub, caisey: Cli) -> None:
    stub.lists["/attention"] = []
    done = caisey("attention")
    assert (done.code, done.out) == (0, "")
    assert "Nothing needs you." in done.err
    stub.lists["/reports/shapes"] = []
    assert "No malformed calls" in caisey("shapes").err


def test_shapes_say_the_likelier_cause(full: Stub, caisey: Cli) -> None:
    done = caisey("shapes", "--by", "tool", "--from", "2026-11-01")
    assert "likelier cause: tool. The same shape on 3 computers." in done.out
    assert "/state: expected string, found integer" in done.out
    [asked] = full.sent("GET", "/reports/shapes")
    assert asked.query["group_by"] == "tool"
    assert asked.query["from"].startswith("2026-1")
    assert caisey("shapes", "--from", "yesterday").code == 2


class Change(NamedTuple):
    """A command line, and the one write that it is."""

    words: str
    method: str
    path: str
    body: Json | None = None


ENDPOINT = "/endpoints/ept_0+"
CHANGES = [
    Change(
        "sessions edit ses_9 --title new --owner usr_2", "PATCH", "/sessions/ses_9", {"title": "new", "owner": "usr_2"}
    ),
    Change(
        "tokens create --role viewer --group grp_1 --expires-in 30d",
        "POST",
        "/tokens",
        {"role": "viewer", "name": "", "client_group_ids": ["grp_1"], "expires_in_s": 2_592_000},
    ),
    Change("tokens revoke tok_9", "DELETE", "/tokens/tok_9"),
    Change(
        "members add a@b.example --role admin --name A",
        "POST",
        "/members",
        {"email": "a@b.example", "role": "admin", "name": "A", "client_group_ids": None},
    ),
    Change(
        "members edit usr_9 --role viewer --all-groups",
        "PATCH",
        "/members/usr_9",
        {"role": "viewer", "client_group_ids": None},
    ),
    Change(
        "members edit usr_9 --group-role grp_1=admin --group-role grp_2=none",
        "PATCH",
        "/members/usr_9",
        {
            "group_roles": [
                {"client_group_id": "grp_1", "role": "admin"},
                {"client_group_id": "grp_2", "role": "none"},
            ]
        },
    ),
    Change("members edit usr_9 --no-group-roles", "PATCH", "/members/usr_9", {"group_roles": []}),
    Change(
        "tokens create --role viewer --group-role grp_1=technician",
        "POST",
        "/tokens",
        {
            "role": "viewer",
            "name": "",
            "client_group_ids": None,
            "group_roles": [{"client_group_id": "grp_1", "role": "technician"}],
        },
    ),
    Change("members remove usr_9", "DELETE", "/members/usr_9"),
    Change("members sign-out usr_9", "POST", "/members/usr_9/sign-out"),
    Change("members invite usr_9", "POST", "/members/usr_9/link", {"clear_second_factor": False}),
    Change("members invite usr_9 --clear-second-factor", "POST", "/members/usr_9/link", {"clear_second_factor": True}),
    Change("groups add Acme", "POST", "/client-groups", {"name": "Acme"}),
    Change(
        "endpoints edit ACCT-07 --name B --tag x --tag y --group ''",
        "PATCH",
        ENDPOINT,
        {"name": "B", "tags": ["x", "y"], "client_group_id": None},
    ),
    Change("endpoints edit ACCT-07 --restore", "PATCH", ENDPOINT, {"removing": False}),
    Change("endpoints remove ACCT-07 --yes", "DELETE", ENDPOINT),
    Change(
        "endpoints reviewed ACCT-07 --reason 'put back on purpose'",
        "POST",
        f"{ENDPOINT}/journal-reviewed",
        {"reason": "put back on purpose"},
    ),
    Change("endpoints accept-runtime rtm_9 --reason moved", "POST", "/runtimes/rtm_9/accept", {"reason": "moved"}),
    Change(
        "endpoints revoke-runtime rtm_9 --reason stolen --compromised --yes",
        "POST",
        "/runtimes/rtm_9/revoke",
        {"reason": "stolen", "compromised": True},
    ),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.words)
def test_a_change_is_one_write_with_a_key(full: Stub, caisey: Cli, change: Change) -> None:
    full.anything_goes = {"id": "made_1", "token": "cst_secret", "url": "https://x.example/join/secret"}
    done = caisey(*shlex.split(change.words))
    assert done.code == 0, done
    [sent] = full.sent(change.method, change.path)
    assert sent.body == change.body
    assert sent.headers["idempotency-key"]


def test_joining_names_both_and_asks(full: Stub, env: dict[str, str]) -> None:
    other = full.endpoint("ACCT-07-new")
    full.anything_goes = {"id": "x"}
    with program.on_terminal(["endpoints", "join", "ACCT-07", "ACCT-07-new"], env) as terminal:
        assert "Make ACCT-07-new" in terminal.read_until("[y/N]")
        terminal.type("yes\r")
        assert terminal.end() == 0
    [sent] = full.sent("POST", "/endpoints/.*/join")
    assert sent.body == {"with": other}


def test_a_new_token_is_the_only_thing_on_stdout(full: Stub, caisey: Cli) -> None:
    full.anything_goes = {"id": "tok_1", "token": "cst_secret"}
    assert caisey("tokens", "create", "--role", "viewer").out == "cst_secret\n"
    assert json.loads(caisey("tokens", "create", "--role", "viewer", "--json").out)["token"] == "cst_secret"
    assert caisey("tokens", "create", "--role", "king").code == 2
    for wrong in ("grp_1", "=viewer", "grp_1=king", "grp_1=owner"):
        refused = caisey("members", "edit", "usr_9", "--group-role", wrong)
        assert (refused.code, "is not ID=ROLE" in refused.err) == (2, True)


def test_a_one_time_link_is_the_only_thing_on_stdout(full: Stub, caisey: Cli) -> None:
    full.anything_goes = {"kind": "invitation", "url": "https://x.example/join/secret", "expires_at": "2026-11-25"}
    done = caisey("members", "invite", "usr_9")
    assert done.out == "https://x.example/join/secret\n"
    assert "in private" in done.err
    full.anything_goes = {"kind": "invitation", "url": "/join/secret", "expires_at": "2026-11-25"}
    assert "Put the console's address before it" in caisey("members", "invite", "usr_9").err


def test_policy_of_each_level(full: Stub, caisey: Cli) -> None:
    group_path = "/client-groups/grp_1/policy"
    full.documents[group_path] = {"max_automatic": 1, "hold_expiry_s": 60}
    full.anything_goes = {}
    words = ["ack_window_s=20s", "automatic_for=read_only,idempotent", "escalate_to=night shift", "max_automatic="]
    assert caisey("policy", "set", "--group", "grp_1", *words).code == 0
    [sent] = full.sent("PUT", group_path)
    assert sent.body == {
        "hold_expiry_s": 60,
        "ack_window_s": 20,
        "automatic_for": ["read_only", "idempotent"],
        "escalate_to": "night shift",
    }
    assert "max_automatic  1" in caisey("policy", "show", "--group", "grp_1").out
    full.documents["/policies/effective"] = {"ack_window_s": {"value": 10, "from": "client_group"}}
    assert "ack_window_s  10 s   client group" in caisey("policy", "effective", "ACCT-07").out
    assert caisey("policy", "set", "nonsense").code == 2
    assert caisey("policy", "show", "--group", "a", "--tag", "b").code == 2


def test_closing_a_session_with_open_work_names_it(full: Stub, caisey: Cli) -> None:
    full.fail(
        "POST", "/sessions/ses_9/close",
        answer=problem(409, "session.open_work", "Open work", open=[{"id": "tcl_5", "label": "Running"}]),
    )  # fmt: skip
    done = caisey("sessions", "close", "ses_9", "--outcome", "done")
    assert done.code == 1
    assert "--drop tcl_5 or --keep tcl_5  Running" in done.err


def test_events_of_a_session_as_lines(stub: Stub, caisey: Cli, env: dict[str, str]) -> None:
    prompt = stub.add_prompt("ses_1", [{"tool": "shell", "arguments": {"command": "x"}}])
    stub.started(prompt)
    lines = caisey("sessions", "events", "ses_1", "--json").out.splitlines()
    types = [json.loads(line)["type"] for line in lines]
    assert types[0] == "prompt.accepted"
    assert types[-1] == "attempt.started"
    with program.with_pipes(["sessions", "events", "ses_1", "--follow", "--json"], env) as process:
        for wanted in types:
            assert json.loads(process.stdout_line())["type"] == wanted
        stub.cut_streams()
        stub.ended(prompt, "answered", "yes")
        assert json.loads(process.stdout_line())["type"] == "attempt.ended"


def test_a_transcript_goes_where_it_is_wanted(stub: Stub, caisey: Cli, env: dict[str, str], tmp_path: Path) -> None:
    stub.texts["/sessions/ses_1/transcript"] = ("text/markdown", b"# Session\n\x1b[31mred\n")
    assert program.run_for_bytes(["transcript", "ses_1"], env) == b"# Session\n\x1b[31mred\n"
    with program.on_terminal(["transcript", "ses_1"], env) as terminal:
        assert terminal.end() == 0
    assert "␛[31mred" in terminal.seen
    assert "\x1b[31m" not in terminal.seen
    assert caisey("transcript", "ses_1", "-o", str(tmp_path / "t.md")).code == 0
    assert (tmp_path / "t.md").read_bytes() == b"# Session\n\x1b[31mred\n"
    assert caisey("transcript", "ses_1", "--format", "pdf").code == 2


def test_the_bytes_of_a_step(stub: Stub, caisey: Cli, env: dict[str, str]) -> None:
    prompt = stub.add_prompt("ses_1", [{"tool": "shell", "arguments": {"command": "x"}}])
    stub.started(prompt)
    stub.output(prompt, b"\x00\xff\x1b[1m")
    call_id = prompt["tool_calls"][0]["id"]
    assert program.run_for_bytes(["output", call_id, "--raw"], env) == b"\x00\xff\x1b[1m"
    assert caisey("output", prompt["id"]).out == "␀\\xff␛[1m"


def test_adding_a_computer_waits_until_it_is_there(stub: Stub, env: dict[str, str], caisey: Cli) -> None:
    made = {"id": "tok_1", "token": "cse_x", "command": {"linux": "enroll --linux", "windows": "enroll --windows"}}
    stub.anything_goes = made
    with program.on_terminal(["endpoints", "add", "--group", "grp_1", "--valid", "2h"], env) as terminal:
        terminal.read_until("enroll --linux")
        terminal.read_until("Waiting for the computer.")
        stub.endpoint("NEW-1", runtimes=[{"id": "rtm_new"}], sendable={"value": False, "reason": "offline"})
        stub.note({"session_id": "*"}, "endpoint.enrolled")
        with stub.changed:
            list(stub.endpoints.values())[-1]["sendable"] = {"value": True, "proved_at": stamp()}
        stub.note({"session_id": "*"}, "endpoint.health_changed")
        terminal.read_until("NEW-1 is there. Ready.")
        terminal.read_until("caisey prompt NEW-1 -- uptime")
        assert terminal.end() == 0
    [sent] = stub.sent("POST", "/enrollment-tokens")
    assert sent.body == {"scope": "client_group", "client_group_id": "grp_1", "uses": 1, "expires_in_s": 7200}
    done = caisey("endpoints", "add", "--json")
    assert json.loads(done.out)["token"] == "cse_x"


def test_ctrl_c_while_a_computer_is_awaited(stub: Stub, env: dict[str, str]) -> None:
    stub.anything_goes = {"id": "tok_1", "token": "cse_x", "command": {"linux": "enroll --linux"}}
    with program.on_terminal(["endpoints", "add"], env) as terminal:
        terminal.read_until("Waiting for the computer.")
        terminal.type("\x03")
        assert terminal.end() == 130
    assert "The command can still be used." in terminal.seen


def test_a_tool_with_an_example(full: Stub, caisey: Cli) -> None:
    full.documents["/tools/service/1"] = full.lists["/tools"][0]
    done = caisey("tools", "show", "service")
    assert "caisey prompt COMPUTER --tool service --arg name=TEXT" in done.out
    assert caisey("tools", "show", "nothing").code == 1


def test_a_question_has_no_deadline_in_the_past(full: Stub, caisey: Cli) -> None:
    line = full.lists["/attention"][0]
    past = "2020-01-01T00:00:00.000Z"
    full.lists["/attention"] = [line | {"type": "stalled", "label": "It asks a question", "due_at": past}]
    assert " days ago" not in caisey("attention").out
    full.lists["/attention"] = [line | {"type": "timed_out", "due_at": past}]
    assert " days ago" in caisey("attention").out
