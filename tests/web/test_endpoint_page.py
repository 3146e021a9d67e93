"""One computer as a page, without any script: facts, looks, decisions, settings; what one may not see; hostility."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from caisey.web.views.endpoint import facts, picture, recorded
from caisey.web.views.looks import ROWS, services, tables
from tests.api.plane import Api
from tests.web.limited import People
from tests.web.visitor import Visitor

Person = Callable[..., Visitor]
SHOWS = ("overview", "services", "processes", "events", "disks", "network", "agents", "settings")


@pytest.fixture
def group(api: Api) -> str:
    return api.group()


@pytest.fixture
def endpoint(api: Api, group: str) -> str:
    return api.endpoint(group, "ACCT-07")


@pytest.mark.parametrize("show", SHOWS)
@pytest.mark.parametrize("role", ["viewer", "technician", "admin"])
def test_every_part_is_shown_to_every_role(group: str, endpoint: str, people: People, show: str, role: str) -> None:
    page = people(role, group).get(f"/endpoints/{endpoint}?show={show}")
    assert page.status == 200
    assert "ACCT-07" in page.text
    assert "Has never answered" in page.text
    if role == "viewer":
        assert "Your role may only look." in page.text or "An admin decides this." in page.text or show == "agents"


def test_while_it_does_not_answer_work_is_kept(group: str, endpoint: str, people: People, api: Api) -> None:
    anna = people("technician", group)
    page = anna.get(f"/endpoints/{endpoint}?show=processes")
    assert "ACCT-07 does not answer now." in page.text
    assert "Keep for later: Look now" in page.text
    assert "Not asked yet." in page.text
    asked = anna.submit(page, f"/endpoints/{endpoint}/look", sort="memory")
    assert asked.answer.url.params["prompt"].startswith("pmt_")
    assert "Open it in its session" in asked.text
    work = api.get("/work", endpoint_id=endpoint)["items"]
    assert [one["literal"] for one in work] == ["processes memory 500"]
    overview = anna.get(f"/endpoints/{endpoint}")
    assert "processes memory 500" in overview.text
    assert "A look at ACCT-07" in overview.text


def test_looks_share_one_open_session(group: str, endpoint: str, people: People, api: Api) -> None:
    anna = people("technician", group)
    for show in ("network", "disks", "events"):
        anna.submit(anna.get(f"/endpoints/{endpoint}?show={show}"), f"/endpoints/{endpoint}/look")
    assert len(api.get("/sessions", endpoint_id=endpoint)["items"]) == 1


def test_a_look_with_a_wrong_word_says_so_in_place(group: str, endpoint: str, people: People) -> None:
    anna = people("technician", group)
    page = anna.get(f"/endpoints/{endpoint}?show=services")
    refused = anna.submit(page, f"/endpoints/{endpoint}/look", name="-bad name")
    assert refused.status == 422
    assert "The input does not fit the tool" in refused.text
    assert 'value="-bad name"' in refused.answer.text


def test_name_tags_and_client_are_changed(group: str, endpoint: str, people: People, api: Api) -> None:
    admin = people("admin", group)
    page = admin.get(f"/endpoints/{endpoint}?show=settings")
    policy = f"/settings/policies/endpoint/{endpoint}"
    assert policy in page.links
    assert admin.get(policy).status == 200
    saved = admin.submit(page, f"/endpoints/{endpoint}/settings", name="Kasse 1", tags="till  berlin", do="save")
    assert "Saved." in saved.text
    shown = api.get(f"/endpoints/{endpoint}")
    assert (shown["name"], shown["tags"], shown["client_group_id"]) == ("Kasse 1", ["berlin", "till"], group)
    refused = admin.submit(saved, f"/endpoints/{endpoint}/settings", name="Kasse 2", tags="a/b", do="save")
    assert refused.status == 422
    assert 'value="Kasse 2"' in refused.answer.text, "the input is not lost"
    assert 'value="a/b"' in refused.answer.text


def test_a_removal_is_taken_back(group: str, endpoint: str, people: People) -> None:
    admin = people("admin", group)
    page = admin.get(f"/endpoints/{endpoint}?show=settings")
    removed = admin.post(
        f"/endpoints/{endpoint}/settings", [*page.form(f"/endpoints/{endpoint}/settings").fields[:2], ("do", "remove")]
    )
    assert "It is being removed. You can take it back for 7 days." in removed.text
    assert "Is being removed. Gone in 7 days" in removed.text
    look = admin.get(f"/endpoints/{endpoint}?show=network")
    assert "Nothing is sent to it." in look.text
    assert 'disabled title="ACCT-07 is being removed. Nothing is sent to it."' in look.answer.text
    back = admin.post(
        f"/endpoints/{endpoint}/settings", [*removed.form(f"/endpoints/{endpoint}/settings").fields[:2], ("do", "undo")]
    )
    assert "The removal was taken back." in back.text


def test_two_that_look_alike_are_joined_with_a_reason(api: Api, group: str, people: People) -> None:
    machine = uuid.uuid4().hex * 2
    token = api.enrollment_token("client_group", client_group_id=group, uses=2)
    first = api.enroll(token, machine_fingerprint=machine, hostname="OLD-01")
    twin = api.enroll(token, machine_fingerprint=machine, hostname="NEW-01")
    admin = people("admin", group)
    page = admin.get(f"/endpoints/{twin['endpoint_id']}?show=agents")
    assert "It looks like another computer that is known" in page.text
    assert "OLD-01" in page.text
    form = next(form for form in page.forms if ("do", "join", "Join: both are one computer") in form.buttons)
    joined = admin.post(form.action, dict(form.fields) | {"do": "join", "reason": "reinstalled"})
    assert "They are one computer now." in joined.text
    assert admin.get(f"/endpoints/{first['endpoint_id']}").status == 404


def test_an_agent_is_removed_from_service_with_a_reason(api: Api, group: str, people: People) -> None:
    token = api.enrollment_token("client_group", client_group_id=group)
    made = api.enroll(token)
    admin = people("admin", group)
    path = f"/endpoints/{made['endpoint_id']}"
    page = admin.get(f"{path}?show=agents")
    form = next(form for form in page.forms if ("runtime", made["runtime_id"]) in form.fields)
    refused = admin.post(form.action, dict(form.fields) | {"do": "revoke", "reason": ""})
    assert refused.status == 422
    done = admin.post(
        form.action, dict(form.fields) | {"do": "revoke", "reason": "laptop was stolen", "compromised": "1"}
    )
    assert "The agent was removed from service." in done.text
    assert "Its key counts as stolen" in done.text


def test_a_decision_that_is_not_open_any_more_says_so(group: str, endpoint: str, people: People) -> None:
    anna = people("technician", group)
    form = anna.get(f"/endpoints/{endpoint}?show=network").form(f"/endpoints/{endpoint}/look")
    fields = [(name, value) for name, value in form.fields if name in ("csrf", "key")]
    page = anna.post(f"/endpoints/{endpoint}/decide", [*fields, ("do", "review"), ("reason", "looked")])
    assert page.status == 409
    assert "No journal of this computer went back in time" in page.text
    assert anna.post(f"/endpoints/{endpoint}/decide", [*fields, ("do", "nonsense")]).status == 200


def test_no_link_of_a_page_leads_nowhere(api: Api, group: str, endpoint: str, people: People) -> None:
    """No dead ends: every link of every part is followed."""
    api.patch(f"/endpoints/{endpoint}", {"tags": ["till & co"[:4]]})
    api.session(endpoint, title="a look", ticket="T 4711")
    admin = people("admin", group)
    seen: set[str] = set()
    for show in SHOWS:
        seen |= set(admin.get(f"/endpoints/{endpoint}?show={show}").links)
    for path in ("/attention", "/endpoints", "/endpoints/add", "/reports", "/reports?what=shapes"):
        seen |= set(admin.get(path).links)
    ours = sorted(link for link in seen if link.startswith("/") and not link.startswith(("/audit", "/api/")))
    assert len(ours) > 30
    assert [link for link in ours if admin.get(link).status != 200] == []


def test_what_one_may_not_see_is_not_there(api: Api, endpoint: str, people: People, person: Person) -> None:
    stranger = people("owner", api.group())
    for show in SHOWS:
        answer = stranger.send("GET", f"/endpoints/{endpoint}?show={show}")
        assert answer.status_code == 404
        assert "ACCT-07" not in answer.text
    gone = person("owner").send("GET", "/endpoints/ept_none")
    same = stranger.send("GET", f"/endpoints/{endpoint}")
    assert gone.status_code == same.status_code == 404


def test_who_may_only_look_can_press_nothing(group: str, endpoint: str, people: People) -> None:
    viewer = people("viewer", group)
    for path in ("look", "service", "decide", "settings"):
        assert viewer.post(f"/endpoints/{endpoint}/{path}", {"csrf": "x"}).status == 403


# -- what an answer may hold ---------------------------------------------------------------------------------------

HOSTILE = ["<script>", "\u202eevil", "\x1b[31m", "x" * 100_000, 10**400, -1, 1e308, True, None, [], {}, [[]], {"a": 1}]


LISTS = ("processes", "entries", "filesystems", "interfaces", "listening", "routes")
FIELDS = """pid name user cpu_percent rss_bytes started_at at source level message mount device total_bytes free_bytes
    up mac addresses protocol port address process destination gateway interface metric state enabled manager"""


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: str(value)[:12])
def test_no_answer_breaks_a_table(value: object) -> None:
    row = dict.fromkeys(FIELDS.split(), value)
    result = {name: [row, value] for name in LISTS}
    for tool in ("processes", "event_log", "disk_usage", "network"):
        for table in tables(tool, result | {"truncated": value}):
            for cells in table.rows:
                assert len(cells) == len(table.columns)
                for cell in cells:
                    assert len(cell.text) <= 4_000
                    assert "\u202e" not in cell.text
                    assert "\x1b" not in cell.text
        assert tables(tool, value) == [] or isinstance(value, dict)
    look = {"subject": "x", "at": "2026-01-01T00:00:00Z", "session_id": "s", "tool_call_id": "t"}
    assert len(services([look | {"result": row}, look | {"result": value}])) == 2
    known = {
        name: {"value": value, "at": "2026-01-01T00:00:00.000Z"}
        for name in ("disks", "idle_s", "boot_at", "x", "users")
    }
    assert len(facts({"facts": known})) == 5
    assert isinstance(recorded({"changes": [{"what": value, "before": value, "after": value}]}), list)


def test_changes_are_said_from_what_to_what() -> None:
    changes = [
        {"what": "service spooler", "before": "running", "after": "stopped"},
        {"what": "file /tmp/x", "before": "absent", "after": "sha256:" + "ab" * 32},
        {"what": "something"},
        {"other": 1},
    ]
    assert recorded({"changes": changes}) == [
        "service spooler: running → stopped",
        "file /tmp/x: absent → sha256:abababababab…",
        "something",
    ]


def test_long_lists_are_cut_and_say_so() -> None:
    table = tables("processes", {"processes": [{"pid": n} for n in range(ROWS + 1)]})[0]
    assert len(table.rows) == ROWS
    assert table.more == f"{ROWS} of {ROWS + 1} are shown."
    assert tables("processes", {"processes": [], "truncated": True})[0].more == "There are more than are shown."


def test_the_health_picture_is_to_scale() -> None:
    history = {
        "from": "2026-01-01T00:00:00.000Z",
        "to": "2026-01-05T00:00:00.000Z",
        "periods": [
            {"health": "healthy", "since": "2025-12-01T00:00:00.000Z", "until": "2026-01-02T00:00:00.000Z"},
            {"health": "offline", "since": "2026-01-02T00:00:00.000Z", "until": "2026-01-02T00:00:01.000Z"},
            {"health": "healthy", "since": "2026-01-02T00:00:01.000Z", "until": None},
        ],
        "truncated": False,
    }
    drawn = picture(history)
    assert [(one.x, one.health) for one in drawn.stretches] == [(0, "healthy"), (250, "offline"), (250, "healthy")]
    assert drawn.stretches[1].width == 1, "a short one is still seen"
    assert drawn.words == "Ready 100 %, Offline < 1 %"
    assert drawn.ticks == ["1 Jan", "2 Jan", "3 Jan", "4 Jan", "5 Jan"]
