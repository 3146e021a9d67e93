"""The product's own runtime with planted flaws, for `caisey conformance runtime` to find. Started as a program."""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from caisey.protocol import faults, handshake
from caisey.protocol.frames import Problem
from caisey.runtime import agent, hearing, journal, state
from caisey.runtime.__main__ import main
from caisey.runtime.words import problem


def any_signature_is_good() -> None:
    hearing.verify = lambda *_: True  # type: ignore[assignment]


def any_welcome_is_good() -> None:
    handshake.verify = lambda *_: True  # type: ignore[assignment]


def in_flight_is_empty() -> None:
    agent._Condition.in_flight = lambda _: ()  # type: ignore[method-assign]


def a_pong_proves_nothing() -> None:
    right = hearing.pong_for
    hearing.pong_for = lambda ping, nonce, key: msgspec.structs.replace(  # type: ignore[assignment]
        right(ping, nonce and bytes(32), key), nonce=nonce
    )


def problems_are_answered() -> None:
    right = hearing.Hearing.hear

    async def hear(self: Any, data: Any) -> None:
        if b'"problem"' in (data.encode() if isinstance(data, str) else data):
            self._attempts.post(problem("frame.unexpected", None))
        await right(self, data)

    hearing.Hearing.hear = hear  # type: ignore[method-assign]


def every_life_is_the_first() -> None:
    state.StateDirectory.next_start_number = lambda _: 1  # type: ignore[method-assign]


def faults_show_values() -> None:
    right = faults.FrameFault.problem

    def shown(self: Any) -> Problem:
        said = right(self)
        errors = tuple(
            msgspec.structs.replace(error, found=self.raw.decode("utf-8", "replace")) for error in said.errors
        )
        return msgspec.structs.replace(said, errors=errors)

    faults.FrameFault.problem = shown  # type: ignore[method-assign]


def offsets_are_forgotten() -> None:
    right = journal.Journal.confirm

    def confirm(self: Any, key: Any, offsets: Any, *, settled: bool) -> Any:
        return right(self, key, offsets if settled else {}, settled=settled)

    journal.Journal.confirm = confirm  # type: ignore[method-assign]


FLAWS = {
    any_signature_is_good: ("refuses a wrong signature", "takes new keys from a trusted one"),
    any_welcome_is_good: ("refuses a welcome of another key",),
    in_flight_is_empty: ("names in in_flight what runs",),
    a_pong_proves_nothing: ("proves its key under a nonce",),
    problems_are_answered: ("answers no problem",),
    every_life_is_the_first: ("is another life after a crash",),
    faults_show_values: ("tells a wrong shape by its place",),
    offsets_are_forgotten: ("sends output again from the confirmed offset",),
}
"""Each flaw, and the checks that have to find it."""

if __name__ == "__main__":
    for flaw in FLAWS:
        flaw()
    raise SystemExit(main(sys.argv[1:]))
