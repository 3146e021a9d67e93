"""What one real runtime costs and how fast it is, against a control plane in miniature.

`python -m tests.bench.runtime`: a command from dispatch to `finished`, fifty of them in flight, 50 MB of output,
resident memory and idle CPU. Prints figures and judges none. Both ends share the two cores, and every receipt is synced
to disk, so the price of one fsync is printed beside them.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from caisey.protocol.frames import Finished
from tests.runtime.endpoint import Endpoint, endpoint
from tests.runtime.plane import Link, control_plane

ONE_BY_ONE = 200
IN_FLIGHT = 50
MANY = 500
IDLE_S = 20


def fsync_ms(folder: Path) -> float:
    """What one append and fsync costs here and now."""
    times = []
    fd = os.open(folder / "probe", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for _ in range(50):
        began = time.perf_counter()
        os.write(fd, b"x" * 200)
        os.fsync(fd)
        times.append((time.perf_counter() - began) * 1000)
    os.close(fd)
    return sorted(times)[25]


def cost(pid: int) -> tuple[int, int, int]:
    """CPU ticks, resident and proportional KiB of a process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0, 0, 0  # it ended meanwhile
    sizes = {
        line.split(":")[0]: int(line.split()[1])
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    }
    return int(fields[11]) + int(fields[12]), sizes["Rss"], sizes["Pss"]


def below(pid: int) -> list[int]:
    found = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found + [deeper for child in found for deeper in below(child)]


def show(name: str, values: list[float], unit: str = "ms") -> None:
    ordered = sorted(values)
    p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    print(f"{name:42} p50 {p50:8.2f}  p99 {p99:8.2f} {unit}")


async def one_by_one(link: Link) -> None:
    receipts: dict[str, list[float]] = {"acknowledged": [], "started": [], "finished": []}
    for number in range(ONE_BY_ONE):
        call = f"one_{number}"
        began = time.perf_counter()
        await link.dispatch(call, command="true")
        await link.acknowledged(call)
        receipts["acknowledged"].append((time.perf_counter() - began) * 1000)
        await link.started(call)
        receipts["started"].append((time.perf_counter() - began) * 1000)
        await link.finished(call)
        receipts["finished"].append((time.perf_counter() - began) * 1000)
        await link.confirm(call)
        await link.heard_all()  # so that one call's settling is not the next one's waiting
        link.forget()
    for name, values in receipts.items():
        show(f"`true`, one by one: dispatch → {name}", values)


async def in_flight(link: Link) -> None:
    sent: dict[str, float] = {}
    took: list[float] = []
    began = time.perf_counter()
    numbers = iter(range(MANY))

    async def send() -> None:
        number = next(numbers, None)
        if number is not None:
            sent[f"many_{number}"] = time.perf_counter()
            await link.dispatch(f"many_{number}", command="true")

    for _ in range(IN_FLIGHT):
        await send()
    while len(took) < MANY:
        finished = await link.wait_for(Finished, fresh=False)
        link.heard.remove(finished)
        took.append((time.perf_counter() - sent[finished.attempt.tool_call_id]) * 1000)
        await link.confirm(finished.attempt.tool_call_id)
        await send()
        if len(link.heard) > 200:
            link.heard[:] = [frame for frame in link.heard if isinstance(frame, Finished)]
    seconds = time.perf_counter() - began
    show(f"`true`, {IN_FLIGHT} in flight", took)
    print(f"{'verdicts a second':42} {MANY / seconds:8.0f}")


async def much_output(link: Link) -> None:
    began = time.perf_counter()
    await link.dispatch("big", command="head -c 50000000 /dev/zero", output_bytes=64 * 1024 * 1024)
    await link.finished("big")
    print(f"{'50 MB of output, all of it sent':42} {time.perf_counter() - began:8.2f} s")
    await link.confirm("big")


async def idle(made: Endpoint) -> None:
    assert made.process is not None
    pid = made.process.pid
    first = sum(cost(p)[0] for p in (pid, *below(pid)))
    await asyncio.sleep(IDLE_S)
    _, resident, proportional = cost(pid)
    total = sum(cost(p)[2] for p in (pid, *below(pid)))
    spent = sum(cost(p)[0] for p in (pid, *below(pid))) - first
    print(f"{'resident memory of the runtime':42} {resident / 1024:8.1f} MiB (PSS {proportional / 1024:.1f})")
    print(f"{'with zygote and warm shims':42} {total / 1024:8.1f} MiB PSS, {len(below(pid))} processes")
    print(f"{'idle CPU, all of them':42} {100 * spent / os.sysconf('SC_CLK_TCK') / IDLE_S:8.2f} %")


async def main() -> None:
    names = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'one append and fsync':42} {fsync_ms(Path(folder)):8.2f} ms")
        async with control_plane() as plane, endpoint(plane, Path(folder) / "state") as made:
            link = await made.connect()
            await link.dispatch("warm", command="true")
            await link.finished("warm")
            await link.confirm("warm")
            link.forget()
            if not names or "idle" in names:
                await idle(made)
            if not names or "one" in names:
                await one_by_one(link)
            if not names or "many" in names:
                await in_flight(link)
            if not names or "output" in names:
                await much_output(link)


if __name__ == "__main__":
    asyncio.run(main())
