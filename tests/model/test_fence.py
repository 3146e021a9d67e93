"""The fence, exhausted over the real code: nothing is found with every rule, and each rule taken away is found.

What takes three attempts and a second consent is too much to exhaust over the real code: that is walked at random, by
walks on record, with every rule and with each one taken away.
"""

from __future__ import annotations

import random

import pytest

from tests.model.fence import CONTROL_PLANE_RULES, JOURNAL_RULES, Bounds, Model, search, wander, without

# Narrow first: the first bounds in which a missing rule shows.
WIDENING = (Bounds(1), Bounds(1, 1), Bounds(1, 0, 0, 1), Bounds(2, 1))
WIDER = {"supersede": Bounds(2, 0, 1), "one-process": Bounds(2, 0, 1), "highest-number": Bounds(3, 0)}
"""What takes a second consent, or a third attempt: searched for a broken state only, not for the way out of each."""

# The rules that these bounds can tell.
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

# The others: how far to go, and the walk that missed the rule.
FAR = {
    "consent": (Bounds(3, 1, 1), 201),
    "lower-number": (Bounds(3, 1, 1), 152),
}
MOST = 2_000
"""So many walks are tried where the code has changed so much that the one on record does not show it any more."""
WALKS = 400


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bounds", [Bounds(1, 1, 0, 1), Bounds(2, 0), Bounds(2, 0, 1)], ids=str)
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


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", WIDER)
def test_each_wider_rule_alone_is_missed(rule: str) -> None:
    with without(rule):
        found = search(Model(WIDER[rule], rule), exits=False)
    assert found.fault.partition(":")[0] in ("starts", "false-no", "overlap")


def test_every_rule_that_can_be_taken_away_is() -> None:
    assert {*TOLD, *WIDER, *FAR} == {*CONTROL_PLANE_RULES, *JOURNAL_RULES}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", FAR)
def test_each_far_rule_is_missed(rule: str) -> None:
    bounds, walk = FAR[rule]
    with without(rule):
        assert any(wander(Model(bounds, rule), random.Random(each)).fault for each in (walk, *range(MOST)))


@pytest.mark.timeout(600)
def test_no_walk_with_every_rule_breaks_a_property() -> None:
    for bounds, on_record in FAR.values():
        for walk in (on_record, *range(WALKS // len(FAR))):
            found = wander(Model(bounds), random.Random(walk))
            assert not found.fault, "\n".join([f"walk {walk}: {found.fault}", *found.trace])
