"""Whether others are at work, from the two endpoints that were last."""

from __future__ import annotations

from caisey.control.at_work import LATELY_MS, AtWork
from caisey.control.sessions import Committed


def test_others_are_at_work_for_a_while_and_never_oneself() -> None:
    now = [10_000]
    work = AtWork(lambda: now[0])

    def goes_on(endpoint_id: str) -> None:
        work.committed(Committed("org_1", "ses_1", endpoint_id, []))

    assert not work.others("ept_1")
    goes_on("ept_1")
    now[0] += 100
    goes_on("ept_1")
    assert not work.others("ept_1")
    assert work.others("ept_2")
    goes_on("ept_2")
    assert work.others("ept_1")
    assert work.others("ept_2")
    for _ in range(LATELY_MS // 100):
        now[0] += 100
        goes_on("ept_1")
    assert not work.others("ept_1")  # the other one was heard last 2 s ago
    assert work.others("ept_2")
    now[0] += LATELY_MS
    assert not work.others("ept_2")
