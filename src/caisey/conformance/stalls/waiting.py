"""Rows about what is not sent yet, and why (RECOVERY.md §6: sendable, held, asked first).

Owns what is specified there, and how it is brought about. Rows about a hold that passes its end stand in `arrival`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from caisey.conformance.bench import Bench, newest
from caisey.conformance.form import (
    EFFECTS,
    MUTATING,
    REPEATABLE,
    WINDOWS,
    Effect,
    Expected,
    Found,
    Stall,
    every,
)
from caisey.conformance.stalls.arrival import DONE
from caisey.practice.plays import answers, play

GROUP: Final = "Is it sent at all?"
YOUNG_S: Final = 1.0


async def _not_sendable(bench: Bench) -> None:
    path = f"/endpoints/{bench.computer.endpoint_id}"
    while (await bench.client.get(path))["sendable"]["value"]:  # noqa: ASYNC110  # over HTTP
        await asyncio.sleep(0.05)


async def _held_until(bench: Bench, over: Callable[[], Awaitable[None]]) -> Found:
    """It is held while the agent takes nothing, and goes when it does again."""
    await _not_sendable(bench)
    prompt = await bench.state(await bench.ask(), "held")
    held = newest(prompt).get("state") == "held" and not bench.runtime.starts_of(prompt["tool_calls"][0]["id"])
    await over()
    prompt = await bench.settled(prompt)
    return await bench.found(prompt, extra=("was held",) if held else ())


async def while_it_is_silent(bench: Bench, effect: Effect) -> Found:
    """Connected, and nothing has been heard for two heartbeats."""

    async def wakes() -> None:
        bench.runtime.frozen = False

    bench.runtime.frozen = True
    return await _held_until(bench, wakes)


async def while_it_drains(bench: Bench, effect: Effect) -> Found:
    """It says that it takes no work."""

    async def accepts() -> None:
        _accepting(bench, True)

    _accepting(bench, False)
    return await _held_until(bench, accepts)


def _accepting(bench: Bench, accepting: bool) -> None:
    bench.runtime.accepting = accepting
    if bench.runtime.link is not None:
        bench.runtime.link.beat_soon()


async def _policy(bench: Bench, **fields: Any) -> None:
    await bench.client.send("PUT", f"/endpoints/{bench.computer.endpoint_id}/policy", fields)


async def grows_old(bench: Bench, effect: Effect) -> Found:
    """It waits for its computer for longer than a consent to change things is good for."""
    await _policy(bench, mutating_age_s=YOUNG_S)
    await bench.switched_off()
    prompt = await bench.state(await bench.ask(), "held")
    await asyncio.sleep(YOUNG_S + 0.5)
    await bench.runtime.come_back()
    await bench.runtime.connected()
    found = await _asked_or_not(bench, prompt, effect)
    await _policy(bench)
    return found


async def somebody_else_works(bench: Bench, effect: Effect) -> Found:
    """It waits behind a step that takes long; meanwhile somebody else changes something on that computer."""
    long = bench.call("a long look", play("slow", "2"), "read_only")
    prompt = await bench.ask(long, bench.call())
    await bench.state(prompt, "started")
    other = await bench.other_person()
    body = {"endpoint_id": bench.computer.endpoint_id, "title": "somebody else"}
    session = (await other.post("/sessions", body))["id"]
    change = bench.call("a change of somebody else", answers, "mutating")
    theirs = await other.post(f"/sessions/{session}/prompts", {"tool_calls": [change]})
    await other.wait(theirs, lambda p: p["state"] == "ended", bench.patience_s)
    found = await _asked_or_not(bench, prompt, effect, step=2)
    await other.post(f"/sessions/{session}/close", {"outcome": "conformance test"})
    return found


async def _asked_or_not(bench: Bench, prompt: dict[str, Any], effect: Effect, step: int = 1) -> Found:
    """What may change things waits for a person, who lets it go; the others go by themselves."""
    if effect != "mutating":
        prompt = await bench.until(prompt, lambda p: newest(p, step).get("state") == "ended")
        return await bench.found(prompt, step, extra=("nobody was asked",))
    prompt = await bench.until(prompt, lambda p: _world_changed(p, step))
    await asyncio.sleep(2 * WINDOWS["heartbeat_interval"])
    call_id = prompt["tool_calls"][step - 1]["id"]
    asked = _world_changed(await bench.client.prompt(prompt["id"]), step) and not bench.runtime.starts_of(call_id)
    await bench.client.act(prompt, "release", step=step)
    prompt = await bench.until(prompt, lambda p: newest(p, step).get("state") == "ended")
    return await bench.found(prompt, step, extra=("a person was asked first",) if asked else ())


def _world_changed(prompt: dict[str, Any], step: int) -> bool:
    attempt = newest(prompt, step)
    held = [fact for fact in attempt.get("evidence", ()) if fact["type"] == "held"]
    return attempt.get("state") == "held" and bool(held) and held[-1].get("reason") == "world_changed"


def _asked_first() -> dict[Effect, Expected]:
    return {
        **every(REPEATABLE, Expected((DONE,), evidence=("nobody was asked",))),
        **every(MUTATING, Expected((DONE,), evidence=("a person was asked first",))),
    }


STALLS: Final = (
    Stall(
        "the agent is silent", GROUP, "Connected, and it missed two heartbeats when it is asked.",
        "§6: gets no new work",
        every(EFFECTS, Expected((DONE,), evidence=("was held",))),
        act=answers, drive=while_it_is_silent, alone=True,
    ),
    Stall(
        "the agent drains", GROUP, "It says that it takes no work for now.", "§6 sendable: draining",
        every(EFFECTS, Expected((DONE,), evidence=("was held",))),
        act=answers, drive=while_it_drains, alone=True,
    ),
    Stall(
        "too old when the computer is back", GROUP,
        "It was asked for longer ago than a consent to change things is good.",
        "§6 mutating_age",
        _asked_first(), act=answers, drive=grows_old, alone=True,
    ),
    Stall(
        "somebody else changed something", GROUP, "Somebody else worked on that computer before its turn came.",
        "§6: a person is asked first",
        _asked_first(), act=answers, drive=somebody_else_works, alone=True,
    ),
    Stall(
        "by long poll", GROUP, "The computer has no WebSocket: it polls.", "PROTOCOL §1 longpoll",
        every(EFFECTS, Expected((DONE,), evidence=("dispatched:longpoll",))),
        act=answers, bridge="longpoll",
    ),
)  # fmt: skip
