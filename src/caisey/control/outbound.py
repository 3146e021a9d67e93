"""Effects become frames: signed, addressed to the incarnation that is meant, given to a bridge.

Owns what goes out to a welcomed runtime. It is called after COMMIT only, decides nothing, and does nothing for a
runtime or a bridge that is gone: what is owed is derived again from the session when somebody connects. Every frame it
sends may be sent twice.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from caisey.control.clock import Times
from caisey.control.connections import Connection, Fleet, LiveRuntime, Ping
from caisey.control.keyring import Keyring
from caisey.core import effects as fx
from caisey.protocol import frames as f
from caisey.protocol import limits
from caisey.protocol.codec import encode
from caisey.protocol.signatures import sign

SENSITIVE_KEPT: Final = 1_000
HANDED_KEPT: Final = 2_000  # per endpoint; the newest

RandomBytes = Callable[[int], bytes]
InputKey = tuple[str, int, int]  # tool call, number, sequence


class Outbound:
    """See the module."""

    def __init__(self, fleet: Fleet, keyring: Keyring, times: Times, random_bytes: RandomBytes) -> None:
        self._fleet = fleet
        self._keyring = keyring
        self._times = times
        self._random = random_bytes
        self._questions: dict[str, dict[f.Question, None]] = {}  # by runtime, until the end of this turn of the loop
        self._owed: dict[tuple[str, str, int], fx.Confirm] = {}  # confirmations, until the end of this turn
        self._sensitive: OrderedDict[InputKey, str] = OrderedDict()
        self._learn: Callable[[str, str, str], object] | None = None
        self._runners: dict[type[fx.SendEffect], Callable[[Any], None]] = {
            fx.SendDispatch: self._dispatch,
            fx.SendCancel: self._cancel,
            fx.SendInput: self._input,
            fx.AskReconcile: self._reconcile,
            fx.AskCheck: self._check,
            fx.Confirm: self._confirm,
        }

    def run(self, effects: Sequence[fx.Effect]) -> None:
        """Send what has to be sent."""
        for effect in effects:
            self._runners[type(effect)](effect)

    def tell_places(self, learn: Callable[[str, str, str], object]) -> None:
        """`learn` hears the tool call, session and endpoint of each dispatch: its runtime is about to speak of it."""
        self._learn = learn

    # -- work -------------------------------------------------------------------------------------------------------

    def _dispatch(self, effect: fx.SendDispatch) -> None:
        """To the incarnation and bridge that were committed. If they are gone, its deadline asks the journal."""
        runtime = self._fleet.runtimes.get(effect.runtime_id)
        if runtime is None or runtime.incarnation != effect.incarnation or runtime.settle_only:
            return
        connection = runtime.connections.get(effect.bridge)
        if connection is None or connection.closed:
            return
        frame = f.Dispatch(
            runtime_id=runtime.runtime_id,
            incarnation=runtime.incarnation,
            journal_id=effect.journal_id,
            attempt=f.Reference(effect.tool_call_id, effect.number),
            consent=effect.consent,
            session_id=effect.session_id,
            tool=effect.tool,
            tool_version=effect.tool_version,
            arguments=effect.arguments,
            effect=effect.effect,  # type: ignore[arg-type]  # the same words in core and on the wire
            limits=f.DispatchLimits(
                time_ms=effect.time_ms, output_bytes=effect.output_bytes, start_within_ms=effect.start_within_ms
            ),
            issued_at_ms=self._times.now_ms(),
        )
        key = (effect.tool_call_id, effect.number)
        if self._learn is not None:
            self._learn(effect.tool_call_id, effect.session_id, effect.endpoint_id)
        connection.send(self._signed(runtime, frame), lambda: self._handed(runtime, key))

    def _handed(self, runtime: LiveRuntime, key: tuple[str, int]) -> None:
        handed = runtime.endpoint.handed
        handed[key] = self._times.now_ms()
        if len(handed) > HANDED_KEPT:
            del handed[next(iter(handed))]

    def _cancel(self, effect: fx.SendCancel) -> None:
        """On every connection of the journal: any of its runtimes may close it."""
        for runtime in self._with_journal(effect.endpoint_id, effect.journal_id):
            frame = f.Cancel(
                runtime_id=runtime.runtime_id,
                incarnation=runtime.incarnation,
                attempt=f.Reference(effect.tool_call_id, effect.number),
                consent=effect.consent,
                unless_started=effect.unless_started,
            )
            data = self._signed(runtime, frame)
            for connection in runtime.connections.values():
                connection.send(data)

    def _input(self, effect: fx.SendInput) -> None:
        """To every runtime of the journal; the one that has the attempt writes it, once."""
        key = (effect.tool_call_id, effect.number, effect.sequence)
        data = effect.data
        if effect.sensitive and data is not None:
            self._sensitive[key] = data
            if len(self._sensitive) > SENSITIVE_KEPT:
                self._sensitive.popitem(last=False)
        elif effect.sensitive:
            data = self._sensitive.get(key)
        if data is None:
            return  # it was never kept, and is gone: whoever typed it has to do so again
        for runtime in self._with_journal(effect.endpoint_id, effect.journal_id):
            frame = f.Input(
                runtime_id=runtime.runtime_id,
                incarnation=runtime.incarnation,
                attempt=f.Reference(effect.tool_call_id, effect.number),
                sequence=effect.sequence,
                data=data.encode(),
                close=effect.close,
                sensitive=effect.sensitive,
            )
            self._to(runtime, self._signed(runtime, frame))

    def input_accepted(self, tool_call_id: str, number: int, sequence: int) -> None:
        """The runtime has it: forget what was sensitive."""
        self._sensitive.pop((tool_call_id, number, sequence), None)

    # -- questions --------------------------------------------------------------------------------------------------

    def _reconcile(self, effect: fx.AskReconcile) -> None:
        """Questions of one turn of the loop go out together."""
        question = f.Question(tool_call_id=effect.tool_call_id, number=effect.number, consent=effect.consent)
        for runtime_id in effect.runtime_ids:
            if not self._questions:
                asyncio.get_running_loop().call_soon(self._ask)
            self._questions.setdefault(runtime_id, {})[question] = None

    def _ask(self) -> None:
        asked, self._questions = self._questions, {}
        for runtime_id, questions in asked.items():
            runtime = self._fleet.runtimes.get(runtime_id)
            if runtime is None:
                continue
            every = list(questions)
            for start in range(0, len(every), limits.REFERENCES):
                self._to(runtime, encode(f.Reconcile(attempts=tuple(every[start : start + limits.REFERENCES]))))

    def _check(self, effect: fx.AskCheck) -> None:
        runtime = self._fleet.runtimes.get(effect.runtime_id)
        connection = runtime.best if runtime is not None else None
        if connection is not None:
            self.ping(connection, nonce=effect.nonce, asked=True)

    def ping(
        self, connection: Connection, *, nonce: bool, asked: bool, answered: asyncio.Future[None] | None = None
    ) -> None:
        """Ask for the proof that the runtime answers; with a nonce, that it still holds its key."""
        ping_id = self._random(12).hex()
        secret = self._random(limits.NONCE_BYTES) if nonce else None
        connection.remember_ping(ping_id, Ping(secret, asked, answered))
        connection.send(encode(f.Ping(id=ping_id, nonce=secret)))

    # -- confirmation -----------------------------------------------------------------------------------------------

    def _confirm(self, effect: fx.Confirm) -> None:
        """To every runtime of the journal: each may hold bytes, or repeat a last word, until it hears this.

        A commit often makes two things of one attempt durable, its output and its end: the later word says both.
        """
        if not self._owed:
            asyncio.get_running_loop().call_soon(self._confirm_all)
        self._owed[effect.journal_id, effect.tool_call_id, effect.number] = effect

    def _confirm_all(self) -> None:
        owed, self._owed = self._owed, {}
        for effect in owed.values():
            for runtime in self._with_journal(effect.endpoint_id, effect.journal_id):
                self._to(runtime, self.confirmation(runtime, effect))

    def confirmation(self, runtime: LiveRuntime, effect: fx.Confirm) -> bytes:
        """One confirmation as it goes to that runtime; only what settles is signed (PROTOCOL.md §4, §6)."""
        frame = f.Confirm(
            attempt=f.Reference(effect.tool_call_id, effect.number),
            offsets=effect.offsets,  # type: ignore[arg-type]  # streams have the same names in core and on the wire
            settled=effect.settled,
            runtime_id=runtime.runtime_id,
            incarnation=runtime.incarnation,
        )
        return self._signed(runtime, frame) if effect.settled else encode(frame)

    # -- the way out ------------------------------------------------------------------------------------------------

    def _with_journal(self, endpoint_id: str, journal_id: str) -> Iterable[LiveRuntime]:
        endpoint = self._fleet.endpoints.get(endpoint_id)
        return list(endpoint.with_journal(journal_id)) if endpoint is not None else ()

    def _signed(self, runtime: LiveRuntime, frame: Any) -> bytes:
        return encode(sign(frame, self._keyring.trusted_by(runtime.signing_key)))

    @staticmethod
    def _to(runtime: LiveRuntime, data: bytes) -> None:
        connection = runtime.best
        if connection is not None:
            connection.send(data)
