"""PROTOCOL.md §2: tokens, keys, and which computer a new runtime belongs to."""

from __future__ import annotations

from typing import Any

import pytest

from tests.end_to_end.client import Api
from tests.end_to_end.fleet import Fleet, next_address
from tests.end_to_end.server import until
from tests.foreign.runtime import Runtime
from tests.foreign.wire import Keys


def unborn(fleet: Fleet, **more: Any) -> Runtime:
    """A runtime that is not enrolled yet."""
    return fleet.runtime(enroll=False, **more)


def refused(runtime: Runtime, body: Any) -> tuple[int, str]:
    status, answer = runtime.post_enrollment(body)
    assert status >= 400, (status, answer)
    return status, answer["code"]


def test_enrollment_names_everything(fleet: Fleet, api: Api) -> None:
    """§2: the answer, and that the end of the token names the key of the control plane."""
    runtime = unborn(fleet)
    answer = runtime.enroll(fleet.token())
    assert answer["runtime_id"].startswith("rtm_")
    assert answer["endpoint_id"].startswith("ept_")
    assert answer["organization"]
    assert answer["client_group"] is None
    shown = api.get(f"/endpoints/{answer['endpoint_id']}")
    assert shown["health"] == "never_seen"
    assert [r["id"] for r in shown["runtimes"]] == [answer["runtime_id"]]


def test_the_same_token_with_the_same_key_gets_the_first_answer_again(fleet: Fleet) -> None:
    """§2: a lost answer is no lost token."""
    runtime, token = unborn(fleet), fleet.token()
    first = runtime.post_enrollment(runtime.enrollment(token))
    again = runtime.post_enrollment(runtime.enrollment(token))
    assert first[0] == 201
    assert again[0] in (200, 201)
    assert first[1] == again[1]


def test_a_token_is_used_up(fleet: Fleet) -> None:
    """§2: "has uses (default 1)"; `401 enrollment.token_used_up`."""
    token = fleet.token()
    unborn(fleet).enroll(token)
    late = unborn(fleet)
    assert refused(late, late.enrollment(token)) == (401, "enrollment.token_used_up")


def test_a_token_with_two_uses(fleet: Fleet) -> None:
    """§2: "has uses"."""
    token = fleet.token(uses=2)
    assert unborn(fleet).enroll(token)["endpoint_id"] != unborn(fleet).enroll(token)["endpoint_id"]
    late = unborn(fleet)
    assert refused(late, late.enrollment(token)) == (401, "enrollment.token_used_up")


def test_a_token_ends(fleet: Fleet) -> None:
    """§2: "and an end (default 1 h)"; `401 enrollment.token_expired`."""
    token = fleet.token(expires_in_s=1, uses=50)
    late = unborn(fleet)

    def expired() -> bool:
        # Each look is another key, so that no first answer is repeated.
        status, answer = late.post_enrollment(late.enrollment(token, public_key=Keys().public))
        return status == 401 and answer["code"] == "enrollment.token_expired"

    fleet.runtime().heartbeats_pass(3)
    until(expired, within=20, what="the token has expired", pause=0.5)


@pytest.mark.parametrize("token", ["cse_nonsense", "cse_x.y", "", "cst_" + "a" * 40, "x" * 10_000])
def test_a_token_that_is_none(fleet: Fleet, token: str) -> None:
    """§2: `401 enrollment.token_invalid`."""
    runtime = unborn(fleet)
    status, code = refused(runtime, runtime.enrollment(token))
    assert (status, code) in ((401, "enrollment.token_invalid"), (422, "enrollment.invalid_shape"))


def test_rotating_ends_the_old_one_at_once(fleet: Fleet, api: Api) -> None:
    """§2: "rotating ends the old one at once"; API.md: `POST …/{id}/rotate`."""
    made = api.post("/enrollment-tokens", {"scope": "organization", "uses": 5, "expires_in_s": 600})
    rotated = api.post(f"/enrollment-tokens/{made['id']}/rotate")
    assert rotated["token"] != made["token"]
    late = unborn(fleet)
    assert refused(late, late.enrollment(made["token"]))[0] == 401
    assert late.enroll(rotated["token"])


def test_a_deleted_token_is_invalid(fleet: Fleet, api: Api) -> None:
    """API.md: `DELETE …/{id}`."""
    made = api.post("/enrollment-tokens", {"scope": "organization"})
    api.write("DELETE", f"/enrollment-tokens/{made['id']}")
    late = unborn(fleet)
    assert refused(late, late.enrollment(made["token"]))[0] == 401


def test_the_secret_is_shown_once(api: Api) -> None:
    """§2: "only its hash is stored"; API.md: "`command`: what to paste on the endpoint, per OS"."""
    made = api.post("/enrollment-tokens", {"scope": "organization"})
    assert made["token"].startswith("cse_")
    assert made["token"] in str(made["command"])
    listed = str(api.get("/enrollment-tokens", limit=200))
    assert made["id"] in listed
    assert made["token"] not in listed


