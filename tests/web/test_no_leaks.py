"""What must not get out by a side way: one-time links into the log, foreign bytes into headers."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from caisey.control import joining
from caisey.web.page import see_other
from tests.api.plane import Plane
from tests.web.visitor import Visitor


def test_a_defect_does_not_write_a_one_time_link_into_the_log(
    new_plane: Callable[..., Plane], monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = new_plane().start()
    member = plane.api().post("/members", {"email": "ada@example.com", "role": "viewer"})
    path = urlsplit(plane.api().post(f"/members/{member['id']}/link")["url"]).path

    def broken(*_: object) -> None:
        raise RuntimeError("a defect of ours")

    monkeypatch.setattr(joining, "member_of", broken)
    with capture_logs() as lines:
        assert Visitor(plane).send("GET", path).status_code == 500
    (line,) = (line for line in lines if line["event"] == "console.defect")
    assert line["path"] == "/join/{text}"
    assert path.removeprefix("/join/") not in str(lines)


@pytest.mark.parametrize(
    "path", ["/x\r\nset-cookie: a=b", "/x\n", "/\x00", "/\u20ac", "//evil.example", "/\\evil", "x"]
)
def test_a_page_leads_to_one_of_ours_alone(path: str) -> None:
    with pytest.raises(ValueError, match="another page of the console"):
        see_other(path)
