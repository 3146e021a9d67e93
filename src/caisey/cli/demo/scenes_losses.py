"""Stalls in which something is lost: the frame, the agent, the computer, the control plane, the computer's own record.

Owns these scenes; what should come of them stands in `expected`. Every process in them is real and is really killed.
"""

from __future__ import annotations

import time
from pathlib import Path

from caisey.cli import machine
from caisey.cli.demo.computer import BootingComputer, Computer
from caisey.cli.demo.judging import Found
from caisey.cli.demo.scene import Document, Scene, has, shell, stands
from caisey.cli.faults import CliFault

YOUNG_MS = 500
"""A proof of life so young that a frame goes out without a question first."""
TRIES = 5


def orphaned(s: Scene) -> Found:
    """The agent takes the frame from nobody: no word inside the window, until its own record can be asked."""
    computer = s.computer()
    with s.stage.windows(computer, heartbeat_interval_s=2):
        prompt = _sent_into_silence(s, computer)
        s.known(prompt, has("orphaned", tried=0), tried=0)
        pid = computer.pid
        computer.lose_power()
        s.does(f"kill -9 {pid}; caisey runtime run", "the agent is started again")
        computer.start()
        first = s.until(prompt, _proved_not_to_run, quietly=True)["attempts"][0]
        s.concluded(first)
        s.also.append(f"first try: {first['verdict']['ran']}")
        return s.ends(prompt)


def _sent_into_silence(s: Scene, computer: Computer) -> str:
    """A request that goes out to an agent which has just frozen.

    It goes out without a question first only while the last proof of life is young. A busy machine may be too slow for
    that: then it is kept back, as it should be, and everything is done once more.
    """
    for _ in range(TRIES):
        machine.wait_until(lambda: s.api.now_ms() - computer.proved_ms() < YOUNG_MS, "A fresh proof of life")
        computer.freeze()
        frozen = computer.pid
        prompt = str(s.send(shell(f"echo ran >> {s.trace}; echo done"))["id"])
        s.clock()
        sent = s.until(
            prompt, lambda call: stands("dispatched", "held")(call) or has("orphaned", tried=0)(call), quietly=True
        )
        if sent["attempts"][0]["dispatched_at"]:
            s.does(f"kill -STOP {frozen}", "the agent freezes; its connection stays open")
            s.screen.asks(sent, s.me)
            return prompt
        s.act(prompt, "cancel", reason="not sent in time", quietly=True)
        computer.thaw()
        s.computer()
    raise CliFault("This machine is too busy to send a request within half a second", code="demo.too_busy")


def _proved_not_to_run(call: Document) -> bool:
    return bool(call["attempts"][0]["verdict"]["ran"] == "no")


def died_before_start(s: Scene) -> Found:
    """The request is in the computer's record, and the agent dies before it lets the command go."""
    computer = s.computer()
    with s.stage.windows(computer, reconcile_window_s=2):
        starters = computer.block_starts()
        s.does(f"kill -STOP {' '.join(map(str, starters))}", "what starts commands there freezes")
        prompt = s.ask(shell(f"echo ran >> {s.trace}; echo done"))
        s.until(prompt, stands("acknowledged"))
        _dies(s, computer, "the agent dies before it starts the command")
        s.known(prompt, has("runtime_died"))
        _returns(s, computer)
        s.until(prompt, has("answered"))
        return s.ends(prompt)


def died_during(s: Scene) -> Found:
    """Agent and command are gone: the record proves a start and no end, and nobody runs it again by himself."""
    computer = s.computer()
    prompt = _running(s, f"echo ran >> {s.trace}; echo cleaning; [ -e {s.trace}.go ] || sleep 60; echo clean")
    _dies(s, computer)
    s.until(prompt, stands("lost"))
    _returns(s, computer)
    s.known(prompt, has("runtime_died"))
    Path(f"{s.trace}.go").touch()
    check = s.act(prompt, "verify", reason="how far did it come?", arguments={"command": f"wc -l {s.trace}"})
    s.screen.shows(s.output(s.until(check["check_prompt_id"], has("answered"), quietly=True)).splitlines())
    s.act(prompt, "retry", reason="it is safe to clean twice")
    return s.ends(prompt)


def adopted(s: Scene) -> Found:
    """Only the agent dies: the command goes on in its shim, and the next agent takes it over."""
    computer = s.computer()
    prompt = _running(s, f"echo ran >> {s.trace}; echo before; {_waits(s)}; echo after")
    s.clock()
    pid = computer.pid
    computer.kill()
    s.does(f"kill -9 {pid}", "the agent dies; the command does not")
    s.known(prompt, stands("lost"))
    _returns(s, computer)
    s.until(prompt, stands("started"))
    Path(f"{s.trace}.go").touch()
    found = s.ends(prompt)
    s.prints_all(prompt, ["before", "after"])
    return found._replace(also=tuple(s.also))


