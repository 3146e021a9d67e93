"""Figures of the console: how soon a page is there, how large it is, and when it can be worked with."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import sqlite3
import time

import httpx
from playwright.async_api import Browser, async_playwright
from playwright.async_api import Page as AsyncPage

from tests.bench.figure import Bar, Measured, figure
from tests.bench.stage import Stage, Watcher, seats, shell, stage
from tests.browser.chromium import DESK, FLAGS, executable
from tests.web.plane_at import PlaneAt
from tests.web.visitor import COOKIE, Visitor

LOADS = 10
IN_A_BROWSER = 5


@figure(
    "Session page of 2,000 events",
    Bar("first byte p50, ms", "first byte, p50", "ms", 300, 80),
    Bar("page, KiB", "compressed, on first load", "KiB", 100, 50),
    Bar("interactive p50, s", "until it can be worked with, p50", "s", 1.0, 0.5),
    how="`GET /sessions/{id}` of a session with 223 requests and 2,000 events, signed in, ten times; then five times "
    "in "
    "Debian's Chromium with an empty cache, until the page's script has done its work.",
)
async def session_page(prompts: int = 223) -> Measured:
    """The page that matters, with a long day behind it."""
    async with stage() as s:
        session_id = await _long_session(s, prompts)
        plane, visitor = await asyncio.to_thread(_somebody, s)
        path = f"/sessions/{session_id}"
        first, size = await asyncio.to_thread(_loads, visitor, path)
        ready, requests, transferred = await _in_a_browser(visitor, path)
        await asyncio.to_thread(visitor.close)
        plane.close()
        return Measured(
            values={
                "first byte p50, ms": sorted(first)[len(first) // 2],
                "page, KiB": size / 1024,
                "interactive p50, s": sorted(ready)[len(ready) // 2],
                "requests": requests,
                "all requests, KiB": transferred / 1024,
                "events": _events_of(s, session_id),
            },
            samples={"first byte, ms": first, "interactive, s": ready},
            memory_mib=s.memory(),
        )


@figure(
    "50 MB of output on the session page",
    Bar("shown, s", "last line shown after the end", "s", 3, 1),
    Bar("pause, ms", "longest pause of the page", "ms", 200, 50),
    Bar("find, ms", "found in all of it", "ms", 1_000, 250),
    how="A real runtime, a real command that writes 50 MB in numbered lines, and Debian's Chromium with the "
    "session's page open the whole "
    "time: from the step's end in the log to its last line in sight, the longest time the page did not answer, and a "
    "search in all.",
)
async def session_output(size: int = 50_000_000) -> Measured:
    """Output as long as anybody's, while somebody looks."""
    async with stage() as s:
        _, endpoint_id = await s.real_runtime()
        await s.ask("PUT", f"/endpoints/{endpoint_id}/policy", {"output_limit_bytes": 2 * size})
        session_id = await s.session(endpoint_id)
        plane, visitor = await asyncio.to_thread(_somebody, s)
        values = await _watched_output(s, visitor, session_id, size)
        await asyncio.to_thread(visitor.close)
        plane.close()
        return Measured(values=values, memory_mib=s.memory())


