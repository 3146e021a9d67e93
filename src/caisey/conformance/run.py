"""Playing the matrix: every row under every effect, side by side, on endpoints of the test.

Owns the order and the bounds. Rows that disturb nobody share endpoints; the others have one to themselves and give it
on. A row that fails in any way is a cell that says so, never the end of the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import httpx

from caisey.conformance.bench import Bench, Computer
from caisey.conformance.client import RefusedError
from caisey.conformance.form import Cell, Effect, Found, Stall, compared
from caisey.conformance.stage import Stage, StageError
from caisey.protocol.fields import BridgeKind

SHARED: Final = 2
AT_ONCE_SHARED: Final = 8
"""Rows at once on each shared endpoint; a runtime takes 32 calls."""
ALONE: Final = 10
"""Endpoints for rows that need one to themselves. All enrollments of a run stay below 20, the limit of a minute."""
RESTARTED: Final = 2
"""Endpoints for rows over a restart of the control plane; they share them."""
ROW_WITHIN_S: Final = 120.0

REPLAYED: Final = 12
"""A row that was not as specified is played once more by itself: the others may have slowed an answer beyond its
window. More than these are not, and never one that started more often than it may."""

Told = Callable[[Cell], None]


def selected(stalls: Sequence[Stall], only: Sequence[str] = ()) -> list[tuple[Stall, Effect]]:
    """Every cell whose name holds one of the texts; all of them where there is none."""
    return [
        (stall, effect)
        for stall in stalls
        for effect in stall.cells
        if not only or any(text.lower() in f"{stall.group} {stall.name} {effect}".lower() for text in only)
    ]


async def play_all(stage: Stage, cells: Sequence[tuple[Stall, Effect]], told: Told, slack_s: float) -> list[Cell]:
    """Play these cells; each is told as it is found. In the order of `cells`.

    Without a control plane that may be killed, rows over its restart are left out.
    """
    found: dict[tuple[str, Effect], Cell] = {}

    doubtful: list[Cell] = []

    def tell(cell: Cell) -> None:
        found[cell.stall.name, cell.effect] = cell
        if cell.may_be_the_load and not cell.stall.restarts and len(doubtful) < REPLAYED:
            doubtful.append(cell)
        else:
            told(cell)

    player = _Player(stage, tell, slack_s)
    last = [cell for cell in cells if cell[0].restarts]
    alone = sorted((cell for cell in cells if cell[0].alone), key=lambda cell: cell[0].spoils)
    shared = [cell for cell in cells if not cell[0].alone and not cell[0].restarts]
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(player.share([cell for cell in shared if cell[0].bridge == "websocket"]))
            group.create_task(player.share([cell for cell in shared if cell[0].bridge == "longpoll"], "longpoll"))
            group.create_task(player.one_by_one(alone))
        await player.across_a_restart(last)
    except BaseExceptionGroup as several:
        raise _first(several) from None
    for cell in doubtful:
        again = await player.again(cell)
        found[cell.stall.name, cell.effect] = again
        told(again)
    return [found[stall.name, effect] for stall, effect in cells if (stall.name, effect) in found]


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """The fault that ended all; the others are that they were ended."""
    first = several.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


class _Player:
    def __init__(self, stage: Stage, told: Told, slack_s: float) -> None:
        self._stage = stage
        self._told = told
        self._slack_s = slack_s

    async def share(self, cells: Sequence[tuple[Stall, Effect]], bridge: BridgeKind = "websocket") -> None:
        """Side by side on few endpoints."""
        if not cells:
            return
        most = SHARED if bridge == "websocket" else 1
        computers = [await self._stage.computer(bridge=bridge) for _ in range(min(most, len(cells)))]
        queue = list(reversed(cells))

        async def take(computer: Computer) -> None:
            while queue:
                await self._play(computer, *queue.pop())

        async with asyncio.TaskGroup() as group:
            for computer in computers:
                for _ in range(AT_ONCE_SHARED):
                    group.create_task(take(computer))

    async def one_by_one(self, cells: Sequence[tuple[Stall, Effect]]) -> None:
        """One after the other on each of several endpoints."""
        queue = list(reversed(cells))

        async def take() -> None:
            computer: Computer | None = None
            while queue:
                stall, effect = queue.pop()
                if computer is None:
                    computer = await self._stage.computer()
                await self._play(computer, stall, effect)
                computer = None if stall.spoils else computer
                if computer is not None and queue:
                    await self._stage.ready(computer)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(ALONE, len(cells))):
                group.create_task(take())

    async def across_a_restart(self, cells: Sequence[tuple[Stall, Effect]]) -> None:
        """All at once, over one kill of the control plane: each waits at it until the others are there too."""
        if not cells or self._stage.restart is None:
            return
        restart, waiting = self._stage.restart, len(cells)
        everybody, over = asyncio.Event(), asyncio.Event()

        async def at_the_kill() -> None:
            nonlocal waiting
            waiting -= 1
            if waiting == 0:
                everybody.set()
            await over.wait()

        async def kill() -> None:
            await everybody.wait()
            await restart()
            over.set()

        async def play(computer: Computer, stall: Stall, effect: Effect) -> None:
            arrived = False

            async def arrive() -> None:
                nonlocal arrived
                arrived = True
                await at_the_kill()

            cell = await self._cell(computer, stall, effect, arrive)
            self._told(cell)
            if not arrived:  # it failed before: the others must not wait for it
                await at_the_kill()

        computers = [await self._stage.computer() for _ in range(min(RESTARTED, len(cells)))]
        async with asyncio.TaskGroup() as group:
            group.create_task(kill())
            for place, (stall, effect) in enumerate(cells):
                group.create_task(play(computers[place % len(computers)], stall, effect))

    async def again(self, cell: Cell) -> Cell:
        """Once more, with nothing else going on."""
        computer = await self._stage.computer() if cell.stall.spoils else self._stage.computers[0]
        if not cell.stall.spoils:
            await self._stage.ready(computer)
        second = await self._cell(computer, cell.stall, cell.effect)
        second.times_played = 2
        return second

    async def _play(self, computer: Computer, stall: Stall, effect: Effect) -> None:
        self._told(await self._cell(computer, stall, effect))

    async def _cell(
        self, computer: Computer, stall: Stall, effect: Effect, restart: Callable[[], Awaitable[None]] | None = None
    ) -> Cell:
        try:
            async with asyncio.timeout(ROW_WITHIN_S):
                found = await self._found(computer, stall, effect, restart)
        except TimeoutError:
            found = Found(failure=f"not within {ROW_WITHIN_S:.0f} s")
        except (RefusedError, StageError, httpx.TransportError, LookupError) as error:
            found = Found(failure=f"{type(error).__name__}: {error}")
        expected = stall.cells[effect]
        return Cell(stall, effect, expected, found, compared(expected, found, self._slack_s))

    async def _found(
        self, computer: Computer, stall: Stall, effect: Effect, restart: Callable[[], Awaitable[None]] | None
    ) -> Found:
        session_id = await self._stage.session(computer, f"{stall.name} · {effect}")
        bench = Bench(self._stage.client, computer, session_id, stall, effect)
        bench.other_person = self._stage.other_person
        if restart is not None:
            bench.restart_control_plane = restart
        if stall.second:
            bench.others.append(await self._stage.computer(like=computer))
        try:
            if stall.drive is not None:
                return await stall.drive(bench, effect)
            prompt = await bench.settled(await bench.ask())
            return await bench.found(prompt)
        finally:
            await self._stage.clear(session_id, bench.prompt_ids)
