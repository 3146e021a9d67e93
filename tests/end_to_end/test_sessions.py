"""Sessions: side by side, behind one another, closing; RECOVERY.md §2 the stalled notice; attention; policy."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.end_to_end import views
from tests.end_to_end.client import Api, problem_of, shell
from tests.end_to_end.fleet import POLICY, Desk, Fleet
from tests.foreign.work import Gate, Work, answers, by_command, runs_until, silent


def test_reads_run_side_by_side(desk: Desk) -> None:
    """§4: "Prompts of one session run side by side up to the runtime's limit"."""
    gates = [Gate() for _ in range(3)]
    desk.runtime.script = by_command(**{f"n{i}": runs_until(gate) for i, gate in enumerate(gates)})
    prompts = [desk.ask(shell(f"n{i}")) for i in range(3)]
    for prompt in prompts:
        desk.api.wait_state(prompt, "started")
    for gate in gates:
        gate.open()
    for prompt in prompts:
        desk.api.wait_verdict(prompt, ("answered", "yes"))


def test_mutating_prompts_of_a_session_wait_for_each_other(desk: Desk) -> None:
    """§4: "a prompt with mutating steps waits behind another one that has such steps open"."""
    gate = Gate()
    desk.runtime.script = by_command(first=runs_until(gate))
    first = desk.api.wait_state(desk.ask(shell("first", "mutating")), "started")
    second = desk.ask(shell("second", "mutating"))
    third = desk.ask(shell("third", "read_only"))
    desk.api.wait_verdict(third, ("answered", "yes"))
    desk.runtime.heartbeats_pass(2)
    assert [f["arguments"]["command"] for f in desk.runtime.dispatches()] == ["first", "third"]
    gate.open()
    desk.api.wait_verdict(first, ("answered", "yes"))
    desk.api.wait_verdict(second, ("answered", "yes"))


def test_steps_of_a_prompt_go_in_order(desk: Desk) -> None:
    """§1 tool call: "one step of a prompt … in order"."""
    prompt = desk.ask(*[shell(f"step {n}") for n in range(6)])
    desk.api.wait_verdict(prompt, ("answered", "yes"), step=6)
    assert [f["arguments"]["command"] for f in desk.runtime.dispatches()] == [f"step {n}" for n in range(6)]


def test_limits_reach_the_runtime(desk: Desk) -> None:
    """API.md: `limits?` of a call; PROTOCOL §4: `limits` of a dispatch."""
    desk.answered(shell("x", limits={"time_ms": 1234}))
    assert desk.runtime.dispatches()[0]["limits"]["time_ms"] == 1234


def test_the_dispatch_is_what_was_asked(desk: Desk) -> None:
    """PROTOCOL §4 `dispatch`, field by field."""
    prompt = desk.answered(shell("echo ü 𝄞", "idempotent"))
    frame = desk.runtime.dispatches()[0]
    assert frame["attempt"] == {"tool_call_id": views.call(prompt)["id"], "number": 1}
    assert frame["consent"] == 1
    assert frame["session_id"] == desk.session_id
    assert (frame["tool"], frame["tool_version"]) == ("shell", 1)
    assert frame["arguments"] == {"command": "echo ü 𝄞"}
    assert frame["effect"] == "idempotent"
    assert frame["journal_id"] == desk.runtime.journal.journal_id


def test_closing_lists_what_is_open(desk: Desk) -> None:
    """API.md: "`409 session.open_work` lists what is open, each to drop or keep"."""
    gate = Gate()
    prompt = desk.api.wait_state(desk.ask(shell("x", "mutating"), script=runs_until(gate)), "started")
    path = f"/sessions/{desk.session_id}/close"
    status, problem = desk.api.problem("POST", path, {"outcome": "solved", "verified": True})
    assert (status, problem["code"]) == (409, "session.open_work")
    assert views.call(prompt)["id"] in json.dumps(problem)
    gate.open()
    desk.api.wait_verdict(prompt, ("answered", "yes"))
    desk.api.post(path, {"outcome": "solved", "verified": True})
    status, _ = desk.api.problem("POST", f"/sessions/{desk.session_id}/prompts", {"tool_calls": [shell()]})
    assert status in (409, 422)


def test_a_session_can_be_handed_over(desk: Desk) -> None:
    """API.md: `GET/PATCH /sessions/{id}` (owner, title, ticket)."""
    desk.api.write("PATCH", f"/sessions/{desk.session_id}", {"title": "printer", "ticket": "4711"})
    shown = desk.api.get(f"/sessions/{desk.session_id}")
    assert (shown["title"], shown["ticket"]) == ("printer", "4711")
    assert shown["owner"]


@pytest.mark.parametrize(
    "progress",
    [{"waiting_for_input": True}, {"waiting_for_input": False, "cpu_ms": 10}],
    ids=["waits for input", "silent and idle"],
)
def test_a_silent_command_gets_a_notice_and_goes_on(desk: Desk, progress: dict[str, Any]) -> None:
    """§2: "One that shows none for `stall_after` gets the notice `stalled` …; it ends nothing"."""
    desk.policy(stall_after_s=0.5)
    gate = Gate()

    async def script(work: Work) -> None:
        await work.start()
        await work.output(b"Continue? [y/n] ")
        await work.progress(last_output_ms=1, **progress)
        await gate.passed()
        await work.progress(last_output_ms=1, **progress)
        await work.finish()

    prompt = desk.api.wait_state(desk.ask(script=script), "started")
    prompt = desk.api.wait(prompt, lambda p: "stalled" in views.evidence_types(views.last(p)), what="the notice")
    assert views.last(prompt)["state"] == "started"
    gate.open()
    desk.api.wait_verdict(prompt, ("answered", "yes"))


def test_attention_says_what_waits_and_why(desk: Desk) -> None:
    """API.md `GET /attention`: `items[]` {`type`, `label`, `since`, `due_at`, `owner`, …}."""
    desk.policy(max_automatic=0, automatic_for=[])
    prompt = desk.api.wait_waiting(desk.ask(shell("x", "mutating"), script=silent))
    items = desk.api.get("/attention", limit=200)["items"]
    item = next(i for i in items if i["tool_call_id"] == views.call(prompt)["id"])
    assert set(item) >= {
        "type", "label", "since", "due_at", "owner", "session_id", "prompt_id", "tool_call_id", "endpoint_id",
        "client_group_id",
    }  # fmt: skip
    assert item["session_id"] == desk.session_id
    assert item["prompt_id"] == prompt["id"]
    assert item["endpoint_id"] == desk.endpoint_id
    assert item["due_at"], "the next reminder"
    desk.runtime.script = answers()
    desk.api.act(prompt, "requeue")
    desk.api.wait_verdict(prompt, ("answered", "yes"))
    items = desk.api.get("/attention", limit=200)["items"]
    assert views.call(prompt)["id"] not in [i["tool_call_id"] for i in items]


def effective(api: Api, endpoint_id: str) -> Any:
    return api.get("/policies/effective", endpoint=endpoint_id)


def test_policy_is_inherited_and_says_from_where(api: Api, desk: Desk) -> None:
    """§6: "organization → client group → environment tag → endpoint"; "the effective one says for each field where it
    comes from"."""
    text = json.dumps(effective(api, desk.endpoint_id))
    for field in ("ack_window_s", "max_automatic", "stall_after_s", "when_unhealthy", "escalate_to"):
        assert field in text
    assert "organization" in text
    desk.policy(max_automatic=7)
    fields = effective(api, desk.endpoint_id)
    field = fields.get("fields", fields)["max_automatic"]
    assert field["value"] == 7
    assert "endpoint" in json.dumps(field)
    assert fields.get("fields", fields)["ack_window_s"]["value"] == POLICY["ack_window_s"]


