"""Reports and audit as pages, without any script."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest

from caisey.web.views.reports import csv_of, days, recovery_line, recovery_row, shape
from tests.api.plane import Api
from tests.web.limited import People
from tests.web.visitor import Visitor

Person = Callable[..., Visitor]


@pytest.fixture
def group(api: Api) -> str:
    return api.group()


def malformed(api: Api, group: str, **arguments: object) -> str:
    endpoint = api.endpoint(group)
    body = {"tool_calls": [{"tool": "shell", "arguments": arguments or {"command": 7}}]}
    assert api.refused("POST", f"/sessions/{api.session(endpoint)}/prompts", body)[0] == 422
    return endpoint


def test_nothing_stalled(group: str, people: People) -> None:
    page = people("viewer", group).get("/reports")
    assert "No request stalled in this time." in page.text
    assert "Everything fitted in this time." in people("viewer", group).get("/reports?what=shapes").text


def test_the_ledger_of_shapes_names_the_likelier_cause(api: Api, group: str, people: People) -> None:
    for _ in range(3):
        malformed(api, group)
    page = people("viewer", group).get("/reports?what=shapes")
    assert "the tool's definition" in page.text
    assert "The same shape on 3 endpoints points at the definition of shell 1." in page.text
    assert "/arguments/command: expected string, found integer" in page.text
    by_endpoint = people("viewer", group).get("/reports?what=shapes&by=endpoint")
    assert "ACCT-07" in by_endpoint.text
    assert "ept_" not in by_endpoint.text


def test_a_period_is_chosen(api: Api, group: str, people: People) -> None:
    malformed(api, group)
    viewer = people("viewer", group)
    assert "Everything fitted" in viewer.get("/reports?what=shapes&from=2020-01-01&to=2020-02-01").text
    assert "Everything fitted" not in viewer.get("/reports?what=shapes&days=1").text
    for odd in ("days=9999", "days=x", "from=2020-02-01&to=2020-01-01", "by=nothing", "from='&to=\""):
        assert viewer.get(f"/reports?what=shapes&{odd}").status == 200


def test_csv_is_what_the_page_shows(api: Api, group: str, people: People) -> None:
    malformed(api, group)
    answer = people("viewer", group).send("GET", "/reports/csv?what=shapes&by=tool")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert rows[0][:3] == ["group", "id", "count"]
    assert rows[1][0] == "shell 1"
    empty = people("viewer", group).send("GET", "/reports/csv")
    assert len(list(csv.reader(io.StringIO(empty.content.decode("utf-8-sig"))))) == 1


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert list(csv.reader(io.StringIO(csv_of(["a"], [[text]]).decode("utf-8-sig"))))[1][0].startswith("'")


def line(**changes: Any) -> dict[str, Any]:
    base = {
        "group": {"kind": "orphaned"},
        "stalls": 4,
        "by_verdict": {"orphaned": 4},
        "by_ran": {"no": 3, "unconfirmed": 1},
        "seconds_until_known": {"p50": 10.0, "p90": 12.0, "max": 300.0},
        "recovered_without_a_person": 2,
        "recovered_by_a_person": 1,
        "not_recovered": 1,
        "name": None,
    }
    return base | changes


def test_a_line_has_its_numbers_beside_its_bar() -> None:
    shown = recovery_line(line())
    assert shown.name == "Did not arrive, or no reply"
    assert [(kind, width) for kind, _, width in shown.bar] == [
        ("bar-automatic", 80),
        ("bar-person", 40),
        ("bar-open", 40),
    ]
    assert (shown.p50, shown.p90, shown.longest) == ("10 s", "12 s", "5 min")
    assert shown.ran == "Did not run 3, Not known if it ran 1"
    assert recovery_row(line())[:6] == ("Did not arrive, or no reply", "orphaned", 4, 2, 1, 1)


def test_days_without_a_stall_are_drawn_too() -> None:
    drawn = days([line(group={"day": "2026-01-03"})], "2026-01-01T00:00:00.000Z", "2026-01-04T12:00:00.000Z")
    assert [len(bar.parts) for bar in drawn.bars] == [0, 0, 3, 0]
    assert drawn.most == 4
    assert sum(height for _, _, height in drawn.bars[2].parts) == 120
    assert days([], "2000-01-01T00:00:00.000Z", "2026-01-04T12:00:00.000Z").most == 0


@pytest.mark.parametrize("value", ["<script>", "\u202e", {"a": {"b": [{"c": "string"}]}}, [["integer"]] * 50, None, 7])
def test_no_shape_breaks_the_page(value: object) -> None:
    found = {
        "group": {"fingerprint": "f", "side": "result", "tool": value},
        "name": None,
        "count": 1,
        "endpoints": 1,
        "fingerprints": 1,
        "likelier_cause": "endpoint",
        "likelier_endpoint_id": "ept_1",
        "likelier_endpoint": None,
        "why": "2 shapes on one endpoint point at ept_1.",
        "tools": [str(value)],
        "first_at": "2026-01-01T00:00:00Z",
        "last_at": "2026-01-01T00:00:00Z",
        "shapes": [
            {"fingerprint": "f", "side": "result", "count": 1, "endpoints": 1, "errors": [value, {}], "outline": value}
        ],
    }
    shown = shape(found)
    assert "\u202e" not in f"{shown.name}{shown.tools}{shown.seen}"


# -- audit -----------------------------------------------------------------------------------------------------------


def test_the_log_is_searched_in_the_browser(api: Api, person: Person) -> None:
    endpoint = api.endpoint(hostname="AUDIT-01")
    session = api.session(endpoint, title="look for the <needle>")
    owner = person("owner")
    page = owner.get(f"/audit?session_id={session}")
    assert "session.created" in page.text
    assert "AUDIT-01" in page.text
    assert "<needle>" not in page.answer.text
    assert "&lt;needle&gt;" in page.answer.text
    assert f"/sessions/{session}" in page.links
    found = owner.submit(owner.get("/audit"), "/audit", q="look for the <needle>", type="session.")
    assert "session.created" in found.text
    assert "endpoint.enrolled" not in found.text
    assert "No event fits." in owner.get("/audit?q=nothing-like-that-anywhere").text
    wrong = owner.get("/audit?type=%3Cx%3E&from=never")
    assert wrong.status == 422
    assert "/type" in wrong.text


def test_older_events_are_reached(api: Api, person: Person) -> None:
    for _ in range(60):
        api.group()
    owner = person("owner")
    page = owner.get("/audit?type=client_group.created")
    following = next(link for link in page.links if "cursor=" in link)
    rest = owner.get(following)
    assert "client_group.created" in rest.text
    assert "Back to the newest" in rest.text


def test_the_chain_is_verified_in_the_browser(person: Person) -> None:
    page = person("owner").get("/audit/verify")
    assert "It holds:" in page.text
    assert "up to the signed head" in page.text
    assert "/api/v1/audit/export" in page.links


def test_the_log_is_for_admins_who_see_everything(api: Api, group: str, people: People, person: Person) -> None:
    assert person("technician").get("/audit").status == 403
    limited = people("admin", group).get("/audit")
    assert limited.status == 403
    assert "not limited to client groups" in limited.text
    assert people("admin", group).get("/audit/verify").status == 403
