"""RECOVERY.md, sentence by sentence, on the real decide and evolve: one scenario a row."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec.structs import replace

from caisey.core import commands as c
from caisey.core.effects import Confirm, SendCancel, effects_of
from caisey.core.errors import Fault
from caisey.core.events import AttemptCheckAsked, CallSpec
from caisey.core.policy import Policy
from caisey.core.states import AttemptState, Effect, HoldReason
from caisey.core.tool_call import ran
from tests.core.world import BERT, World, execution, spec

READ = spec(effect=Effect.READ_ONLY)
SAFE = spec(effect=Effect.IDEMPOTENT)


def three_steps(effect: Effect = Effect.MUTATING) -> list[CallSpec]:
    return [spec(f"tcl_{i}", i, effect) for i in (1, 2, 3)]


@pytest.mark.parametrize(
    ("ended", "verdict", "states"),
    [
        (execution(), "answered/yes", "ended: ended"),
        (execution(blank=True), "empty/yes", "ended: ended"),
        (execution(exit_code=3), "command_failed/yes", "waiting: waiting"),
        (execution(exit_code=None, signal=9), "command_failed/yes", "waiting: waiting"),
        (execution(exit_code=None, ended_by="time_limit"), "timed_out/partly", "waiting: waiting"),
        (
            execution(exit_code=None, ended_by="time_limit", tree_ended=False),
            "timed_out/unconfirmed",
            "waiting: waiting",
        ),
        (execution(exit_code=None, ended_by="cancel"), "cancelled/partly", "ended: ended"),
        (execution(exit_code=None, ended_by="shutdown"), "runtime_died/partly", "waiting: waiting"),
        (execution(exit_code=None, ended_by="unknown"), "runtime_died/unconfirmed", "waiting: waiting"),
    ],
)
def test_what_ended_it_decides(ended, verdict, states):  # type: ignore[no-untyped-def]
    world = World()
    world.prompt()
    world.run()
    world.finish(ended=ended)
    assert world.verdict() == verdict
    assert world.states() == states


def test_malformed_result_is_ran_yes_when_the_end_is_readable() -> None:
    world = World()
    world.prompt()
    world.run()
    world.finish(ended=execution(), readable=False)
    assert world.verdict() == "malformed_result/yes"
    world = World()
    world.prompt()
    world.run()
    world.finish(readable=False)
    assert world.verdict() == "malformed_result/unconfirmed"
    world.state("finished", execution=execution())
    assert world.verdict() == "malformed_result/yes"


def test_orphan_that_the_journal_denies_is_sent_again_with_the_same_consent() -> None:
    world = World()
    world.prompt()
    world.advance(8_000)
    assert world.log[-1].event.runtime_ids == ("R1",)  # type: ignore[attr-defined]
    world.state("never_received")
    assert world.verdict(1) == "orphaned/no"
    assert world.attempt(2).state is AttemptState.QUEUED  # a fresh enrollment check first
    world.prove()
    assert (world.attempt(2).state, world.attempt(2).consent) == (AttemptState.DISPATCHED, 1)


def test_a_window_alone_never_proves_no() -> None:
    world = World()
    world.prompt()
    world.disconnect()
    world.advance(10_000)
    assert world.verdict(1) == "orphaned/unconfirmed"
    assert world.attempt(2).hold.reason is HoldReason.JOURNAL_MUST_ANSWER  # type: ignore[union-attr]
    world.connect(incarnation="I2")
    world.statements_read()
    assert world.attempt(2).state is AttemptState.DISPATCHED  # the same journal: it cannot start twice
    assert world.attempt(2).consent == 1


def test_a_mutating_call_does_not_move_to_another_journal_without_a_promise() -> None:
    world = World()
    world.prompt()
    world.disconnect()
    world.add_runtime(World.runtime("R2", "J2", proved_at_ms=world.now, checked_at_ms=world.now))
    world.advance(10_000)
    world.prove("R2")
    assert world.attempt(2).hold.reason is HoldReason.JOURNAL_MUST_ANSWER  # type: ignore[union-attr]
    world.advance(3_600_000)
    assert world.verdict(2) == "expired/unconfirmed"
    assert world.states() == "waiting: waiting"


def test_a_read_only_call_moves_with_a_new_consent() -> None:
    world = World()
    world.prompt(READ)
    world.disconnect()
    world.add_runtime(World.runtime("R2", "J2", proved_at_ms=world.now, checked_at_ms=world.now))
    world.advance(10_000)
    world.prove("R2")
    assert (world.attempt(2).runtime_id, world.attempt(2).consent) == ("R2", 2)


def test_closed_socket_is_seen_at_once_and_the_window_gives_runtime_died() -> None:
    world = World()
    world.prompt()
    world.run()
    world.disconnect()
    assert world.attempt().state is AttemptState.LOST
    world.advance(120_000)
    assert world.verdict() == "runtime_died/unconfirmed"
    assert world.states() == "waiting: waiting"
    assert len(world.call().attempts) == 1  # mutating: never by itself


def test_read_only_that_died_is_retried_twice_then_waits() -> None:
    world = World()
    world.prompt(READ)
    for number in (1, 2, 3):
        world.run(number=number)
        world.state("process_gone", number=number)
        assert world.verdict(number) == "runtime_died/unconfirmed"
        world.prove()
    assert [a.consent for a in world.call().attempts] == [1, 2, 3]
    assert world.states() == "waiting: waiting"
    assert world.call().waiting_why == "automatic_used_up"


def test_adopted_command_is_found_again() -> None:
    world = World()
    world.prompt()
    world.run()
    world.disconnect()
    world.connect(incarnation="I2")
    world.state("started", pid=7)
    assert world.attempt().state is AttemptState.STARTED
    world.finish()
    assert world.verdict() == "answered/yes"


def test_late_finish_refines_and_next_step_goes_out() -> None:
    world = World()
    world.prompt(*three_steps())
    world.run()
    world.disconnect()
    world.advance(120_000)
    assert world.verdict() == "runtime_died/unconfirmed"
    world.connect(incarnation="I2")
    world.finish()
    assert world.verdict() == "answered/yes"
    assert world.attempt().late
    assert world.attempt(1, "tcl_2").state is AttemptState.DISPATCHED


def test_reopening_withdraws_the_newer_try() -> None:
    world = World()
    world.prompt()
    world.disconnect()
    world.advance(10_000)
    assert world.attempt(2).state is AttemptState.HELD
    world.connect(incarnation="I2")
    world.state("started", pid=3)
    assert world.attempt(1).state is AttemptState.STARTED
    assert world.verdict(2) == "refused/no/attempt.withdrawn"
    world.finish()
    assert world.states() == "ended: ended"


def test_a_reopened_try_is_told_of_the_wishes_that_nobody_answered() -> None:
    """When its runtime connected, the try had ended: nothing was owed to it then."""
    world = World()
    world.prompt()
    world.run()
    world.act("cancel")
    world.disconnect()
    world.advance(int(world.view.policy.reconcile_window_s * 1000))
    assert world.verdict() == "runtime_died/unconfirmed"
    world.connect(incarnation="I2")
    known = len(world.log)
    world.state("started", pid=3)
    assert world.attempt().state is AttemptState.STARTED
    sent = effects_of(world.session, world.log[known:], 1_000)
    assert [type(effect) for effect in sent if not isinstance(effect, Confirm)] == [SendCancel]


def test_received_whose_owner_is_gone_is_sent_again_by_the_same_number() -> None:
    world = World()
    world.prompt()
    world.receipt("acknowledged")
    world.disconnect()
    world.connect(incarnation="I2")
    types = world.state("received", owner_live=False)
    assert "attempt.dispatched" in types
    assert len(world.call().attempts) == 1
    assert world.attempt().incarnation == "I2"


def test_superseded_takes_up_what_ran() -> None:
    world = World()
    world.prompt()
    world.disconnect()
    world.advance(10_000)
    world.connect(incarnation="I2")
    world.statements_read()
    world.state("started", number=1, answers=2, pid=4)
    assert world.verdict(2) == "refused/no/attempt.superseded"
    assert world.attempt(1).state is AttemptState.STARTED
    world.finish(number=1)
    assert world.states() == "ended: ended"
    assert world.call().automatic == 1


def test_spooler_two_technicians_resume_step_three() -> None:
    world = World()
    world.prompt(*three_steps())
    world.run("tcl_1")
    world.finish("tcl_1", changes=({"what": "service cups", "before": "running", "after": "stopped"},))
    world.run("tcl_2")
    world.disconnect()
    world.advance(120_000)
    assert world.states() == "waiting: ended waiting pending"
    with pytest.raises(Fault, match=r"action\.stale"):
        world.act("resume", "tcl_3", seen=world.call("tcl_2").sequence - 1, actor=BERT)
    with pytest.raises(Fault, match=r"action\.seen_required"):
        world.act("resume", "tcl_3", seen=None, actor=BERT)
    world.connect(incarnation="I2")
    world.state("process_gone", "tcl_2")
    world.act("resume", "tcl_3", actor=BERT)
    assert world.attempt(1, "tcl_3").state is AttemptState.DISPATCHED
    assert len(world.call("tcl_2").attempts) == 1
    world.run("tcl_3")
    world.finish("tcl_3")
    assert world.states() == "ended: ended ended ended"


def test_rerun_after_unconfirmed_adds_a_consent_and_after_no_does_not() -> None:
    world = World(Policy(max_automatic=0))
    world.prompt()
    world.run()
    world.state("process_gone")
    world.act("retry")
    assert world.attempt(2).consent == 2
    world = World(Policy(max_automatic=0))
    world.prompt()
    world.advance(8_000)
    world.state("never_received")
    assert ran(world.call()) == "no"
    world.act("requeue")
    assert world.attempt(2).consent == 1


def test_busy_is_held_not_counted_and_released_when_one_ends() -> None:
    world = World()
    world.prompt()
    world.receipt("refused", code="runtime.busy")
    assert world.verdict() == "refused/no/runtime.busy"
    assert world.attempt(2).hold.reason is HoldReason.BUSY  # type: ignore[union-attr]
    assert world.call().automatic == 0
    world.prove()
    assert world.attempt(2).state is AttemptState.HELD
    world.advance(5_000)
    assert world.attempt(2).state is AttemptState.DISPATCHED


def test_offline_is_held_and_goes_when_it_answers() -> None:
    world = World()
    world.disconnect()
    world.prompt()
    assert world.attempt().hold.reason is HoldReason.OFFLINE  # type: ignore[union-attr]
    world.connect()
    world.statements_read()
    assert world.attempt().state is AttemptState.DISPATCHED


def test_a_held_call_asks_again_when_the_answer_to_its_question_is_lost() -> None:
    """The agent takes work again and is asked to prove it; one lost frame must not cost the whole hour of the hold."""
    world = World()
    world.set_runtime("R1", accepting=False)
    world.prompt(READ)
    held = world.attempt()
    assert held.hold is not None
    assert held.hold.reason is HoldReason.DRAINING
    world.advance(60_000)
    world.set_runtime("R1", accepting=True)
    assert world.do(c.Advance()) == ["attempt.check_asked"]
    assert world.advance(4_000) == ["attempt.check_asked"]
    assert world.prove() == ["attempt.released", "attempt.dispatched"]
    still = World()
    still.set_runtime("R1", accepting=False)
    still.prompt(READ)
    still.advance(60_000)
    still.set_runtime("R1", accepting=True)
    still.do(c.Advance())
    asked = still.advance(3_600_000).count("attempt.check_asked")
    assert 10 < asked < 200, "and not so often that it fills the log"
    assert still.verdict() == "expired/no", "a runtime that never answers does not make the hold any longer"


def test_old_consent_asks_a_person_first() -> None:
    world = World()
    world.disconnect()
    world.prompt()
    world.advance(16 * 60_000)
    world.connect()
    world.statements_read()
    assert world.attempt().hold.reason is HoldReason.WORLD_CHANGED  # type: ignore[union-attr]
    world.act("release")
    assert world.attempt().state is AttemptState.DISPATCHED
    assert len(world.call().consents) == 1


def test_others_changes_ask_first_and_withdraw_waiting_ones() -> None:
    world = World()
    world.prompt()
    world.receipt("acknowledged")
    world.advance(10)
    world.changed_by(BERT)
    assert world.attempt().cancel is not None
    world.state("closed", why="cancel")
    assert world.verdict() == "refused/no/attempt.withdrawn"
    assert world.attempt(2).hold.reason is HoldReason.WORLD_CHANGED  # type: ignore[union-attr]


def test_cancel_is_a_wish_until_answered() -> None:
    world = World()
    world.prompt()
    world.receipt("acknowledged")
    world.act("cancel")
    assert world.attempt().state is AttemptState.ACKNOWLEDGED
    world.state("closed", why="cancel")
    assert world.verdict() == "cancelled/no"
    assert world.states() == "ended: ended"


def test_set_back_journal_proves_no_no() -> None:
    world = World()
    world.set_runtime("R1", highest_sequence=500)
    world.prompt()
    world.advance(8_000)
    world.state("never_received", at=7)
    assert world.verdict() == "orphaned/unconfirmed"
    assert any(r.event.fact == "journal_regressed" for r in world.attempt().facts if hasattr(r.event, "fact"))


def test_prompts_with_mutating_steps_wait_for_each_other_and_reads_do_not() -> None:
    world = World()
    world.prompt()
    world.prompt(spec("tcl_b"), prompt_id="pmt_2")
    world.prompt(spec("tcl_c", effect=Effect.READ_ONLY), prompt_id="pmt_3")
    assert world.attempt(1, "tcl_b").hold.reason is HoldReason.EARLIER_REQUEST  # type: ignore[union-attr]
    assert world.attempt(1, "tcl_c").state is AttemptState.DISPATCHED
    world.run()
    world.finish()
    assert world.attempt(1, "tcl_b").state is AttemptState.DISPATCHED


def test_sleep_gives_the_longer_window() -> None:
    from caisey.core import commands as c

    world = World()
    world.prompt()
    world.run()
    world.do(c.RuntimeLeaving(runtime_id="R1", incarnation="I1", reason="sleep"))
    world.disconnect()
    world.advance(3_600_000)
    assert world.attempt().state is AttemptState.LOST
    world.advance(12 * 3_600_000)
    assert world.verdict() == "runtime_died/unconfirmed"


def test_silence_asks_then_loses() -> None:
    world = World()
    world.prompt()
    world.run()
    types = world.advance(33_000)
    assert "attempt.reconcile_asked" in types
    assert world.attempt().state is AttemptState.LOST


def test_a_silent_command_gets_a_notice_and_goes_on() -> None:
    from caisey.core import commands as c

    world = World(Policy(heartbeat_interval_s=100))
    world.set_runtime("R1", heartbeat_interval_ms=100_000)
    world.prompt()
    world.run()
    about = world._about("tcl_1", 1, "R1")
    world.do(c.ReceiveProgress(**about, cpu_ms=1, bytes={}, waiting_for_input=True))
    types = world.advance(61_000)
    assert "attempt.noticed" in types
    assert world.attempt().notice == "waits_for_input"
    world.act("input", data="y\n")
    assert world.attempt().inputs == 1
    world.finish()
    assert world.verdict() == "answered/yes"


def test_silence_is_judged_by_the_interval_that_is_stated_now() -> None:
    """The first command of a session starts while the agent still beats slowly: it is missed as early as the next."""
    world = World(Policy(heartbeat_interval_s=15))
    world.set_runtime("R1", heartbeat_interval_ms=15_000)
    world.prompt()
    world.run()
    world.set_runtime("R1", heartbeat_interval_ms=3_000)
    assert "attempt.reconcile_asked" not in world.advance(5_900)
    assert "attempt.reconcile_asked" in world.advance(200)


def test_nobody_is_called_silent_in_the_grace_of_a_start() -> None:
    """The control plane was away itself: what it did not hear is no silence of the command."""
    world = World(Policy(heartbeat_interval_s=100))
    world.set_runtime("R1", heartbeat_interval_ms=100_000)
    world.prompt()
    world.run()
    world.view = replace(world.view, grace_from_ms=world.now, grace_until_ms=world.now + 80_000)
    assert "attempt.noticed" not in world.advance(79_000)
    assert "attempt.noticed" in world.advance(2_000)


@pytest.mark.parametrize(("sent_after_the_start", "asked_after_ms"), [(True, 8_001), (False, 40_001)])
def test_the_grace_of_a_start_is_for_what_was_sent_before_it(sent_after_the_start: bool, asked_after_ms: int) -> None:
    """What is sent since has deadlines of its own; what lived through the start waits for everybody to come back."""
    world = World(Policy(ack_window_s=10))
    if not sent_after_the_start:
        world.prompt()
    world.advance(1)
    world.view = replace(world.view, grace_from_ms=world.now, grace_until_ms=world.now + 40_000)
    world.advance(1)
    if sent_after_the_start:
        world.prompt()
    assert "attempt.reconcile_asked" not in world.advance(asked_after_ms - 100)
    assert "attempt.reconcile_asked" in world.advance(100)


def test_a_journal_that_says_received_of_what_has_started_moves_nothing() -> None:
    world = World()
    world.prompt()
    world.run()
    world.disconnect()
    assert world.attempt().state is AttemptState.LOST
    sent = len([record for record in world.log if type(record.event).__name__ == "AttemptDispatched"])
    world.connect(incarnation="I2")
    world.state("received", owner_live=False)
    assert world.attempt().state is AttemptState.LOST
    assert world.log[-1].event.fact == "journal_regressed"  # type: ignore[attr-defined]
    assert len([record for record in world.log if type(record.event).__name__ == "AttemptDispatched"]) == sent


def asked_last(world: World) -> str:
    return [r.event.runtime_id for r in world.log if isinstance(r.event, AttemptCheckAsked)][-1]


def test_a_second_runtime_is_asked_when_the_one_that_was_asked_first_is_silent() -> None:
    """It was held for the silence of a runtime that nobody would send to any more."""
    world = World()
    world.add_runtime(World.runtime("R2", "J1", proved_at_ms=world.now))
    world.prompt()
    world.advance(8_000)
    first = world.attempt(1).runtime_id or ""
    other = "R2" if first == "R1" else "R1"
    world.state("never_received", runtime_id=first)
    assert asked_last(world) == first
    world.set_runtime(first, healthy=False)
    world.set_runtime(other, proved_at_ms=world.now)
    world.do(c.Advance())
    assert asked_last(world) == other
    world.prove(other)
    assert (world.attempt(2).state, world.attempt(2).runtime_id) == (AttemptState.DISPATCHED, other)


def test_who_did_not_answer_is_asked_again_until_the_hold_ends_and_the_more_rarely() -> None:
    """One answer that is lost on its way, or a question that never left, costs two seconds and not the whole hold."""
    world = World()
    world.prompt()
    world.advance(8_000)
    world.state("never_received")
    began = world.now
    world.advance(2 * 3_600_000)
    asked = [r.at_ms - began for r in world.log if isinstance(r.event, AttemptCheckAsked) and r.at_ms > began]
    assert asked[:2] == [2_000, 4_000]
    gaps = [after - before for before, after in pairwise(asked)]
    assert gaps == sorted(gaps)
    assert gaps[-1] == 30_000
    assert len(asked) < 160
    assert world.verdict(2) == "expired/no"


def test_a_try_that_never_ran_says_what_is_known_of_the_others_also_later() -> None:
    """It said "not known if it ran" beside a step that said "did not run"."""
    world = World()
    world.prompt()
    world.disconnect()
    world.advance(10_000)
    assert world.verdict(1) == "orphaned/unconfirmed"
    world.act("cancel")
    assert world.verdict(2) == "cancelled/unconfirmed"
    world.connect()
    world.state("never_received")
    assert (world.verdict(1), world.verdict(2)) == ("orphaned/no", "cancelled/no")
    assert ran(world.call()) == "no"
