"""A process that appends and says what was acknowledged; others kill it, or count its syncs.

`python -m tests.storage.appending DIRECTORY COUNT [one-by-one]` prints a line per acknowledged unit, unbuffered.
"""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from pathlib import Path

from tests.storage.logs import ONE, TWO, entry, sqlite_log

WINDOW = 64
MARK = b"acknowledged "


async def main(directory: Path, count: int, one_by_one: bool) -> None:
    room = asyncio.Semaphore(1 if one_by_one else WINDOW)
    async with sqlite_log(directory) as log:
        os.write(1, b"open\n")

        def acknowledge(number: int, future: asyncio.Future[None]) -> None:
            future.result()
            os.write(1, MARK + b"%d\n" % number)
            room.release()

        for number in range(count):
            await room.acquire()
            write = ("INSERT INTO prompts VALUES (?, ?, ?, ?)", (f"pmt_{number}", "ses_1", "running", number))
            appended = log.append([entry(ONE, number=number), entry(TWO, number=number)], [write])
            appended.committed.add_done_callback(partial(acknowledge, number))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), "one-by-one" in sys.argv[3:]))
