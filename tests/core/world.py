"""A small world around one real session: an endpoint with runtimes, a clock, and what was decided.

Everything that decides is the product's own code; the world only fills in views, commands and time.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from caisey.core import commands as c
from caisey.core import events as e
from caisey.core.attempt import Attempt
from caisey.core.decide import decide, next_due
from caisey.core.policy import Policy
from caisey.core.session import Session, evolve
from caisey.core.states import Effect, Health
from caisey.core.tool_call import ToolCall
from caisey.core.view import Change, EndpointView, RuntimeView

ANNA = e.Actor("token", "tok_anna")
BERT = e.Actor("token", "tok_bert")
START = 1_700_000_000_000


def spec(
    call_id: str = "tcl_1", position: int = 1, effect: Effect = Effect.MUTATING, structured: bool = False
) -> e.CallSpec:
    """One shell call."""
    return e.CallSpec(
        call_id,
        position,
        "shell",
        1,
        {"command": "true"},
        effect,
        structured=structured,
        check={"tool": "service", "arguments": {"name": "cups", "action": "status"}},
    )


def execution(exit_code: int | None = 0, ended_by: str = "itself", blank: bool = False, **more: Any) -> dict[str, Any]:
    """Execution metadata as `finished` carries it."""
    stdout = {"bytes": 0 if blank else 3, "sha256": "0" * 64, "blank": blank, "truncated": False}
    return {
        "exit_code": exit_code,
        "signal": None,
        "ended_by": ended_by,
        "tree_ended": True,
        "started_ms": 1,
        "ended_ms": 2,
        "streams": {"stdout": stdout},
    } | more


class World:
    """One session on one endpoint with runtime R1 (journal J1) unless told otherwise."""

    def __init__(self, policy: Policy | None = None, runtimes: tuple[RuntimeView, ...] | None = None) -> None:
        self.now = START
        policy = policy or Policy()
        runtimes = runtimes if runtimes is not None else (self.runtime("R1", "J1"),)
        self.view = EndpointView("ept_1", policy, "ACCT-07", "Client", Health.HEALTHY, START, runtimes)
        self.session = Session(id="ses_1", endpoint_id="ept_1")
        self.log: list[e.Recorded] = []
        self.sequence = 0
        self.journal = 100
        self.do(c.CreateSession(actor=ANNA, session_id="ses_1", client_group_id=None, title="t", ticket=None))

    @staticmethod
    def runtime(runtime_id: str, journal_id: str, incarnation: str = "I1", **more: Any) -> RuntimeView:
        """A connected, proved runtime."""
        usual: dict[str, Any] = {
            "bridges": ("websocket",),
            "healthy": True,
            "proved_at_ms": START,
            "checked_at_ms": START,
        }
        return RuntimeView(runtime_id, journal_id, incarnation, "B1", **(usual | more))

    # -- acting --------------------------------------------------------------------------------------------------

    def do(self, command: c.Command) -> list[str]:
        """Decide, number, fold. Returns the events' types."""
        before = self.session
        records = decide(self.session, command, self.view, self.now)
        assert self.session is before
        for record in records:
            self.sequence += 1
            numbered = replace(record, sequence=self.sequence)
            self.log.append(numbered)
            self.session = evolve(self.session, numbered)
        return [e.type_of(r.event) for r in records]

    def prompt(self, *calls: e.CallSpec, actor: e.Actor = ANNA, prompt_id: str = "pmt_1", **more: Any) -> list[str]:
        """Accept a prompt."""
        return self.do(c.AcceptPrompt(actor=actor, prompt_id=prompt_id, calls=calls or (spec(),), **more))

    def act(self, action: str, call_id: str = "tcl_1", seen: int | None = -1, **more: Any) -> list[str]:
        """A person's action; `seen` defaults to all there is."""
        known = self.sequence if seen == -1 else seen
        usual: dict[str, Any] = {"actor": ANNA, "tool_call_id": call_id, "action": action, "seen": known}
        return self.do(c.Act(**(usual | more)))

    def advance(self, ms: int) -> list[str]:
        """Let time pass, with a look at every deadline on the way."""
        end = self.now + ms
        types: list[str] = []
        while True:
            due = next_due(self.session, self.view)
            if due is None or due > end:
                break
            self.now = max(self.now + 1, due)
            done = self.do(c.Tick())
            after = next_due(self.session, self.view)
            assert done or after is None or after > self.now, "a deadline passed and nothing came of it"
            types += done
        self.now = max(end, self.now)
        return types

    def set_runtime(self, runtime_id: str, **changes: Any) -> None:
        """Change what is known of a runtime."""
        items = tuple(replace(r, **changes) if r.runtime_id == runtime_id else r for r in self.view.runtimes)
        self.view = replace(self.view, runtimes=items)

    def add_runtime(self, runtime: RuntimeView) -> None:
        """One more runtime on the endpoint."""
        self.view = replace(self.view, runtimes=(*self.view.runtimes, runtime))

    def prove(self, runtime_id: str = "R1") -> list[str]:
        """It answered a signed ping."""
        self.set_runtime(runtime_id, proved_at_ms=self.now, checked_at_ms=self.now, healthy=True)
        return self.do(c.Advance())

    def disconnect(self, runtime_id: str = "R1") -> list[str]:
        """Its last bridge closes."""
        incarnation = self._runtime(runtime_id).incarnation
        self.set_runtime(runtime_id, bridges=(), healthy=False)
        self.view = replace(self.view, health=Health.OFFLINE, since_ms=self.now)
        return self.do(c.BridgeClosed(runtime_id=runtime_id, incarnation=incarnation, code=1006, reason=""))

    def connect(
        self, runtime_id: str = "R1", incarnation: str = "I1", boot_id: str = "B1", regressed: bool = False
    ) -> list[str]:
        """It is back, with a fresh handshake."""
        self.set_runtime(
            runtime_id,
            bridges=("websocket",),
            healthy=True,
            incarnation=incarnation,
            boot_id=boot_id,
            proved_at_ms=self.now,
            checked_at_ms=self.now,
            trusted=not regressed,
        )
        self.view = replace(self.view, health=Health.HEALTHY, since_ms=self.now)
        journal = self._runtime(runtime_id).journal_id
        return self.do(
            c.RuntimeConnected(
                runtime_id=runtime_id,
                incarnation=incarnation,
                boot_id=boot_id,
                journal_id=journal,
                regressed=regressed,
            )
        )

    def statements_read(self, runtime_id: str = "R1") -> list[str]:
        """All its statements were heard."""
        return self.do(c.StatementsRead(runtime_id=runtime_id, journal_id=self._runtime(runtime_id).journal_id))

    def changed_by(self, actor: e.Actor) -> list[str]:
        """Somebody changed something on the endpoint in another session."""
        change = Change(self.now, actor.id, "ses_other", "tcl_other")
        self.view = replace(self.view, changes=(*self.view.changes, change))
        return self.do(c.Advance())

    # -- the runtime speaks --------------------------------------------------------------------------------------

    def _runtime(self, runtime_id: str) -> RuntimeView:
        found = self.view.runtime(runtime_id)
        assert found is not None
        return found

    def _about(self, call_id: str, number: int, runtime_id: str) -> dict[str, Any]:
        runtime = self._runtime(runtime_id)
        return {
            "runtime_id": runtime_id,
            "incarnation": runtime.incarnation,
            "journal_id": runtime.journal_id,
            "tool_call_id": call_id,
            "number": number,
        }

    def next_journal(self) -> int:
        """The next journal_sequence."""
        self.journal += 1
        return self.journal

    def receipt(
        self,
        what: str,
        call_id: str = "tcl_1",
        number: int = 1,
        at: int | None = None,
        runtime_id: str = "R1",
        **details: Any,
    ) -> list[str]:
        """acknowledged, started or refused."""
        return self.do(
            c.ReceiveReceipt(
                **self._about(call_id, number, runtime_id),
                receipt=what,
                journal_sequence=self.next_journal() if at is None else at,
                details=details,
            )
        )

    def finish(
        self, call_id: str = "tcl_1", number: int = 1, at: int | None = None, runtime_id: str = "R1", **more: Any
    ) -> list[str]:
        """`finished`; `ended` is the execution."""
        ended = more.pop("ended", None)
        return self.do(
            c.ReceiveFinished(
                **self._about(call_id, number, runtime_id),
                journal_sequence=self.next_journal() if at is None else at,
                execution=ended if ended is not None or "readable" in more else execution(),
                **more,
            )
        )

    def state(
        self,
        state: str,
        call_id: str = "tcl_1",
        number: int = 1,
        at: int | None = None,
        runtime_id: str = "R1",
        **more: Any,
    ) -> list[str]:
        """A statement."""
        return self.do(
            c.ReceiveStatement(
                **self._about(call_id, number, runtime_id),
                state=state,
                journal_sequence=self.next_journal() if at is None else at,
                **more,
            )
        )

    def run(self, call_id: str = "tcl_1", number: int = 1) -> None:
        """acknowledged and started."""
        self.receipt("acknowledged", call_id, number)
        self.receipt("started", call_id, number, pid=7)

    # -- looking -------------------------------------------------------------------------------------------------

    def call(self, call_id: str = "tcl_1") -> ToolCall:
        """The call now."""
        return self.session.calls[call_id]

    def attempt(self, number: int = 1, call_id: str = "tcl_1") -> Attempt:
        """The attempt now."""
        return self.call(call_id).attempts[number - 1]

    def verdict(self, number: int = 1, call_id: str = "tcl_1") -> str:
        """kind/ran, with the code where there is one."""
        verdict = self.attempt(number, call_id).verdict
        if verdict is None:
            return str(self.attempt(number, call_id).state)
        code = f"/{verdict.code}" if verdict.code else ""
        return f"{verdict.kind}/{verdict.ran}{code}"

    def states(self) -> str:
        """prompt: call states."""
        prompt = next(iter(self.session.prompts.values()))
        return f"{prompt.state}: " + " ".join(str(k.state) for k in self.session.calls_of(prompt))