def test_the_policy_of_a_group(api: Api, fleet: Fleet) -> None:
    """API.md: `GET/PUT /client-groups/{id}/policy`; "a body holds only the fields it sets"."""
    group = api.post("/client-groups", {"name": "Library"})["id"]
    runtime = fleet.runtime(token=fleet.token("client_group", client_group_id=group))
    api.put(f"/client-groups/{group}/policy", {"max_automatic": 5})
    fields = effective(api, runtime.endpoint_id)
    assert fields.get("fields", fields)["max_automatic"]["value"] == 5
    assert "max_automatic" in json.dumps(api.get(f"/client-groups/{group}/policy"))
    assert "ack_window_s" not in json.dumps({k: v for k, v in api.get(f"/client-groups/{group}/policy").items() if v})


@pytest.mark.parametrize(
    "body",
    [
        {"ack_window_s": -1}, {"ack_window_s": "soon"}, {"max_automatic": 1.5}, {"when_unhealthy": "panic"},
        {"automatic_for": ["everything"]}, {"ack_window": 5}, {"missed_to_unhealthy": 0}, [], {"hold_expiry_s": 1e300},
    ],
    ids=str,
)  # fmt: skip
def test_a_policy_that_is_none(api: Api, desk: Desk, body: Any) -> None:
    """API.md: the fields of a policy; a bad one changes nothing."""
    before = effective(api, desk.endpoint_id)
    status, _ = problem_of(api.send("PUT", f"/endpoints/{desk.endpoint_id}/policy", body))
    assert status in (400, 422)
    assert effective(api, desk.endpoint_id) == before
