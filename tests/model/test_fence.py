"""The fence, exhausted over the real code: nothing is found with every rule, and each rule taken away is found."""

from __future__ import annotations

import pytest

from tests.model.fence import Bounds, Model, search, without

# Narrow first: the first bounds in which a missing rule shows.
WIDENING = (Bounds(1), Bounds(1, 1), Bounds(1, 0, 0, 1), Bounds(2, 1))

# The rules that these bounds can tell. The others of `JOURNAL_RULES` and `highest-number` need three attempts.
TOLD = (
    "promise",
    "refused-closes",
    "cancel-closes",
    "closed-number",
    "same-number",
    "claim",
    "claim-before-go",
    "same-journal",
    "again-or-withdraw",
    "late-start-reopens",
)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bounds", [Bounds(1, 1, 0, 1), Bounds(2, 0)], ids=str)
def test_no_reachable_state_breaks_a_property(bounds: Bounds) -> None:
    found = search(Model(bounds))
    assert not found.fault, "\n".join([found.fault, *found.trace])
    assert found.states > 100


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", TOLD)
def test_each_rule_alone_is_missed(rule: str) -> None:
    with without(rule):
        for bounds in WIDENING:
            found = search(Model(bounds, rule))
            if found.fault:
                return
    raise AssertionError(f"{rule}: taken away, and nothing was found")
