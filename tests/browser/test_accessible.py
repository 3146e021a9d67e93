"""axe-core finds nothing serious on any page: in both themes, at a desk and on a phone, with a stall in the session."""

from __future__ import annotations

from typing import Any

import pytest
from axe_core_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page

from tests.api.plane import Plane
from tests.browser.conftest import NewContext
from tests.browser.desks import desk, fleet, loop, stalled_at_step_two
from tests.browser.every_page import paths
from tests.end_to_end.fleet import Desk
from tests.web.visitor import Visitor

__all__ = ["desk", "fleet", "loop"]

SERIOUS = ("serious", "critical")
ONLY_MISSING = 404
LOOKS = {
    "a desk, light": {"color_scheme": "light", "viewport": {"width": 1440, "height": 900}},
    "a phone, dark": {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}},
}


def faults_of(page: Page) -> list[str]:
    """What axe finds, the grave part of it: rule, element, why."""
    found: Any = Axe().run(page, options={"resultTypes": ["violations"]})
    return [
        f"{page.url}: {one['id']} ({one['impact']}): {node['html'][:160]} {node['failureSummary'][:300]}"
        for one in found["violations"]
        if one["impact"] in SERIOUS
        for node in one["nodes"][:3]
    ]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("look", LOOKS)
def test_nothing_serious_on_any_page(
    look: str, plane: Plane, new_context: NewContext, owner: Visitor, desk: Desk
) -> None:
    prompt = stalled_at_step_two(desk)
    api = plane.api()
    token = api.post("/enrollment-tokens", {"scope": "organization"})
    reset = api.post(f"/members/{owner.member_id}/link")["url"].rsplit("/", 1)[-1]
    places = {
        "session_id": desk.session_id,
        "tool_call_id": prompt["tool_calls"][1]["id"],
        "endpoint_id": desk.runtime.endpoint_id,
        "member_id": owner.member_id,
        "token_id": token["id"],
        "text": reset,
    }
    context = new_context(owner, reduced_motion="reduce", **LOOKS[look])
    context.watched.allow("404")  # type: ignore[attr-defined]  # a link that is not there has a page too
    page = context.new_page()
    faults: list[str] = []
    looked_at = 0
    for path in paths(places):
        answer = page.goto(path)
        assert answer is not None
        assert answer.status in (200, ONLY_MISSING), (path, answer.status)
        assert "text/html" in answer.headers["content-type"], path
        faults += faults_of(page)
        looked_at += 1
    assert looked_at > 20
    assert not faults, "\n".join(dict.fromkeys(faults))
