"""The network between runtimes and control plane: a TCP proxy that cuts, stalls, loses, corrupts, delays and doubles.

Owns its port, its connections and one thread. It works on bytes: it knows nothing of WebSocket or HTTP, so what it
breaks is broken wherever it happens to be. The seed gives the plan; the moments are the machine's.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from typing import Literal

from tests.end_to_end.server import free_port

Direction = Literal["up", "down"]
"""Up is from the runtime to the control plane."""

Weather = Literal["clear", "stall", "lose", "corrupt", "delay", "double"]
SIZES = (5, 97, 1024, 65_536, 65_536)
DELAY_S = 0.25
CORRUPT = 0.3  # of the segments, so that a few come through in between


class Proxy:
    """Listens on a port of its own and connects each caller to the control plane."""

    def __init__(self, target: int, seed: int) -> None:
        self._target = target
        self._dice = random.Random(seed)
        self._weather: dict[Direction, Weather] = {"up": "clear", "down": "clear"}
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.done: Counter[str] = Counter()

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._server = self._on_loop(asyncio.start_server(self._serve, "127.0.0.1", self.port))
        return self

    def __exit__(self, *_: object) -> None:
        self._on_loop(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def set(self, weather: Weather, *directions: Direction) -> None:
        """From now on, in these directions, or in both."""
        for direction in directions or ("up", "down"):
            self._weather[direction] = weather

    def cut(self) -> int:
        """Ends every connection at once, without a goodbye; how many."""
        return self._on_loop(self._cut())

    # -- on the loop ---------------------------------------------------------------------------------------------

    def _on_loop(self, work):  # type: ignore[no-untyped-def]
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _cut(self) -> int:
        for writer in self._writers:
            writer.transport.abort()
        found = len(self._writers) // 2
        self._writers.clear()
        return found

    async def _end(self) -> None:
        self._server.close()
        await self._cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            self._tasks.discard(task)
            return
        self._writers |= {writer, far_writer}
        pumps = [
            asyncio.create_task(self._pump(reader, far_writer, "up")),
            asyncio.create_task(self._pump(far_reader, writer, "down")),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for end in (writer, far_writer):
                self._writers.discard(end)
                end.close()
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction) -> None:
        try:
            while data := await reader.read(self._dice.choice(SIZES)):
                for part in await self._through(data, direction):
                    writer.write(part)
                await writer.drain()
        except OSError:
            return

    async def _through(self, data: bytes, direction: Direction) -> tuple[bytes, ...]:
        """What becomes of one segment."""
        weather = self._weather[direction]
        if weather == "clear":
            return (data,)
        if weather == "corrupt" and self._dice.random() > CORRUPT:
            return (data,)
        self.done[f"{weather} {direction}"] += 1
        if weather == "delay":
            await asyncio.sleep(self._dice.uniform(0, DELAY_S))
        while weather == "stall" and self._weather[direction] == "stall":  # noqa: ASYNC110  (weather tells nobody)
            await asyncio.sleep(0.02)
        if weather == "lose":
            return ()
        if weather == "corrupt":
            place, bit = self._dice.randrange(len(data)), 1 << self._dice.randrange(8)
            return (data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :],)
        return (data, data) if weather == "double" else (data,)
