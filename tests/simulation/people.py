"""What people do: two technicians who ask and act at any moment, and whoever looks after the computers.

Owns the requests as the API hands them on. What is answered, also a refusal, is the product's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from caisey.core import commands as c
from caisey.core import events as e
from caisey.core.decide.actions import offered
from caisey.core.errors import Fault
from caisey.core.states import Action, CallState, Effect
from caisey.storage.contract import AppendFailed, Overloaded
from tests.simulation.machine import Machine

if TYPE_CHECKING:
    from tests.simulation.world import World

TECHNICIANS = {"anna": e.Actor("user", "usr_anna"), "bert": e.Actor("user", "usr_bert")}


class People:
    """Each method without an underscore is a kind of event of a story."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._prompts = 0
        self._fresh = 0

    def prompt(self, who: str, where: int, beside: int, *steps: str) -> None:
        if not self._world.plane.ready:
            return
        self._prompts += 1
        place = self._prompts
        calls = []
        for position, step in enumerate(steps, 1):
            effect, *plan = step.split()
            limits = {word.partition("=")[0]: int(word.partition("=")[2]) for word in plan if "=" in word}
            calls.append(
                e.CallSpec(
                    f"tcl_{place}_{position}", position, "nothing_has_it" if "unknown" in plan else "shell", 1,
                    {"command": " ".join(plan[:6])}, Effect(effect), e.Limits(limits.get("time"), limits.get("bytes")),
                    check={"tool": "shell", "arguments": {"command": "5 10 1 0 0 0"}},
                )
            )  # fmt: skip
        accept = c.AcceptPrompt(
            actor=TECHNICIANS[who], prompt_id=f"pmt_{place}", calls=tuple(calls), side_by_side=bool(beside)
        )
        self._world.in_plane(
            self._ask(self._world.sessions[where], accept, lambda: self._world.oracle.accepted.add(f"pmt_{place}"))
        )

    async def _ask(self, session_id: str, command: c.Command, then: Callable[[], object] = lambda: None) -> None:
        """A request of a technician, as the API hands it on. Refusals are answers too."""
        try:
            handled = await self._world.plane.sessions.handle(session_id, command)
        except Fault as fault:
            if fault.code == "server.internal":
                self._world.wrong(f"defect: {type(command).__name__} was not decided")
            return
        except (AppendFailed, Overloaded):
            return
        if isinstance(command, c.Act) and not any(r.actor == command.actor for r in handled.records):
            self._world.wrong(f"audit: {command.action} by {command.actor.id} is not on record")
        then()

    def act(self, who: str, which: int, choice: int) -> None:
        if not self._world.plane.ready:
            return
        places = [(s, call) for s in self._world.sessions for call in self._world.calls_of(s)]
        if not places:
            return
        alive = [p for p in places if p[1].state is not CallState.ENDED]
        session_id, call = (alive or places)[which % len(alive or places)]
        session = self._world.plane.sessions.peek(session_id)
        assert session is not None
        possible = offered(session, call)
        if not possible:
            return
        asked = Action.INPUT in possible and choice % 3 == 0
        action = Action.INPUT if asked else possible[choice % len(possible)]
        more: dict[str, Any] = {}
        self._fresh += 1
        fresh = f"tcl_a{self._fresh}"
        if action is Action.ADJUST:
            more["new_call"] = replace(call.spec, id=fresh)
        elif action is Action.VERIFY:
            new = replace(call.spec, id=fresh, position=1, effect=Effect.READ_ONLY)
            more |= {"new_call": new, "prompt_id": f"pmt_{fresh}"}
        elif action is Action.INPUT:
            more |= {"data": "yes\n", "sensitive": choice % 2 == 0}
        elif action is Action.HOLD:
            more["expires_in_ms"] = 5_000
        act = c.Act(
            actor=TECHNICIANS[who], tool_call_id=call.id, action=str(action), reason="r",
            seen=session.prompt_sequence(session.prompt_of(call)), **more,
        )  # fmt: skip
        if action in (Action.RETRY, Action.REQUEUE, Action.REROUTE, Action.RESUME, Action.RELEASE, Action.HOLD):
            for other in session.prompt_of(call).call_ids:
                self._world.oracle.confirmed_after[other] = self._world.loop.time()
        self._world.in_plane(self._ask(session_id, act))

    def act_twice(self, which: int, choice: int) -> None:
        self.act("anna", which, choice)
        self.act("bert", which, choice)

    def hand_over(self, where: int, who: str) -> None:
        if self._world.plane.ready:
            actor = TECHNICIANS[who]
            self._world.in_plane(self._ask(self._world.sessions[where], c.UpdateSession(actor=actor, owner=actor.id)))

    def review(self, which: int) -> None:
        if self._world.plane.ready:
            self.look_over(self._world.machines[which])

    def look_over(self, machine: Machine) -> None:
        """As the route does, once its own event is committed."""
        for start in self._world.oracle.starts:
            if start.machine == machine.name:
                self._world.oracle.confirmed_after[start.call_id] = self._world.loop.time()

        async def look() -> None:
            self._world.plane.hub.journal_reviewed(f"ept_{machine.name}")

        self._world.in_plane(look())

    def accept(self, which: int) -> None:
        if self._world.plane.ready:
            self._world.in_plane(self._accept(self._world.nodes[which].runtime_id))

    async def _accept(self, runtime_id: str) -> None:
        try:
            await self._world.plane.accept(runtime_id)
        except Fault:
            return
