"""A practice runtime on a thread of its own, for programs that have no event loop.

Owns the thread. The verbs wait until they are done; they may be called from any one thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, TypeVar

from caisey.practice.identity import Home
from caisey.practice.runtime import Choose, Runtime
from caisey.protocol.fields import BridgeKind

T = TypeVar("T")
CONNECT_WITHIN_S: Final = 30.0
END_WITHIN_S: Final = 10.0


class Background:
    """`with Background(home) as practice:` connects on entry, and ends on exit."""

    def __init__(self, home: Home, *, choose: Choose | None = None, bridge: BridgeKind = "websocket") -> None:
        self._home = home
        self._choose = choose
        self._bridge = bridge
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="practice", daemon=True)
        self._life: Future[None] | None = None
        self._runtime: Runtime | None = None

    @property
    def runtime(self) -> Runtime:
        """The runtime itself. Its attributes may be looked at from anywhere; its verbs go through `do`."""
        if self._runtime is None:
            raise RuntimeError("it was not started")
        return self._runtime

    def __enter__(self) -> Background:
        self._thread.start()
        self._runtime = self._on_loop(self._make(), CONNECT_WITHIN_S)
        self._life = asyncio.run_coroutine_threadsafe(self._runtime.run(), self._loop)
        self.do(self._runtime.connected())
        return self

    async def _make(self) -> Runtime:
        return Runtime(self._home, choose=self._choose, bridge=self._bridge)

    def do(self, verb: Coroutine[Any, Any, T], within_s: float = CONNECT_WITHIN_S) -> T:
        """Let it do something: `practice.do(practice.runtime.crash(back_after_s=2))`."""
        return self._on_loop(verb, within_s)

    def _on_loop(self, what: Coroutine[Any, Any, T], within_s: float) -> T:
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(what, within_s), self._loop).result()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._life is not None:
                self._loop.call_soon_threadsafe(self.runtime.stop)
                self._life.result(END_WITHIN_S)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(END_WITHIN_S)
            self._loop.close()