def reboot(s: Scene) -> Found:
    """Another boot id: the computer restarted while the command ran."""
    computer = s.computer()
    assert isinstance(computer, BootingComputer)
    prompt = _running(s, f"echo ran >> {s.trace}; echo half of the report; sleep 60; echo the other half")
    s.until(prompt, s.output)
    _dies(s, computer, "the power goes")
    computer.restart_computer()
    _returns(s, computer, "it has started again, with another boot id")
    call = s.known(prompt, has("runtime_died"))
    boots = [fact.get("boot") for fact in call["attempts"][-1]["evidence"] if fact["type"] == "new_incarnation"]
    s.also += [f"{boot} boot id" for boot in boots]
    s.act(prompt, "accept_partial", reason="half of it is enough")
    return s.ends(prompt)


def held(s: Scene) -> Found:
    """No work for an agent that missed two heartbeats; what got old meanwhile is asked about before it starts."""
    computer = s.computer()
    with s.stage.windows(computer, mutating_age_s=0.5):
        computer.freeze()
        s.does(f"kill -STOP {computer.pid}", "the agent freezes")
        s.clock()
        computer.wait_for(lambda endpoint: endpoint["health"] == "unhealthy", "Two missed heartbeats")
        prompt = s.ask(shell(f"echo ran >> {s.trace}; echo done"))
        s.known(prompt, stands("held"))
        time.sleep(0.5)
        computer.thaw()
        s.does(f"kill -CONT {computer.pid}", "the agent goes on")
        s.until(prompt, lambda call: call["now"]["entry"] == "held.world_changed")
        s.act(prompt, "release", reason="still wanted")
        return s.ends(prompt)


def control_plane_killed(s: Scene) -> Found:
    """Caisey dies in the middle of a command's output, and is started again on the same data."""
    s.computer()
    until_then = f"for n in 1 2 3; do echo line $n; sleep 0.2; done; {_waits(s)}"
    prompt = _running(s, f"echo ran >> {s.trace}; {until_then}; echo line 4")
    s.until(prompt, s.output)
    pid = s.stage.kill_control_plane()
    s.clock()
    s.does(f"kill -9 {pid}; caisey serve", "Caisey dies, and is started again")
    s.stage.start_control_plane()
    s.known(prompt, stands("started"))
    Path(f"{s.trace}.go").touch()
    found = s.ends(prompt)
    s.prints_all(prompt, [f"line {n}" for n in (1, 2, 3, 4)])
    return found._replace(also=tuple(s.also))


def journal_set_back(s: Scene) -> Found:
    """The record is an older copy now: what it does not know proves nothing, and a person has to look."""
    computer = s.computer()
    first = s.send(shell("true", "read_only"))["id"]
    s.until(first, has("empty"), quietly=True)
    computer.kill()
    copy = computer.copy_record()
    computer.start()
    with s.stage.windows(computer, reconcile_window_s=2):
        prompt = _running(s, f"echo ran >> {s.trace}; [ -e {s.trace}.go ] || sleep 60; echo restored")
        _dies(s, computer, "the disk is gone …")
        computer.set_back(copy)
        _returns(s, computer, "… and restored from a backup of before")
        call = s.known(prompt, has("runtime_died"))
    Path(f"{s.trace}.go").touch()
    s.also += [fact["type"] for fact in call["attempts"][-1]["evidence"] if fact["type"] == "journal_regressed"][:1]
    _looked_at(s, computer)
    s.act(prompt, "retry", reason="what it did was lost with the disk")
    return s.ends(prompt, before=("reviewed by a person",))


def _looked_at(s: Scene, computer: Computer) -> None:
    """Nothing that may change things goes there by itself until somebody with the right to say so has looked."""
    items = [item for item in s.api.get("/attention")["items"] if item["endpoint_id"] == computer.endpoint_id]
    labels = [item["label"] for item in items if "journal" in item["type"]]
    s.also += ["in attention" for _ in labels][:1]
    s.screen.shows(f"Attention: {label}" for label in labels)
    s.screen.decides("Owner", "I have looked at this computer")
    reviewed = f"/endpoints/{computer.endpoint_id}/journal-reviewed"
    s.stage.people["owner"].post(reviewed, {"reason": "restored from last night's backup"})


# -- what the scenes have in common -----------------------------------------------------------------------------------


def _running(s: Scene, command: str) -> str:
    """A command that has begun, on disk and in the API."""
    prompt = s.ask(shell(command))
    s.until(prompt, lambda call: stands("started")(call) and s.starts())
    return prompt


def _waits(s: Scene) -> str:
    """A command that lasts until the scene lets it end."""
    return f"while [ ! -e {s.trace}.go ]; do sleep 0.05; done"


def _dies(s: Scene, computer: Computer, meaning: str = "the agent dies, and the command with it") -> None:
    pid = computer.pid
    s.clock()
    computer.lose_power()
    s.does(f"kill -9 {pid} …", meaning)


def _returns(s: Scene, computer: Computer, meaning: str = "the agent is started again") -> None:
    s.does("caisey runtime run", meaning)
    computer.start()
