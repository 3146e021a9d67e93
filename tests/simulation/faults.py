"""What goes wrong: the network, runtimes and their computers, the control plane, runtimes that lie.

Owns how each kind of fault is carried out, and what it takes back when its time is over.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

from caisey.protocol.frames import Leaving
from tests.simulation import lies
from tests.simulation.clockwork import WORLD
from tests.simulation.endpoint import Node
from tests.simulation.machine import Job, Journal, Machine
from tests.simulation.network import Weather, short
from tests.simulation.polls import HttpWire

if TYPE_CHECKING:
    from tests.simulation.world import World


class ToTell(NamedTuple):
    """A lie that waits for its moment."""

    node: Node
    what: str
    state: str
    pick: int
    above: int


class Faults:
    """Each method without an underscore that a story names is a kind of its events."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._clone: tuple[Machine, Node] | None = None
        self._backup: bytes | None = None
        self._to_tell: list[ToTell] = []

    def stop(self) -> None:
        """No more of them: whoever was a copy is gone, computers are on, nobody lies."""
        self._to_tell.clear()
        self.clone_ends()
        for machine in self._world.machines:
            machine.no_forks = False
            self.switch_on(machine)
            for disk in machine.disks.values():
                disk.full = False

    def partition(self, which: int, way: str, seconds: float) -> None:
        weather = self._world.weather[self._world.nodes[which]]
        weather.up, weather.down = weather.up and way == "down", weather.down and way == "up"

        def heal() -> None:
            weather.up = weather.down = True
            for wire in self._world.wires:
                wire.healed()

        self._world.during(f"partition {way}", seconds, heal)

    def wild(self, which: int, seconds: float, *chances: float) -> None:
        """Chances of a frame: to be lost, doubled, late, garbled."""
        node = self._world.nodes[which]
        weather = self._world.weather[node]
        weather.lose, weather.double, weather.reorder, weather.garble = chances

        def over() -> None:
            weather.lose = weather.double = weather.reorder = weather.garble = 0.0
            self._cut(node)

        self._world.during("wild", seconds, over)

    def slow(self, which: int, seconds: float, latency_s: float) -> None:
        weather = self._world.weather[self._world.nodes[which]]
        weather.latency_s = latency_s
        self._world.during("slow", seconds, lambda: setattr(weather, "latency_s", self._world.story.latency_s))

    def no_websockets(self, which: int, seconds: float) -> None:
        """A proxy on the way breaks them, and lets other requests pass."""
        node = self._world.nodes[which]
        self._world.no_websockets[node] += 1
        for wire in self._world.wires:
            if wire.client.life is node.life and not isinstance(wire, HttpWire):
                wire.cut()

        def over() -> None:
            self._world.no_websockets[node] = max(0, self._world.no_websockets[node] - 1)

        self._world.during("no websockets", seconds, over)

    def cut(self, which: int) -> None:
        self._cut(self._world.nodes[which])

    def _cut(self, node: Node) -> None:
        for wire in self._world.wires:
            if wire.client.life is node.life:
                wire.cut()

    def crash_at(self, which: int, writes: int, when: str) -> None:
        self._world.nodes[which].crash_at = (writes, when)

    def crash(self, which: int, again_s: float) -> None:
        self._world.nodes[which].crash(again_s)

    def leave(self, which: int, reason: str) -> None:
        node = self._world.nodes[which]
        if node.running and node.agent is not None and node.life is not None:
            self._world.loop.call_soon(node.agent.leave, reason, context=node.life.context())

    def hang(self, which: int, seconds: float) -> None:
        life = self._world.nodes[which].life
        if life is not None and not life.dead:
            life.freeze(self._world.loop.time() + seconds)
            self._world.during("hang", seconds, lambda: None)

    def reboot(self, which: int, seconds: float) -> None:
        machine = self._world.machines[which]
        if not machine.boot.dead:
            self._silence(machine)
            machine.switch_off()
            self._world.during("off", seconds, lambda: self.switch_on(machine))

    def _silence(self, machine: Machine) -> None:
        """Without power nobody says goodbye."""
        for wire in self._world.wires:
            if wire.client.life.name.startswith("rtm_") and any(
                n.life is wire.client.life and n.machine is machine for n in self._all_nodes()
            ):
                wire.break_off("client", silent=True)

    def _all_nodes(self) -> list[Node]:
        return self._world.nodes + ([self._clone[1]] if self._clone is not None else [])

    def switch_on(self, machine: Machine) -> None:
        if machine.boot.dead:
            machine.switch_on()
            for node in self._all_nodes():
                if node.machine is machine:
                    node.again(0.3)

    def sleep(self, which: int, seconds: float) -> None:
        machine = self._world.machines[which]
        if machine.boot.dead or machine.boot.thaws_at > self._world.loop.time():
            return
        for node in self._world.nodes:
            if node.machine is machine and node.running and node.agent is not None and self._world.dice.random() < 0.5:
                outbox = node.agent._outbox
                if outbox is not None:
                    outbox.post(Leaving(reason="sleep"))
        machine.sleep(seconds)
        self._world.during("asleep", seconds, lambda: None)

    def picture(self, which: int) -> None:
        machine = self._world.machines[which]
        self._world.pictures[machine.name] = machine.picture()

    def set_back(self, which: int) -> None:
        machine = self._world.machines[which]
        picture = self._world.pictures.get(machine.name)
        if picture is None or machine.boot.dead:
            return
        for name, sequence in picture.sequences.items():
            self._world.oracle.set_back(name, machine.name, sequence, machine.epoch)
        self._silence(machine)
        machine.set_back(picture)
        self._world.during("set back", 1.0, lambda: self.switch_on(machine))

    def clone(self, seconds: float) -> None:
        """A copy of the second computer, with its key, lives beside it for a while."""
        if self._clone is not None:
            return
        original = self._world.machines[1]
        folder = original.folder.parent / f"twin{self._world.happened['clone']}"
        twin = Machine(
            "twin",
            self._world.loop,
            random.Random(f"{self._world.story.seed} twin"),
            folder,
            self._world.oracle.started,
        )
        disk = Journal("jrn_two", twin.folder)
        disk.restore(original.disks["jrn_two"].picture())
        twin.disks[disk.name] = disk
        twin.start_numbers = dict(original.start_numbers)
        node = self._world.node("rtm_2", twin, disk, self._world.story.seed, "twin")
        self._clone = (twin, node)
        self._world.weather[node] = Weather(latency_s=self._world.story.latency_s)
        self._world.oracle.cloned.add(disk.name)
        node.fingerprint = self._world.nodes[2].fingerprint
        node.start()
        self._world.during("clone", seconds, self.clone_ends)

    def clone_ends(self) -> None:
        if self._clone is not None:
            self._clone[0].switch_off()
            self._clone[0].disks["jrn_two"].connection.close()
            self._clone = None

    def disk_full(self, which: int, seconds: float) -> None:
        disk = self._world.nodes[which].disk
        disk.full = True
        self._world.during("disk full", seconds, lambda: setattr(disk, "full", False))

    def no_forks(self, which: int, seconds: float) -> None:
        machine = self._world.machines[which]
        machine.no_forks = True
        self._world.during("no forks", seconds, lambda: setattr(machine, "no_forks", False))

    def _job(self, which: int, pick: int) -> Job | None:
        jobs = [job for job in self._world.machines[which].jobs.values() if not job.over and job.gone]
        return jobs[pick % len(jobs)] if jobs else None

    def kill_shim(self, which: int, pick: int) -> None:
        job = self._job(which, pick)
        if job is not None:
            job.kill_shim()

    def kill_job(self, which: int, pick: int) -> None:
        job = self._job(which, pick)
        if job is not None:
            job.kill_all()

    def lie(self, which: int, what: str, state: str, pick: int, above: int) -> None:
        """A word that is not so, said once the runtime has an attempt in this state."""
        self._to_tell.append(ToTell(self._world.nodes[which], what, state, pick, above))
        self.tell_lies()

    def tell_lies(self) -> None:
        """Those whose moment has come."""
        if self._to_tell and self._world.plane.ready:
            self._to_tell = [lie for lie in self._to_tell if not self._told(lie)]

    def _told(self, lie: ToTell) -> bool:
        node, name = lie.node, lie.node.disk.name
        fitting = [
            a
            for session_id in self._world.sessions
            for call in self._world.calls_of(session_id)
            for a in call.attempts
            if a.journal_id == name and a.state == lie.state and lies.fits(lie.what, a)
        ]
        if not fitting or node.bridge is None or node.agent is None or not node.agent.connected.is_set():
            return False
        attempt = fitting[lie.pick % len(fitting)]
        self._world.oracle.lied.add(name)
        for data in lies.told(lie.what, attempt, max(0, attempt.journal_sequence + lie.above)):
            self._world.tell(node.runtime_id, f"lies: {short(data)}")
            node.bridge.lie(data)
        return True

    def skew(self, which: int, by_ms: int) -> None:
        self._world.machines[which].skew_ms += by_ms

    def plane_dies(self, commits: int, when: str) -> None:
        self._world.plane.die_in(commits, when)

    def plane_crash(self, again_s: float) -> None:
        self._world.plane_again_s = again_s
        self._world.plane.crash()

    def plane_hangs(self, seconds: float) -> None:
        self._world.plane.life.freeze(self._world.loop.time() + seconds)
        self._world.during("plane hangs", seconds, lambda: None)

    def plane_disk(self, count: int, when: str) -> None:
        self._world.plane.fail_commits([when] * count)
        # The sweeper looks again five seconds after a commit that failed.
        self._world.loop.call_later(2.0, self._world.plane.fail_commits, [], context=WORLD.context())
        self._world.during("plane_disk", 9.0, lambda: None)

    def plane_slow_disk(self, seconds: float, commit_s: float) -> None:
        self._world.plane.commit_s = commit_s
        self._world.during(
            "plane_disk",
            seconds + commit_s * 4,
            lambda: setattr(self._world.plane, "commit_s", self._world.story.commit_s),
        )

    def clock_step(self, by_ms: int) -> None:
        self._world.plane.clock.step_ms += by_ms
        self._world.stepped_at = self._world.loop.time()
        if not self._world.plane.ready or self._world.plane_busy():
            self._world.unseen_step = True

    def backup(self) -> None:
        if self._world.plane.ready:
            self._backup = self._world.plane.picture()

    def restore(self) -> None:
        if self._backup is not None and self._world.plane.ready:
            self._world.plane.crash()
            self._world.plane.restore(self._backup)
            self._world.restoring = True
