"""The fence, exhausted over the real code: nothing is found with every rule, and each rule taken away is found."""

from __future__ import annotations

import pytest

from tests.model.fence import CONTROL_PLANE_RULES, JOURNAL_RULES, Bounds, Model, search, without

# Narrow first: the first bounds in which a missing rule shows.
WIDENING = (Bounds(1), Bounds(1, 1), Bounds(1, 0, 0, 1), Bounds(2), Bounds(2, 0, 1), Bounds(2, 0, 0, 1), Bounds(2, 1))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bounds", [Bounds(1, 1, 0, 1), Bounds(2)], ids=str)
def test_no_reachable_state_breaks_a_property(bounds: Bounds) -> None:
    found = search(Model(bounds))
    assert not found.fault, "\n".join([found.fault, *found.trace])
    assert found.states > 100


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", [*JOURNAL_RULES, *CONTROL_PLANE_RULES])
def test_each_rule_alone_is_missed(rule: str) -> None:
    with without(rule):
        for bounds in WIDENING:
            found = search(Model(bounds, rule))
            if found.fault:
                return
    raise AssertionError(f"{rule}: taken away, and nothing was found")
