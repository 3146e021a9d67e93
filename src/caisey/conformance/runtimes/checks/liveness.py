"""Heartbeats, pings, cadence (PROTOCOL.md §7)."""

from __future__ import annotations

import itertools
import secrets
from typing import Final

from caisey.conformance.runtimes.form import Check
from caisey.conformance.runtimes.link import Failed
from caisey.conformance.runtimes.plane import Manners
from caisey.conformance.runtimes.subject import Subject, about
from caisey.protocol.frames import Cadence, Finished, Heartbeat, Output, Ping, Pong, Reference
from caisey.protocol.signatures import verify_pong

GROUP: Final = "Liveness"
SHORT_MS: Final = 400
BEATS: Final = 4
TOLERANCE: Final = 0.6
"""±10 % is asked for; what the machine adds is not the runtime's."""


async def beats(subject: Subject) -> None:
    """At the interval it is told, with rising sequences, and it states that interval."""
    link = await subject.link()
    await link.send(Cadence(heartbeat_interval_ms=SHORT_MS))
    await link.wait(
        Heartbeat, lambda beat: beat.interval_ms == SHORT_MS, what=f"`heartbeat` with interval_ms {SHORT_MS}"
    )
    mark = link.mark()
    await link.wait(
        Heartbeat, lambda _: len(link.said(Heartbeat, since=mark)) >= BEATS, since=mark, what=f"{BEATS} heartbeats"
    )
    await link.send(Cadence(heartbeat_interval_ms=1_000))
    found = [(at, f) for at, f in zip(link.at[mark:], link.heard[mark:], strict=False) if isinstance(f, Heartbeat)]
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(found)]
    if gaps and not SHORT_MS / 1000 * (1 - TOLERANCE) < sum(gaps) / len(gaps) < SHORT_MS / 1000 * (1 + TOLERANCE) + 0.3:
        raise Failed(f"a heartbeat every {SHORT_MS} ms", f"every {sum(gaps) / len(gaps) * 1000:.0f} ms")
    sequences = [beat.sequence for _, beat in found]
    if sequences != sorted(set(sequences)):
        raise Failed("rising sequences", str(sequences))
    if not all(beat.accepting for _, beat in found):
        raise Failed("accepting: true, while it takes work", "false")


async def names_what_is_in_flight(subject: Subject) -> None:
    """`in_flight` has what runs, and no longer what ended."""
    link = await subject.link()
    subject.needs_shell(link)
    call = subject.new_call()
    await link.send(Cadence(heartbeat_interval_ms=SHORT_MS))
    await link.dispatch(call, command="echo up; read line")
    await link.wait(Output, about(call))
    here = Reference(call, 1)
    await link.wait(
        Heartbeat, lambda beat: here in beat.in_flight, since=link.mark(), what="`heartbeat` with it in in_flight"
    )
    await link.cancel(call)
    await link.wait(Finished, about(call))
    await link.wait(
        Heartbeat,
        lambda beat: here not in beat.in_flight,
        since=link.mark(),
        what="`heartbeat` without it in in_flight",
    )
    await link.send(Cadence(heartbeat_interval_ms=1_000))


async def answers_a_ping(subject: Subject) -> None:
    link = await subject.link()
    ping = f"ping_{secrets.token_hex(4)}"
    await link.send(Ping(id=ping))
    await link.wait(Pong, lambda pong: pong.id == ping, what="`pong` with the id of the ping")


async def proves_its_key(subject: Subject) -> None:
    """With a nonce the pong is signed: the fresh enrollment check."""
    link = await subject.link()
    enrolled = subject.plane.enrolled
    assert enrolled is not None
    ping, nonce, mark = f"ping_{secrets.token_hex(4)}", secrets.token_bytes(32), link.mark()
    await link.send(Ping(id=ping, nonce=nonce))
    pong = await link.wait(Pong, lambda pong: pong.id == ping, since=mark, what="`pong` with the id of the ping")
    document = link.documents[link.heard.index(pong, mark)]
    if not verify_pong(document, nonce, enrolled.request.public_key):
        raise Failed("a pong signed with the enrolled key over this nonce", "another signature, or none")


async def misses_two_answers(subject: Subject) -> None:
    """Two heartbeats without an answer: it closes the bridge and connects again."""
    link = await subject.link()
    since = len(subject.plane.links)
    subject.plane.manners = Manners(interval_ms=SHORT_MS, answer_heartbeats=False)
    try:
        deaf = await subject.reconnected(link)
        subject.plane.manners = Manners()
        if not await deaf.ends():
            raise Failed("an end of the connection after two heartbeats without an answer", "it stays open")
        await subject.next_link(since + 1)
    finally:
        subject.plane.manners = Manners()


CHECKS: Final = (
    Check("beats at the cadence it is told", GROUP, "PROTOCOL §7 heartbeat, cadence", beats),
    Check("names in in_flight what runs", GROUP, "PROTOCOL §7 in_flight", names_what_is_in_flight),
    Check("answers a ping", GROUP, "PROTOCOL §7 ping", answers_a_ping),
    Check("proves its key under a nonce", GROUP, "PROTOCOL §7 ping; RECOVERY §1 requeue", proves_its_key),
    Check("connects again after two missed answers", GROUP, "PROTOCOL §7", misses_two_answers),
)
