"""A session's events as they are committed, across every interruption: none lost, none twice.

Owns the connection to the stream and the way back to it (`Last-Event-ID`). It runs in a thread of its own, so that
the command can renew its words and hear Ctrl-C while nothing happens.
"""

from __future__ import annotations

import threading
import time
from queue import Queue

from caisey.cli.client import Api
from caisey.cli.faults import CliFault, is_passing
from caisey.cli.sse import BrokenStream, ServerEvent

BACK_OFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)


class Interrupted:
    """The stream broke; it is being connected again."""


class Connected:
    """The stream is there (again)."""


Item = ServerEvent | Interrupted | Connected | CliFault


class EventFeed:
    """Puts what happens into `items`. A CliFault is the last item: the stream cannot go on.

    `give_up_s`: how long the control plane may be away. `stop()` ends it without waiting for the thread, which is a
    daemon and holds nothing but a socket.
    """

    def __init__(self, api: Api, path: str, last_id: str, *, give_up_s: float) -> None:
        self.items: Queue[Item] = Queue()
        self._api = api
        self._path = path
        self._last_id = last_id
        self._give_up_s = give_up_s
        self._stopped = threading.Event()
        self._opened = False
        self._heard = False
        self._thread = threading.Thread(target=self._run, name="event-feed", daemon=True)

    def start(self) -> None:
        """Connect, and go on until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Put nothing more into `items`."""
        self._stopped.set()

    def _run(self) -> None:
        quiet_tries = 0
        away_since = time.monotonic()
        while not self._stopped.is_set():
            self._opened = self._heard = False
            fault = self._listen()
            if fault is not None and not is_passing(fault):
                self._put(fault)
                return
            if self._opened:
                away_since = time.monotonic()
                self._put(Interrupted())
            elif fault is not None and time.monotonic() - away_since >= self._give_up_s:
                self._put(fault)
                return
            quiet_tries = 0 if self._heard else quiet_tries + 1
            self._stopped.wait(BACK_OFF_S[min(quiet_tries, len(BACK_OFF_S) - 1)])

    def _listen(self) -> CliFault | None:
        """One connection, until it ends; the fault that ended it, if one did."""
        try:
            for event in self._api.events(self._path, self._last_id, opened=self._open):
                self._heard = True
                self._last_id = event.id or self._last_id
                self._put(event)
        except BrokenStream as error:
            return CliFault(str(error))
        except CliFault as fault:
            return fault
        return None

    def _open(self) -> None:
        self._opened = True
        self._put(Connected())

    def _put(self, item: Item) -> None:
        if not self._stopped.is_set():
            self.items.put(item)
