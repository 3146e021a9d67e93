"""The list of computers as a page, without any script."""

from __future__ import annotations

import pytest

from tests.api.plane import Api
from tests.web.limited import People


@pytest.fixture
def group(api: Api) -> str:
    return api.group()


def test_each_computer_has_its_sentence(api: Api, group: str, people: People) -> None:
    api.endpoint(group, "ACCT-07")
    page = people("viewer", group).get("/endpoints")
    assert "ACCT-07" in page.text
    assert "Has never answered. Added" in page.text
    assert "1 computer" in page.text
    assert "Debian 12" in page.text


def test_search_and_filters(api: Api, group: str, people: People) -> None:
    one = api.endpoint(group, "ACCT-07")
    api.endpoint(group, "ACCT-08")
    api.endpoint(group, "TILL-01")
    api.patch(f"/endpoints/{one}", {"tags": ["berlin & co"[:6], "till"]})
    anna = people("viewer", group)
    page = anna.submit(anna.get("/endpoints"), "/endpoints", q="acct")
    assert "ACCT-08" in page.text
    assert "TILL-01" not in page.text
    assert "2 of 3 computers" in page.text
    assert 'value="acct"' in page.answer.text
    tagged = anna.get("/endpoints?tag=till")
    assert "ACCT-07" in tagged.text
    assert "ACCT-08" not in tagged.text
    assert "No computer fits “nothing like that”." in anna.get("/endpoints?q=nothing+like+that").text
    assert "No computer fits" in anna.get("/endpoints?health=offline").text
    assert "3 computers" in anna.get("/endpoints?health=nonsense").text
    assert "No computer fits." in anna.get("/endpoints?client_group=%22%3E").text


def test_a_search_says_by_what_it_found(api: Api, group: str, people: People) -> None:
    one = api.endpoint(group, "ACCT-07")
    api.patch(f"/endpoints/{one}", {"name": "Front desk"})
    api.session(one, ticket="T-4711")
    anna = people("viewer", group)
    assert "Calls itself: ACCT-07" in anna.get("/endpoints?q=acct").text
    assert "found by a ticket" in anna.get("/endpoints?q=4711").text
    assert "Calls itself" not in anna.get("/endpoints?q=front").text


def test_pages_of_many(api: Api, group: str, people: People) -> None:
    token = api.enrollment_token("client_group", client_group_id=group, uses=60)
    for number in range(60):
        api.enroll(token, hostname=f"PC-{number:02}")
    anna = people("viewer", group)
    page = anna.get("/endpoints?q=pc")
    assert "PC-49" in page.text
    assert "PC-50" not in page.text
    following = next(link for link in page.links if "cursor=" in link)
    rest = anna.get(following)
    assert "PC-50" in rest.text
    assert "PC-49" not in rest.text
    assert "From the beginning" in rest.text


def test_an_empty_list_says_what_to_do(api: Api, people: People) -> None:
    page = people("admin", api.group()).get("/endpoints")
    assert "There is no computer yet." in page.text
    assert "/endpoints/add" in page.links
    assert "An admin adds computers." in people("viewer", api.group()).get("/endpoints").text


def test_what_one_may_not_see_is_not_there(api: Api, group: str, people: People) -> None:
    endpoint = api.endpoint(group, "SECRET-01")
    stranger = people("owner", api.group())
    for path in ("/endpoints", "/endpoints?q=secret", f"/endpoints?client_group={group}"):
        html = stranger.get(path).answer.text
        assert endpoint not in html
        assert "SECRET-01" not in html


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x>', "a\u202eexe.txt", "x" * 128])
def test_hostile_names_are_only_shown(api: Api, group: str, people: People, name: str) -> None:
    endpoint = api.endpoint(group)
    api.patch(f"/endpoints/{endpoint}", {"name": name})
    html = people("viewer", group).get("/endpoints").answer.text
    assert f"/endpoints/{endpoint}" in html
    assert "<script>alert" not in html
    assert "<img src=x>" not in html
    assert "\u202e" not in html
    assert "x" * 61 not in html
