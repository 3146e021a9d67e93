"""Virtual time: an event loop that never waits, and lives that can end at any instruction between two callbacks.

Owns the order in which things happen. Whatever runs belongs to a `Life` (a process, a computer, the world); what
belongs to a dead life is never called again, as after `kill -9`: no handler, no `finally`, no goodbye. What belongs to
a frozen one is called when it thaws. Nothing here reads a clock or draws a number.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

SPIN = 200_000
"""So many callbacks without a moment passing: something goes round in circles."""


class Life:
    """What may end or freeze as a whole, with everything below it."""

    def __init__(self, name: str, parent: Life | None = None) -> None:
        self.name = name
        self.dead: bool = parent is not None and parent.dead
        self.thaws_at: float = parent.thaws_at if parent is not None else 0.0
        self._below: list[Life] = []
        self._mourners: list[Callable[[], None]] = []
        if parent is not None:
            parent._below.append(self)

    def end(self) -> None:
        """Nothing of it is called any more, from now on."""
        if self.dead:
            return
        self.dead = True
        for life in self._below:
            life.end()
        for mourn in self._mourners:
            mourn()

    def freeze(self, until: float) -> None:
        """Nothing of it is called before `until` (seconds)."""
        self.thaws_at = max(self.thaws_at, until)
        for life in self._below:
            life.freeze(until)

    def when_it_ends(self, mourn: Callable[[], None]) -> None:
        """The world's doing, not the life's own."""
        self._mourners.append(mourn)

    def context(self) -> contextvars.Context:
        """A context in which everything belongs to this life."""
        context = contextvars.Context()
        context.run(LIFE.set, self)
        return context


WORLD = Life("world")
LIFE: contextvars.ContextVar[Life] = contextvars.ContextVar("life", default=WORLD)


class SpinError(Exception):
    """Time stands still."""


class Handle:
    """A callback that waits for its turn."""

    __slots__ = ("_cancelled", "_when", "args", "callback", "context")

    def __init__(
        self, callback: Callable[..., Any], args: tuple[Any, ...], context: contextvars.Context, when: float = 0.0
    ) -> None:
        self.callback, self.args, self.context = callback, args, context
        self._cancelled = False
        self._when = when

    def cancel(self) -> None:
        """As `asyncio.Handle`."""
        self._cancelled = True

    def cancelled(self) -> bool:
        """As `asyncio.Handle`."""
        return self._cancelled

    def when(self) -> float:
        """As `asyncio.TimerHandle`."""
        return self._when


class SimTask(asyncio.Task[Any]):
    """A task whose place in a set does not depend on where it lies in memory."""

    _numbers = itertools.count()
    _log_destroy_pending: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._place = next(self._numbers)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._place

    def __eq__(self, other: object) -> bool:
        return self is other


class SimLoop(asyncio.AbstractEventLoop):
    """See the module. `on_error` hears of exceptions that nobody caught."""

    def __init__(self, on_error: Callable[[str, BaseException | None], None], start: float = 1_000.0) -> None:
        self._now = start
        self._ready: deque[Handle] = deque()
        self._timers: list[tuple[float, int, Handle]] = []
        self._order = itertools.count()
        self._on_error = on_error
        self._tasks: list[SimTask] = []
        self._spun = 0
        self.steps = 0
        self.halted = False
        SimTask._numbers = itertools.count()

    # -- what asyncio asks for ---------------------------------------------------------------------------------------

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: contextvars.Context | None = None
    ) -> SimTask:
        task = SimTask(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        if len(self._tasks) > 2_000:
            self._tasks = [kept for kept in self._tasks if not kept.done()]
        return task

    def spawn(self, work: Coroutine[Any, Any, Any], life: Life) -> None:
        """Run it as part of this life; nobody waits for it."""
        context = life.context()
        self._tasks.append(context.run(SimTask, work, loop=self, context=context))

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None) -> Handle:  # type: ignore[override]
        handle = Handle(callback, args, context if context is not None else contextvars.copy_context())
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        handle = Handle(callback, args, context if context is not None else contextvars.copy_context(), when)
        heapq.heappush(self._timers, (when, next(self._order), handle))
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self._on_error(str(context.get("message")), context.get("exception"))

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]
        """What would block a thread is simulated: calling it gives the future of its result."""
        return func(*args)

    # -- time passes -------------------------------------------------------------------------------------------------

    def run_until(self, end: float, stop: Callable[[], bool] | None = None) -> None:
        """Everything that is due until `end`, or until `stop` says so after a callback, or until `halted`."""
        asyncio._set_running_loop(self)
        try:
            while not self.halted and (stop is None or not stop()):
                handle = self._next(end)
                if handle is None:
                    self._now = max(self._now, end)
                    return
                if not handle._cancelled:
                    self._run(handle)
        finally:
            asyncio._set_running_loop(None)

    def _next(self, end: float) -> Handle | None:
        if self._ready:
            return self._ready.popleft()
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not timers or timers[0][0] > end:
            return None
        when, _, handle = heapq.heappop(timers)
        if when > self._now:
            self._now, self._spun = when, 0
        return handle

    def _run(self, handle: Handle) -> None:
        life = handle.context.get(LIFE) or WORLD
        if life.dead:
            return
        if life.thaws_at > self._now:
            heapq.heappush(self._timers, (life.thaws_at, next(self._order), handle))
            return
        self.steps += 1
        self._spun += 1
        if self._spun > SPIN:
            raise SpinError(f"{handle.callback} of {life.name}")
        try:
            handle.context.run(handle.callback, *handle.args)
        except Exception as error:  # noqa: BLE001  (whoever is at fault is told; the world goes on)
            self._on_error(f"in {handle.callback!r} of {life.name}", error)

    def close(self) -> None:
        """Let go of everything that was suspended, quietly: its world is gone."""
        self._ready.clear()
        self._timers.clear()
        for task in self._tasks:
            if task.done():
                if not task.cancelled():
                    task.exception()
                continue
            task._log_destroy_pending = False
            coroutine = task.get_coro()
            for _ in range(8):
                try:
                    coroutine.close()
                except BaseException:  # noqa: BLE001, S112  (it wanted to wait once more: ask again)
                    continue
                break
        self._tasks.clear()
