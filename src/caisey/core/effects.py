"""What the shell has to do once events are durable: verb and object, derived from events, safe to do twice.

An effect that is lost with the process is made again from the state: cancels, inputs, questions and confirmations on
every connection, dispatches by their deadline.
"""

from __future__ import annotations

from typing import Any

import msgspec


class SendEffect(msgspec.Struct, frozen=True, kw_only=True):
    """Every effect derives from this."""

    endpoint_id: str
    session_id: str
    tool_call_id: str
    number: int


class SendDispatch(SendEffect, frozen=True, kw_only=True):
    """Sign and send one dispatch to the incarnation and bridge that were committed. If they are gone, do nothing."""

    runtime_id: str
    incarnation: str
    bridge: str
    journal_id: str
    consent: int
    tool: str
    tool_version: int
    arguments: dict[str, Any]
    effect: str
    time_ms: int | None
    output_bytes: int
    start_within_ms: int | None


class SendCancel(SendEffect, frozen=True, kw_only=True):
    """To every connected runtime of that journal. `unless_started`: a withdrawal, never ends a running command."""

    journal_id: str
    consent: int
    unless_started: bool


class SendInput(SendEffect, frozen=True, kw_only=True):
    """To the runtime that has the attempt, or any of the journal. `data` is None when it was sensitive and is gone."""

    journal_id: str
    sequence: int
    data: str | None
    close: bool
    sensitive: bool


class AskReconcile(SendEffect, frozen=True, kw_only=True):
    """Ask the named runtimes what their journal knows of the attempt."""

    runtime_ids: tuple[str, ...]
    consent: int


class AskCheck(SendEffect, frozen=True, kw_only=True):
    """Ping a runtime; with `nonce`, it has to sign."""

    runtime_id: str
    nonce: bool


class Confirm(SendEffect, frozen=True, kw_only=True):
    """Bytes below `offsets` are durable; `settled`: the journal may drop output, result and arguments."""

    journal_id: str
    offsets: dict[str, int]
    settled: bool


Effect = SendDispatch | SendCancel | SendInput | AskReconcile | AskCheck | Confirm
