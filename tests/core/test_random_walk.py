"""Anything may be heard at any time: the real decide under random words, actions, time (RECOVERY.md §9: 1, 3, 5, 10).

A journal that keeps the fence is not modelled here (the simulation does that): this walk lies on purpose, and asks
only that no word can break the tables, leave a state without a deadline, or make a verdict that does not derive again.
A failure names its seed: `SEED=… pytest tests/core/test_random_walk.py`.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from caisey.core import commands as c
from caisey.core.attempt import Attempt
from caisey.core.decide import next_due
from caisey.core.decide.actions import offered
from caisey.core.errors import Fault
from caisey.core.policy import Policy
from caisey.core.session import replay
from caisey.core.states import Action, AttemptState, CallState, Effect, Kind, PromptState, Ran
from caisey.core.tool_call import ToolCall, ran_before
from caisey.core.verdict import derive
from tests.core.world import ANNA, BERT, World, execution, spec

SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else range(150)
STEPS = 120
SHOW_THE_CALLS_RAN = frozenset({Kind.EXPIRED, Kind.CANCELLED, Kind.REFUSED, Kind.DENIED})
"""Whose `ran` also says what other attempts of the call have proved since (RECOVERY.md §2)."""


def any_attempt(world: World, dice: random.Random) -> tuple[str, int] | None:
    sent = [(a.tool_call_id, a.number) for k in world.session.calls.values() for a in k.attempts if a.journal_id]
    return dice.choice(sent) if sent else None


def sequence(world: World, dice: random.Random) -> int:
    return world.next_journal() if dice.random() < 0.8 else dice.randrange(1, world.journal + 1)


def a_word(world: World, dice: random.Random) -> None:
    target = any_attempt(world, dice)
    if target is None:
        return
    call_id, number = target
    runtime_id = dice.choice(["R1", "R2"])
    at = sequence(world, dice)
    what = dice.choice(["acknowledged", "started", "refused", "finish", "state", "state", "output", "progress"])
    about = world._about(call_id, number, runtime_id)
    if what in ("acknowledged", "started"):
        world.receipt(what, call_id, number, at, runtime_id)
    elif what == "refused":
        code = dice.choice(["runtime.busy", "tool.unknown", "dispatch.too_old"])
        world.receipt("refused", call_id, number, at, runtime_id, code=code)
    elif what == "finish":
        ended = execution(
            dice.choice([0, 0, 1, None]), dice.choice(["itself", "cancel", "time_limit", "shutdown", "unknown"])
        )
        if dice.random() < 0.2:
            world.finish(call_id, number, at, runtime_id, readable=False, ended=dice.choice([None, ended]))
        else:
            world.finish(call_id, number, at, runtime_id, ended=ended)
    elif what == "state":
        word = dice.choice(
            ["never_received", "received", "started", "process_gone", "finished", "superseded", "closed"]
        )
        answers = dice.choice([None, None, number + 1])
        world.state(
            word,
            call_id,
            number,
            at,
            runtime_id,
            owner_live=dice.random() < 0.6,
            answers=answers,
            execution=execution() if word == "finished" else None,
            why=dice.choice(["refused", "cancel", "withdrawn", "reconcile"]),
            code="tool.unknown",
        )
    elif what == "output":
        world.do(c.ReceiveOutput(**about, stream="stdout", offset=dice.randrange(100), length=dice.randrange(1, 50)))
    else:
        world.do(c.ReceiveProgress(**about, cpu_ms=1, bytes={}, waiting_for_input=dice.choice([True, False, None])))


def an_action(world: World, dice: random.Random) -> None:
    call = dice.choice(list(world.session.calls.values()))
    possible = offered(world.session, call)
    if not possible:
        return
    action = dice.choice(possible)
    more: dict[str, Any] = {}
    if action in (Action.ADJUST, Action.VERIFY):
        more = {
            "new_call": spec(f"tcl_new{world.sequence}", call.spec.position),
            "prompt_id": f"pmt_new{world.sequence}",
        }
    world.act(str(action), call.id, actor=dice.choice([ANNA, BERT]), **more)


def the_world(world: World, dice: random.Random) -> None:
    runtime_id = dice.choice(["R1", "R2"])
    what = dice.choice(["close", "connect", "prove", "leave", "changed", "slept"])
    runtime = world._runtime(runtime_id)
    if what == "close":
        world.disconnect(runtime_id)
    elif what == "connect":
        world.connect(runtime_id, dice.choice([runtime.incarnation, f"I{world.sequence}"]), dice.choice(["B1", "B2"]))
        world.statements_read(runtime_id)
    elif what == "prove":
        world.prove(runtime_id)
    elif what == "leave":
        reason = dice.choice(["sleep", "shutdown"])
        world.do(c.RuntimeLeaving(runtime_id=runtime_id, incarnation=runtime.incarnation, reason=reason))
    elif what == "slept":
        world.do(c.RuntimeSlept(runtime_id=runtime_id, slept_ms=5))
    else:
        world.changed_by(BERT)


def check(world: World) -> None:
    session = world.session
    due = next_due(session, world.view)
    for call in session.calls.values():
        for a in call.attempts:
            assert a.state is AttemptState.ENDED or a.due_at_ms is not None, a
            assert (a.verdict is not None) == (a.state is AttemptState.ENDED), a
            if a.verdict is not None:
                assert all(0 <= i < len(a.facts) for i in a.verdict.cites), a.verdict
                assert a.verdict.ran is not Ran.NO or a.started_at_ms is None, a
        if call.state is CallState.RUNNING:
            assert call.open_attempts, call.id
        if call.state is CallState.WAITING:
            assert call.owner, call.id
            assert call.due_at_ms, call.id
            assert offered(session, call), call.id
        if call.state in (CallState.RUNNING, CallState.WAITING):
            assert call.id in session.live
            assert due is not None
    for prompt in session.prompts.values():
        states = {session.calls[i].state for i in prompt.call_ids}
        if prompt.state is PromptState.ENDED:
            assert states == {CallState.ENDED}
        elif prompt.state is PromptState.WAITING:
            assert CallState.RUNNING not in states


@contextlib.contextmanager
def tolerated() -> Iterator[None]:
    """A refusal is an answer, if it is one of these."""
    try:
        yield
    except Fault as fault:
        if fault.code not in ("frame.not_yours", "action.not_offered", "prompt.too_many"):
            raise


@pytest.mark.parametrize("seed", SEEDS)
def test_no_word_breaks_a_session(seed: int) -> None:
    dice = random.Random(seed)
    world = World(Policy(when_unhealthy=dice.choice(["hold", "escalate"])))
    world.add_runtime(World.runtime("R2", dice.choice(["J1", "J2"])))
    effects = list(Effect)
    for step in range(STEPS):
        roll = dice.random()
        with tolerated():
            if roll < 0.08 or not world.session.prompts:
                count = dice.choice([1, 1, 3])
                calls = [
                    spec(f"tcl_{step}_{i}", i, dice.choice(effects), dice.random() < 0.3) for i in range(1, count + 1)
                ]
                world.prompt(*calls, prompt_id=f"pmt_{step}", actor=dice.choice([ANNA, BERT]))
            elif roll < 0.5:
                a_word(world, dice)
            elif roll < 0.65:
                an_action(world, dice)
            elif roll < 0.85:
                the_world(world, dice)
            else:
                world.advance(dice.choice([100, 3_000, 40_000, 200_000, 4_000_000]))
        check(world)
    assert replay(world.log) == world.session
    for call in world.session.calls.values():
        for a in call.attempts:
            if a.verdict is not None:
                derives_again(call, a)


@pytest.mark.parametrize("seed", range(20))
def test_verdicts_derive_again_from_the_log(seed: int) -> None:
    dice = random.Random(seed)
    world = World()
    world.add_runtime(World.runtime("R2", dice.choice(["J1", "J2"])))
    world.prompt(spec(effect=dice.choice(list(Effect))))
    for _ in range(40):
        try:
            a_word(world, dice) if dice.random() < 0.6 else the_world(world, dice)
        except Fault:
            continue
        world.advance(dice.choice([10, 5_000, 130_000]))
    for call in replay(world.log).calls.values():
        for a in call.attempts:
            if a.verdict is not None:
                derives_again(call, a)


def derives_again(call: ToolCall, a: Attempt) -> None:
    """The same evidence gives the same verdict, and never a better `ran` than the one that is shown."""
    again = derive(a.facts, call.spec.structured, ran_before(call, a))
    assert again is not None
    assert a.verdict is not None
    assert (again.kind, again.code) == (a.verdict.kind, a.verdict.code)
    if a.verdict.kind not in SHOW_THE_CALLS_RAN:
        assert again.ran is a.verdict.ran
