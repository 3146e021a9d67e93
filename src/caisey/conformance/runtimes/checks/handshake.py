"""Enrollment and handshake (PROTOCOL.md §2, §3)."""

from __future__ import annotations

from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey.conformance.runtimes.form import Check
from caisey.conformance.runtimes.link import Failed, Link
from caisey.conformance.runtimes.plane import Manners
from caisey.conformance.runtimes.subject import NotTried, Subject, quiet
from caisey.protocol.frames import Finished, Heartbeat, Problem, Welcome
from caisey.protocol.signatures import sign

GROUP: Final = "Enrollment and handshake"


async def enrolls(subject: Subject) -> None:
    """A request in form, with the token, and a key of its own."""
    plane = subject.plane
    if plane.enrollment_faults:
        fault = plane.enrollment_faults[0]
        raise Failed(f"{fault.pointer or '/'}: {fault.expected}", fault.found)
    if plane.enrolled is None:
        raise Failed("an enrollment with the token", f"{plane.enrollments} requests, none with it")


async def refuses_another_control_plane(subject: Subject) -> None:
    """A token names the key of its control plane; an answer with another key is not taken."""
    if not subject.enroll_command:
        raise NotTried("it takes --enroll")
    code = await subject.run_enrollment(subject.plane.strange_token(), "stranger")
    if code == 0:
        raise Failed("an enrollment that fails: the key is not the one of the token", "exit code 0")


async def says_hello(subject: Subject) -> None:
    """Everything in the hello, signed with the enrolled key."""
    await subject.link()
    bad = next((h for h in subject.plane.handshakes if h.faults), None)
    if bad is not None:
        raise Failed("a hello in form, signed by the enrolled key", bad.faults[0])


async def waits_for_the_welcome(subject: Subject) -> None:
    """Nothing is sent before the welcome was checked."""
    link = await subject.link()
    since = len(subject.plane.handshakes)
    subject.plane.manners = Manners(welcome_after_s=1.0)
    try:
        await subject.reconnected(link)
    finally:
        subject.plane.manners = Manners()
    early = subject.plane.handshakes[since].early
    if early:
        raise Failed("nothing before the welcome", f"{early} frames")


async def _refuses(subject: Subject, manners: Manners, what: str) -> None:
    """A welcome that proves nothing ends the connection; no work goes on it."""
    link = await subject.link()
    since = len(subject.plane.links)
    subject.plane.manners = manners
    try:
        await link.drop()
        bad = await subject.next_link(since)
        subject.plane.manners = Manners()
        if not await bad.ends():
            raise Failed(f"an end of the connection: {what}", "it stays open")
        if bad.said(Heartbeat) or bad.said(Finished):
            raise Failed(f"nothing on that connection: {what}", "heartbeats or work")
        await subject.next_link(since + 1)
    finally:
        subject.plane.manners = Manners()


async def refuses_a_strange_welcome(subject: Subject) -> None:
    await _refuses(subject, Manners(sign_with=Ed25519PrivateKey.generate()), "the welcome is signed by another key")


async def refuses_another_nonce(subject: Subject) -> None:
    def other(welcome: Welcome) -> Welcome:
        return sign(msgspec.structs.replace(welcome, nonce=bytes(32), signature=""), subject.plane.key)

    await _refuses(subject, Manners(edit=other), "the welcome does not carry its nonce")


async def is_the_same_life(subject: Subject) -> None:
    """A second connection of one life has the same incarnation, start number and boot id."""
    link = await subject.link()
    again = await subject.reconnected(link)
    before, after = _life(link), _life(again)
    if before != after:
        raise Failed(f"the same incarnation, start_number, boot_id {before}", str(after))


async def is_another_life(subject: Subject) -> None:
    """After a crash: a new incarnation and a higher start number, the same journal and boot id."""
    if not subject.can_launch:
        raise NotTried("it takes --launch")
    link = await subject.link()
    again = await subject.restart()
    if again.hello.incarnation == link.hello.incarnation:
        raise Failed("a new incarnation", "the same one")
    if again.hello.start_number <= link.hello.start_number:
        raise Failed(f"a start_number above {link.hello.start_number}", str(again.hello.start_number))
    if (again.hello.journal_id, again.hello.boot_id) != (link.hello.journal_id, link.hello.boot_id):
        raise Failed("the same journal_id and boot_id", "others")


def _life(link: Link) -> tuple[str, int, str]:
    return link.hello.incarnation, link.hello.start_number, link.hello.boot_id


async def settles_only(subject: Subject) -> None:
    """With `mode: settle_only` nothing is taken."""
    link = await subject.link()
    subject.plane.manners = Manners(mode="settle_only")
    try:
        only = await subject.reconnected(link)
        call, count = subject.new_call(), subject.counter()
        await only.dispatch(call, command=f"echo >> '{count}'")
        await only.wait(Problem, what="`problem` for a dispatch in settle_only")
        await quiet(0.3)
        if count.exists():
            raise Failed("no work in settle_only", "it ran")
        subject.plane.manners = Manners()
        await subject.reconnected(only)
    finally:
        subject.plane.manners = Manners()


CHECKS: Final = (
    Check("enrolls with the token", GROUP, "PROTOCOL §2", enrolls),
    Check("refuses the key of another control plane", GROUP, "PROTOCOL §2: the runtime refuses another key",
          refuses_another_control_plane),
    Check("says hello in form, with its signature", GROUP, "PROTOCOL §3, §1", says_hello),
    Check("sends nothing before the welcome", GROUP, "PROTOCOL §3", waits_for_the_welcome),
    Check("refuses a welcome of another key", GROUP, "PROTOCOL §3", refuses_a_strange_welcome),
    Check("refuses a welcome with another nonce", GROUP, "PROTOCOL §3", refuses_another_nonce),
    Check("is the same life on the next connection", GROUP, "PROTOCOL §3; RECOVERY §1 incarnation", is_the_same_life),
    Check("is another life after a crash", GROUP, "PROTOCOL §3: start_number", is_another_life),
    Check("takes no work in settle_only", GROUP, "PROTOCOL §3", settles_only),
)  # fmt: skip
