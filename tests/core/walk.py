"""Random lives of a session: what people, runtimes, journals and time may do, in any order.

Owns the strategy and the steps. Everything that decides is the product's; a step that is refused changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from caisey.core import commands as c
from caisey.core import events as e
from caisey.core.decide.actions import offered
from caisey.core.errors import Fault
from caisey.core.states import Action, Effect, Health
from tests.core.world import ANNA, BERT, World, execution, spec

Step = tuple[str, int, int]

HOSTILE = "{who}\x1b[31m\u202e<b>x</b> `x` \n " + "ż" * 300

ENDS: list[dict[str, Any]] = [
    {},
    {"ended": execution(blank=True)},
    {"ended": execution(exit_code=3)},
    {"ended": execution(exit_code=None, signal="SIGKILL")},
    {"ended": execution(exit_code=None, ended_by="time_limit")},
    {"ended": execution(exit_code=None, ended_by="time_limit", tree_ended=False)},
    {"ended": execution(exit_code=None, ended_by="cancel")},
    {"ended": execution(exit_code=None, ended_by="cancel", tree_ended=False)},
    {"ended": execution(exit_code=None, ended_by="shutdown")},
    {"ended": execution(exit_code=None, ended_by="unknown")},
    {"readable": False, "ended": None},
    {"readable": False, "ended": {"ended_by": HOSTILE, "exit_code": HOSTILE, "signal": HOSTILE, "streams": 7}},
    {"faults": (e.Shape("/a", "integer", "string"),), "result": {"a": HOSTILE}, "has_result": True},
    {"changes": ({"what": HOSTILE, "before": None, "after": {"x": [1, HOSTILE]}},)},
]
REFUSALS = [
    "runtime.busy",
    "tool.unknown",
    "runtime.revoked",
    "dispatch.too_old",
    "dispatch.changed",
    "journal.full",
    "x.y",
]
STATEMENTS = ["never_received", "closed", "received", "started", "process_gone", "superseded", "finished"]
PAUSES_MS = [1, 900, 2_000, 8_000, 30_000, 130_000, 1_000_000, 4_000_000]

NAMES = (
    "acknowledge", "start", "finish", "refuse", "state", "disconnect", "connect", "reboot", "regress", "wait", "act",
    "act", "act", "prove", "others", "output", "gap", "progress", "leave", "freeze", "fault", "restart", "statements",
    "second_runtime", "drain", "review", "wait",
)  # fmt: skip

steps = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 2), st.integers(0, 13)), min_size=1, max_size=25)
effects = st.lists(st.sampled_from(list(Effect)), min_size=1, max_size=3)


class Walk(World):
    """A world that takes steps."""

    def begin(self, kinds: list[Effect], hostile: bool = False) -> None:
        """One prompt with a call of each effect."""
        if hostile:
            self.view = replace(self.view, name=HOSTILE, client=HOSTILE)
        calls = [spec(f"tcl_{i}", i, kind, structured=i == 3) for i, kind in enumerate(kinds, 1)]
        self.prompt(*calls, text=HOSTILE if hostile else "look")

    def take(self, step: Step) -> None:
        """One step on the call that is picked; a refused one changes nothing."""
        name, which, choice = step
        calls = list(self.session.calls)
        call_id = calls[which % len(calls)]
        attempts = self.call(call_id).attempts
        if not attempts and name not in _ABOUT_NO_ATTEMPT:
            return
        number = attempts[-1 - choice % 2 if len(attempts) > 1 else -1].number if attempts else 1
        self.now += 1
        try:
            _STEPS[name](self, call_id, number, choice)
        except Fault:
            return

    def act_somehow(self, call_id: str, choice: int) -> None:
        """Press one of the offered actions, as whoever."""
        possible = offered(self.session, self.call(call_id))
        if possible:
            self.press(call_id, possible[choice % len(possible)], actor=BERT if choice % 3 == 0 else ANNA)

    def press(self, call_id: str, action: Action | str, **more: Any) -> None:
        """An action, with what it needs."""
        fresh = f"tcl_{len(self.session.calls) + 1}"
        if action == Action.ADJUST:
            more["new_call"] = replace(self.call(call_id).spec, id=fresh)
        elif action == Action.VERIFY:
            more |= {"new_call": spec(fresh, 1, Effect.READ_ONLY), "prompt_id": f"pmt_{fresh}"}
        elif action == Action.INPUT:
            more["data"] = "yes\n"
        self.act(str(action), call_id, reason="because", **more)

    def restart_of_the_computer(self) -> None:
        """Another boot, another incarnation."""
        self.disconnect()
        self.connect(incarnation=f"I{self.now}", boot_id=f"B{self.now}")

    def write(self, call_id: str, number: int, length: int) -> None:
        """Output at the end of what is there."""
        attempt = self.attempt(number, call_id)
        at = attempt.streams["stdout"].stored if "stdout" in attempt.streams else 0
        self.do(c.ReceiveOutput(**self._about(call_id, number, "R1"), stream="stdout", offset=at, length=length))

    def lose_bytes(self, call_id: str, number: int) -> None:
        """A gap."""
        about = self._about(call_id, number, "R1")
        self.do(c.ReceiveGap(**about, stream="stdout", offset=9_000, length=5_000, why="spool_full"))

    def progress(self, call_id: str, number: int, choice: int) -> None:
        """A sign of life."""
        asks = (None, True, False)[choice % 3]
        about = self._about(call_id, number, "R1")
        self.do(c.ReceiveProgress(**about, cpu_ms=choice * 900, bytes={"stdout": choice}, waiting_for_input=asks))

    def misspeak(self, call_id: str, number: int) -> None:
        """A frame that cannot be read."""
        about = self._about(call_id, number, "R1")
        self.do(c.ReceiveShapeFault(**about, code="frame.invalid_shape", faults=(e.Shape("/x", "integer", HOSTILE),)))


def _state(w: Walk, call_id: str, number: int, choice: int) -> None:
    state = STATEMENTS[choice % len(STATEMENTS)]
    more: dict[str, Any] = {"execution": execution(exit_code=4)} if state == "finished" else {}
    if state == "closed":
        more = {"why": "cancel"}
    if state == "started" and number > 1 and choice % 2:
        more, number = {"answers": number}, number - 1
    w.state(state, call_id, number, **more)


def _leave(w: Walk, call_id: str, number: int, choice: int) -> None:
    reason = ("sleep", "shutdown", "drain")[choice % 3]
    if reason == "sleep":
        w.set_runtime("R1", asleep=True)
        w.view = replace(w.view, health=Health.ASLEEP, since_ms=w.now)
    w.do(c.RuntimeLeaving(runtime_id="R1", incarnation=w.view.runtimes[0].incarnation, reason=reason))
    w.set_runtime("R1", asleep=False)


def _drain(w: Walk, call_id: str, number: int, choice: int) -> None:
    w.set_runtime("R1", accepting=choice % 2 == 0)
    w.do(c.Advance())


def _freeze(w: Walk, call_id: str, number: int, choice: int) -> None:
    w.set_runtime("R1", healthy=False)
    w.view = replace(w.view, health=Health.UNHEALTHY, since_ms=w.now)
    w.do(c.Advance())


def _restart(w: Walk, call_id: str, number: int, choice: int) -> None:
    w.view = replace(w.view, grace_from_ms=w.now, grace_until_ms=w.now + 40_000)


def _second(w: Walk, call_id: str, number: int, choice: int) -> None:
    if w.view.runtime("R2") is None:
        journal = "J1" if choice % 2 else "J2"
        w.add_runtime(World.runtime("R2", journal, proved_at_ms=w.now, checked_at_ms=w.now))
    w.do(c.Advance())


def _review(w: Walk, call_id: str, number: int, choice: int) -> None:
    w.view = replace(w.view, review_needed=choice % 2 == 0, review_since_ms=w.now)
    w.do(c.Advance())


_STEPS: dict[str, Callable[[Walk, str, int, int], object]] = {
    "acknowledge": lambda w, i, n, k: w.receipt("acknowledged", i, n),
    "start": lambda w, i, n, k: w.run(i, n),
    "finish": lambda w, i, n, k: w.finish(i, n, **ENDS[k % len(ENDS)]),
    "refuse": lambda w, i, n, k: w.receipt("refused", i, n, code=REFUSALS[k % len(REFUSALS)], hint=HOSTILE),
    "state": _state,
    "disconnect": lambda w, i, n, k: w.disconnect(),
    "connect": lambda w, i, n, k: w.connect(incarnation="I1" if k % 2 else f"I{w.now}"),
    "reboot": lambda w, i, n, k: w.restart_of_the_computer(),
    "regress": lambda w, i, n, k: w.connect(incarnation=f"I{w.now}", regressed=True),
    "wait": lambda w, i, n, k: w.advance(PAUSES_MS[k % len(PAUSES_MS)]),
    "act": lambda w, i, n, k: w.act_somehow(i, k),
    "prove": lambda w, i, n, k: w.prove(),
    "others": lambda w, i, n, k: w.changed_by(BERT),
    "output": lambda w, i, n, k: w.write(i, n, 1 + k * 10),
    "gap": lambda w, i, n, k: w.lose_bytes(i, n),
    "progress": lambda w, i, n, k: w.progress(i, n, k),
    "leave": _leave,
    "freeze": _freeze,
    "fault": lambda w, i, n, k: w.misspeak(i, n),
    "restart": _restart,
    "statements": lambda w, i, n, k: w.statements_read(),
    "second_runtime": _second,
    "drain": _drain,
    "review": _review,
}


_ABOUT_NO_ATTEMPT = frozenset(
    {"act", "wait", "disconnect", "connect", "reboot", "regress", "prove", "others", "freeze", "restart", "review"}
)