def test_a_key_is_enrolled_once(fleet: Fleet) -> None:
    """§2: `409 enrollment.key_already_enrolled`."""
    runtime = unborn(fleet)
    runtime.enroll(fleet.token())
    assert refused(runtime, runtime.enrollment(fleet.token())) == (409, "enrollment.key_already_enrolled")


@pytest.mark.parametrize(
    "change",
    [
        {"public_key": "c2hvcnQ="},
        {"public_key": 7},
        {"public_key": "not base64!"},
        {"journal_id": "x" * 65},
        {"journal_id": "spaces are not allowed"},
        {"endpoint": None},
        {"endpoint": {"hostname": "x"}},
        {"runtime_version": []},
    ],
)
def test_an_invalid_shape(fleet: Fleet, change: dict[str, Any]) -> None:
    """§2: `422 enrollment.invalid_shape`; ids are "at most 64 characters of `[A-Za-z0-9_-]`"."""
    runtime, token = unborn(fleet), fleet.token()
    assert refused(runtime, runtime.enrollment(token, **change)) == (422, "enrollment.invalid_shape")
    assert runtime.enroll(token), "a malformed request uses no token up"


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '{"token":1}', b"\xff\xfe", "[" * 100_000])
def test_no_body_breaks_it(fleet: Fleet, body: str | bytes) -> None:
    """RECOVERY §9, 7, at the door of enrollment."""
    status, code = refused(unborn(fleet), body)
    assert status in (400, 413, 422)
    assert code.startswith(("enrollment.", "request.", "body."))


def test_the_same_computer_joins_its_endpoint_by_the_same_journal(fleet: Fleet) -> None:
    """§2: "joins an existing endpoint … only where the token's scope covers that endpoint's client group **and** the
    `journal_id` is the same or the token's scope is that endpoint"."""
    first = fleet.runtime()
    second = unborn(fleet, journal=first.journal, machine=first.machine)
    assert second.enroll(fleet.token())["endpoint_id"] == first.endpoint_id


def test_the_same_computer_joins_its_endpoint_by_a_token_of_its_own(fleet: Fleet) -> None:
    """§2, the other half: "or the token's scope is that endpoint"."""
    first = fleet.runtime()
    second = unborn(fleet, machine=first.machine)
    assert second.enroll(fleet.token("endpoint", endpoint_id=first.endpoint_id))["endpoint_id"] == first.endpoint_id


def test_a_like_computer_becomes_a_new_endpoint_and_a_person_may_join_them(fleet: Fleet, api: Api) -> None:
    """§2: "else it is a new endpoint, marked as like the other (attention `endpoint.fingerprint_shared`); a person may
    join them"; API.md `POST /endpoints/{id}/join` {`with`}."""
    first = fleet.runtime()
    second = fleet.runtime(machine=first.machine)
    assert second.endpoint_id != first.endpoint_id
    ours = {first.endpoint_id, second.endpoint_id}

    def shared() -> list[Any]:
        items = api.get("/attention", limit=200)["items"]
        return [i for i in items if i["type"] == "endpoint.fingerprint_shared" and i["endpoint_id"] in ours]

    until(shared, within=10, what="attention says that the fingerprint is shared")
    api.post(f"/endpoints/{first.endpoint_id}/join", {"with": second.endpoint_id})
    until(lambda: not shared(), within=10, what="nothing to decide is left")
    shown = api.get(f"/endpoints/{first.endpoint_id}")["runtimes"]
    assert {r["id"] for r in shown} == {first.runtime_id, second.runtime_id}


def test_a_token_of_a_group_puts_it_there(fleet: Fleet, api: Api) -> None:
    """§2: "bound to an organization, a client group or one endpoint"."""
    group = api.post("/client-groups", {"name": "Bakery"})
    runtime = unborn(fleet)
    answer = runtime.enroll(fleet.token("client_group", client_group_id=group["id"]))
    assert answer["client_group"] in (group["id"], "Bakery")
    listed = api.get("/endpoints", client_group=group["id"])["items"]
    assert [e["id"] for e in listed] == [runtime.endpoint_id]


def test_a_group_token_does_not_reach_another_groups_endpoint(fleet: Fleet, api: Api) -> None:
    """§2: joins "only where the token's scope covers that endpoint's client group"."""
    one, two = (api.post("/client-groups", {"name": name}) for name in ("Garage", "Florist"))
    first = unborn(fleet)
    first.enroll(fleet.token("client_group", client_group_id=one["id"]))
    second = unborn(fleet, machine=first.machine, journal=first.journal)
    answer = second.enroll(fleet.token("client_group", client_group_id=two["id"]))
    assert answer["endpoint_id"] != first.endpoint_id


def test_enrollments_are_limited_per_address(fleet: Fleet) -> None:
    """§9: "enrollments 20 per minute and address"."""
    runtime = unborn(fleet)
    runtime.address = next_address()
    seen = [runtime.post_enrollment(runtime.enrollment("cse_no.no"))[0] for _ in range(25)]
    assert 429 in seen
    assert 429 not in seen[:20]
    elsewhere = unborn(fleet)
    assert elsewhere.enroll(fleet.token())
