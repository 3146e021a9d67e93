"""Adding a computer, without any script: the command, how far it has come, rotate and revoke."""

from __future__ import annotations

import uuid

import pytest

from caisey.web.times import ms_of
from caisey.web.views.adding import STEPS, steps
from tests.api.plane import Api
from tests.web.limited import People

AT = "2027-01-15T08:00:00.000Z"


@pytest.fixture
def group(api: Api) -> str:
    return api.group()


def test_one_command_and_how_far_it_has_come(api: Api, group: str, people: People) -> None:
    admin = people("admin", group)
    page = admin.get("/endpoints/add")
    assert "Any computer of the organization" not in page.text, "that reaches further than the person sees"
    made = admin.submit(page, "/endpoints/add", client_group_id=group, system="linux", uses="2")
    assert made.status == 200
    assert "caisey runtime enroll --url" in made.text
    assert "caisey runtime install" in made.text
    assert "It works 2 times, and ends" in made.text
    assert "Nobody has used the command yet." in made.text
    token = api.get("/enrollment-tokens", limit=1)["items"][0]
    again = admin.get(f"/endpoints/add/{token['id']}")
    assert "The command was shown once." in again.text
    assert "caisey runtime enroll" not in again.text


def test_a_doubled_press_makes_one_command(api: Api, group: str, people: People) -> None:
    admin = people("admin", group)
    form = admin.get("/endpoints/add").form("/endpoints/add")
    fields = dict(form.fields) | {"client_group_id": group}
    before = len(api.get("/enrollment-tokens", limit=200)["items"])
    first, second = admin.post("/endpoints/add", fields), admin.post("/endpoints/add", fields)
    assert "caisey runtime enroll" in first.text
    assert "The command was shown once." in second.text
    assert len(api.get("/enrollment-tokens", limit=200)["items"]) == before + 1


def test_who_joined_is_seen_without_a_script(api: Api, group: str, people: People) -> None:
    admin = people("admin", group)
    made = api.post("/enrollment-tokens", {"scope": "client_group", "client_group_id": group})
    joined = api.enroll(made["token"], hostname='<b>ACCT-07</b>"')
    page = admin.get(f"/endpoints/add/{made['id']}")
    assert "The computer has joined" in page.text
    assert f"/endpoints/{joined['endpoint_id']}" in page.links
    assert "<b>ACCT" not in page.answer.text
    part = admin.send("GET", f"/endpoints/add/{made['id']}", headers={"x-caisey-part": "1"}).text
    assert part.strip().startswith('<section class="card" id="add-steps"')


def test_rotate_and_revoke(api: Api, group: str, people: People) -> None:
    admin = people("admin", group)
    made = api.post("/enrollment-tokens", {"scope": "client_group", "client_group_id": group})
    path = f"/endpoints/add/{made['id']}"
    page = admin.submit(admin.get("/endpoints/add"), f"{path}/rotate")
    assert "caisey runtime enroll" in page.text
    assert made["token"] not in page.answer.text
    assert api.try_to_enroll(made["token"]).status_code == 401
    gone = admin.submit(page, f"{path}/revoke")
    assert "It is over. Computers that joined with it stay." in gone.text
    assert admin.get(path).status == 404


def test_a_second_agent_is_bound_to_its_computer(api: Api, group: str, people: People) -> None:
    endpoint = api.endpoint(group, "ACCT-07")
    admin = people("admin", group)
    page = admin.get(f"/endpoints/add?endpoint={endpoint}")
    assert "One more agent for ACCT-07" in page.text
    made = admin.submit(page, "/endpoints/add")
    assert "caisey runtime enroll" in made.text
    assert any(one["endpoint_id"] == endpoint for one in api.get("/enrollment-tokens", limit=200)["items"])


def test_a_form_that_does_not_fit_keeps_its_fields(group: str, people: People) -> None:
    admin = people("admin", group)
    page = admin.submit(admin.get("/endpoints/add"), "/endpoints/add", client_group_id="", uses="7")
    assert page.status == 422
    assert 'value="7"' in page.answer.text


def test_practice_shows_what_it_plays(group: str, people: People) -> None:
    admin = people("admin", group)
    page = admin.get("/endpoints/add")
    assert "A practice computer executes nothing" in page.text
    assert "practice: no reply" in page.text
    made = admin.submit(page, "/endpoints/add", client_group_id=group, system="practice")
    assert "caisey practice --url" in made.text


def test_it_is_for_admins_and_of_ones_own_groups(api: Api, group: str, people: People) -> None:
    assert people("technician", group).get("/endpoints/add").status == 403
    made = api.post("/enrollment-tokens", {"scope": "client_group", "client_group_id": group})
    stranger = people("admin", api.group(), which="stranger")
    assert made["id"] not in stranger.get("/endpoints/add").answer.text
    assert stranger.get(f"/endpoints/add/{made['id']}").status == 404
    assert stranger.get(f"/endpoints/add/{uuid.uuid4().hex}").status == 404


# -- the steps -------------------------------------------------------------------------------------------------------


def token(**changes: object) -> dict[str, object]:
    base: dict[str, object] = {"used": 0, "uses": 1, "expired": False, "created_at": AT, "enrolled": []}
    return base | changes


def endpoint(**runtime: object) -> dict[str, object]:
    base: dict[str, object] = {"id": "rtm_1", "bridges": [], "incarnation": None, "last_proof_at": None}
    return {
        "id": "ept_1",
        "health": "never_seen",
        "health_since": None,
        "created_at": AT,
        "removing": None,
        "sendable": {"value": False, "reason": "not_proved", "proved_at": None},
        "runtimes": [base | runtime],
    }


JOINED = {"used": 1, "enrolled": [{"runtime_id": "rtm_1", "endpoint_id": "ept_1", "name": "x", "at": AT}]}
LATE = 60_000


@pytest.mark.parametrize(
    ("made", "found", "waited", "reached", "said"),
    [
        (token(), None, 0, 0, "Nobody has used"),
        (token(), None, 180_000, 0, "Still nothing?"),
        (token(expired=True), None, 0, 0, "has ended"),
        (token(**JOINED), endpoint(), 0, 2, ""),
        (token(**JOINED), endpoint(), LATE, 2, "systemctl status caisey-runtime"),
        (token(**JOINED), endpoint(incarnation="a"), 0, 2, "not any more"),
        (token(**JOINED), endpoint(bridges=["websocket"]), 0, 3, ""),
        (token(**JOINED), endpoint(bridges=["websocket"]), LATE, 3, "has not answered yet"),
        (
            token(**JOINED),
            endpoint(bridges=["websocket"], last_proof_at=AT),
            LATE,
            4,
            "takes no work: it has not answered for a while.",
        ),
    ],
)
def test_each_step_says_what_is_wrong_when_it_stays_open(
    made: dict[str, object], found: dict[str, object] | None, waited: int, reached: int, said: str
) -> None:
    shown = steps(made, found, "rtm_1", "https://caisey.example", ms_of(AT) + waited)
    assert [step.tone for step in shown].count("done") == reached
    assert len(shown) == len(STEPS)
    assert said in f"{shown[reached].note} {shown[reached].wrong}"
    assert (shown[reached].wrong == "") == (said in ("", "Nobody has used"))