async def _watched_output(s: Stage, visitor: Visitor, session_id: str, size: int) -> dict[str, float]:
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=str(executable()), headless=True, args=list(FLAGS))
        page = await _signed_in(browser, visitor)
        await page.goto(f"{visitor.url}/sessions/{session_id}")
        await page.wait_for_selector("body[data-ready]", state="attached")
        await page.evaluate(_WATCH_PAUSES)
        watcher = Watcher(s)
        await watcher.follow(session_id)
        call = shell(f"seq -f 'line %.0f of a long report' 1 {size // 20} | head -c {size - 5}; echo; echo last")
        prompt = await s.prompt(session_id, s.connection(), call)
        ended = await watcher.when(prompt, "prompt.ended", within=300)
        await page.get_by_text("last", exact=True).last.wait_for(timeout=120_000)
        shown = time.perf_counter() - ended
        watcher.end()
        pause = float(await page.evaluate("window.longestPause"))
        everything = page.locator(".view-load button")
        if await everything.count():
            await everything.click()
            await everything.wait_for(state="detached", timeout=120_000)
        await page.keyboard.press("f")
        began = time.perf_counter()
        await page.get_by_label("Find in output").last.fill("line 1000000 of")
        await page.get_by_text("1 of 1", exact=True).wait_for(timeout=60_000)
        found = (time.perf_counter() - began) * 1000
        await browser.close()
        return {"shown, s": shown, "pause, ms": pause, "find, ms": found, "MB": size / 1e6}


_WATCH_PAUSES = """() => {
    window.longestPause = 0;
    let last = performance.now();
    setInterval(() => {
        const now = performance.now();
        window.longestPause = Math.max(window.longestPause, now - last - 20);
        last = now;
    }, 20);
}"""


async def _signed_in(browser: Browser, visitor: Visitor) -> AsyncPage:
    context = await browser.new_context(viewport=DESK)  # type: ignore[arg-type]  # a size
    url = visitor.url.replace("http://", "https://")  # the prefix of the cookie's name asks for it
    await context.add_cookies([{"name": COOKIE, "value": str(visitor.secret), "secure": True, "url": url}])
    return await context.new_page()


async def _long_session(s: Stage, prompts: int) -> str:
    await s.fleet(1)
    watcher = Watcher(s)
    [seat] = await seats(s, await s.endpoints(), watcher)
    for _ in range(prompts):
        await seat.ask_until("prompt.ended")
    watcher.end()
    return str(seat.session_id)


def _somebody(s: Stage) -> tuple[PlaneAt, Visitor]:
    plane = PlaneAt(s.server.url, s.token)
    return plane, plane.visitor()


def _loads(visitor: Visitor, path: str) -> tuple[list[float], int]:
    """First bytes in ms, and the size as it goes over the wire."""
    headers = {"cookie": f"{COOKIE}={visitor.secret}", "accept-encoding": "gzip"}
    first, size = [], 0
    with httpx.Client(base_url=visitor.url, trust_env=False, timeout=30, headers=headers) as client:
        for _ in range(LOADS):
            began = time.perf_counter()
            with client.stream("GET", path) as answer:
                assert answer.status_code == 200, answer.status_code
                raw = answer.iter_raw()
                body = next(raw)
                first.append((time.perf_counter() - began) * 1000)
                body += b"".join(raw)
            size = len(body)
            assert gzip.decompress(body)
    return first, size


async def _in_a_browser(visitor: Visitor, path: str) -> tuple[list[float], int, int]:
    """Seconds until the page's script has done its work, requests, and bytes of all of them."""
    ready: list[float] = []
    requests, transferred = 0, 0
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=str(executable()), headless=True, args=list(FLAGS))
        for _ in range(IN_A_BROWSER):
            page = await _signed_in(browser, visitor)
            await page.goto(visitor.url + path)
            await page.wait_for_selector("body[data-ready]", state="attached")
            found = await page.evaluate(
                """() => ({
                    ready: performance.getEntriesByName('ready')[0].startTime,
                    files: [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
                        .filter((one) => !one.name.includes('/stream')).map((one) => one.transferSize),
                })"""
            )
            ready.append(found["ready"] / 1000)
            requests, transferred = len(found["files"]), sum(found["files"])
            await page.context.close()
        await browser.close()
    return ready, requests, transferred


def _events_of(s: Stage, session_id: str) -> int:
    """How many events the session has."""
    with contextlib.closing(sqlite3.connect(s.server.data_dir / "caisey.db")) as log:
        return int(log.execute("SELECT count(*) FROM events WHERE session_id = ?", (session_id,)).fetchone()[0])
