"""Much output, and output that is no text: 50 MB whole, 50 MB cut in the middle, bytes that are no UTF-8.

Size changes no verdict, confirmed bytes are the bytes that were written, and other prompts are answered meanwhile.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

import httpx

from tests.chaos.stage import Stage, resident_kib
from tests.end_to_end.server import until

MB = 1_000_000
LIMIT = 8 * 1024 * 1024
NO_TEXT = (b"\xff\xfe\x80lone \xed\xa0\x80 surrogate\x00\x1b[31m\xf5\xc3", b"\xc0\xaf\xe2\x28\xa1\n")
GROWTH_KIB = 200 * 1024
ENDS_WITHIN_S = 120.0


def outputs(stage: Stage, megabytes: int, rate: float) -> None:
    """The three, while other prompts come."""
    size = megabytes * MB
    before = resident_kib(stage.plane.pid), resident_kib(stage.runtime.pid)
    with stage.load(rate):
        whole = _ask(stage, size, 2 * size)
        cut = _ask(stage, size, None)
        peak = [0, 0]
        for prompt_id, limit in ((whole, 2 * size), (cut, LIMIT)):
            until(partial(_ended, stage, prompt_id, peak), within=ENDS_WITHIN_S, what=f"{megabytes} MB are through")
            _check(stage, prompt_id, size, limit)
        for place, data in enumerate(NO_TEXT):
            _no_text(stage, place, data)
    stage.report.did.append(
        f"{megabytes} MB of output kept whole, {megabytes} MB kept up to 8 MiB, {len(NO_TEXT)} × no text"
    )
    for name, former, most in zip(("control plane", "runtime"), before, peak, strict=True):
        grown = (most - former) // 1024
        stage.report.hold(
            f"the {name} grew by {max(0, grown)} MiB meanwhile", most - former < GROWTH_KIB, f"grew by {grown} MiB"
        )


def _ask(stage: Stage, size: int, limit: int | None) -> str:
    """Lines that are each different, so that no two places look alike."""
    limits = {} if limit is None else {"limits": {"output_bytes": limit}}
    return stage.ask(
        stage.runtime.endpoint_id, f"seq -f '%015.0f' 1 {size // 16} | head -c {size}", "read_only", **limits
    )


def _expected(size: int) -> bytes:
    return b"".join(b"%015d\n" % number for number in range(1, size // 16 + 1))[:size]


def _ended(stage: Stage, prompt_id: str, peak: list[int]) -> bool:
    for place, pid in enumerate((stage.plane.pid, stage.runtime.pid)):
        peak[place] = max(peak[place], resident_kib(pid))
    return stage.last(prompt_id)["verdict"] is not None


def _check(stage: Stage, prompt_id: str, size: int, limit: int) -> None:
    expected = _expected(size)
    call = until(partial(_arrived, stage, prompt_id), within=ENDS_WITHIN_S, what="all of its output has arrived")
    attempt = call["attempts"][-1]
    shown, facts = attempt["output"]["stdout"], attempt["execution"]["streams"]["stdout"]
    gaps = [(gap["offset"], gap["length"]) for gap in shown["gaps"]]
    held = sum(length for _, length in gaps) + shown["stored"] == len(expected)
    right = all(
        _same(stage.api, call["id"], attempt["number"], start, end, expected)
        for start, end in _runs(gaps, len(expected))
    )
    what = "whole" if size <= limit else "head and tail, the cut marked"
    stage.report.hold(
        f"{size // MB} MB: answered, {what}, every kept byte in its place",
        attempt["verdict"]["kind"] == "answered"
        and bool(gaps) == (size > limit)
        and held
        and right
        and facts["bytes"] == len(expected)
        and facts["sha256"] == hashlib.sha256(expected).hexdigest(),
        f"{attempt['verdict']['kind']}, gaps {gaps}, stored {shown['stored']} of {len(expected)}, bytes right: {right}",
    )


def _arrived(stage: Stage, prompt_id: str) -> dict[str, Any] | None:
    """The journal may say how it ended before the last of the output is through."""
    [call] = stage.get(f"/prompts/{prompt_id}")["tool_calls"]
    shown, facts = (call["attempts"][-1][name] for name in ("output", "execution"))
    there = shown["stdout"]["stored"] + sum(gap["length"] for gap in shown["stdout"]["gaps"])
    return dict(call) if there >= facts["streams"]["stdout"]["bytes"] else None


def _runs(gaps: list[tuple[int, int]], end: int) -> list[tuple[int, int]]:
    runs, at = [], 0
    for offset, length in sorted(gaps):
        runs.append((at, offset))
        at = offset + length
    return [(start, stop) for start, stop in [*runs, (at, end)] if start < stop]


def _same(api: httpx.Client, call: str, number: int, start: int, end: int, expected: bytes) -> bool:
    """Read in as many pieces as the API gives."""
    while start < end:
        params: dict[str, Any] = {"attempt": number, "stream": "stdout", "offset": start}
        data = api.get(f"/tool-calls/{call}/output", params=params).raise_for_status().content[: end - start]
        if not data or data != expected[start : start + len(data)]:
            return False
        start += len(data)
    return True


def _no_text(stage: Stage, place: int, data: bytes) -> None:
    octal = "".join(f"\\{byte:03o}" for byte in data)
    prompt_id = stage.ask(stage.runtime.endpoint_id, f"printf '{octal}'", "read_only")
    found = stage.verdict(prompt_id)
    [call] = stage.get(f"/prompts/{prompt_id}")["tool_calls"]
    kept = stage.api.get(
        f"/tool-calls/{call['id']}/output", params={"attempt": call["attempts"][-1]["number"], "stream": "stdout"}
    ).content
    stage.report.hold(
        f"bytes that are no text ({place + 1}): answered, and kept as they are",
        found == ("answered", "yes") and kept == data,
        f"{found}, {kept!r}",
    )
