"""`make screenshots`: every page of the console in light, dark and phone size, with each stall, into docs/images/.

python -m tests.screenshots [--only NAME …] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.chromium import FLAGS, executable
from tests.screenshots.stage import PASSWORD, STALLS, Stage, stage

OUT = Path(__file__).resolve().parents[2] / "docs" / "images" / "console"
COLOURS = 128


class Look(NamedTuple):
    """A size and a theme."""

    name: str
    width: int
    height: int
    dark: bool
    phone: bool


LOOKS = (
    Look("light", 1440, 900, dark=False, phone=False),
    Look("dark", 1440, 900, dark=True, phone=False),
    Look("phone", 390, 844, dark=False, phone=True),
)


def main() -> int:
    """Exit 1 where a page does not answer as a page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--only", nargs="*", default=[], help="names of pages or stalls; all if none is given")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    stalls = tuple(story.name for story in STALLS if not given.only or story.name in given.only)
    chromium = executable()
    if chromium is None:
        print("no Chromium here: install the package chromium", file=sys.stderr)
        return 1
    with (
        tempfile.TemporaryDirectory(prefix="caisey-pictures-") as folder,
        stage(Path(folder), stalls or ("done",)) as made,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=str(chromium), args=list(FLAGS))
        state = sign_in(browser, made)
        for look in LOOKS:
            wrong += shoot(browser, made, look, state, given.out, frozenset(given.only))
        browser.close()
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{len(list(given.out.glob('*.png')))} pictures in {given.out}, wrong {len(wrong)}")
    return 1 if wrong else 0


def sign_in(browser: Browser, made: Stage) -> str:
    """A technician's browser, as its cookies; the account is made by a one-time link, as for everybody."""
    email = "technician@example.com"
    member = made.api.post("/members", {"email": email, "role": "owner", "name": "Technician"})
    link = made.api.post(f"/members/{member['id']}/link")["url"]
    context = browser.new_context()
    page = context.new_page()
    page.goto(link)
    page.fill("input[name=password]", PASSWORD)
    page.click("form button")
    page.wait_for_url("**/account/**")
    state = context.storage_state()
    context.close()
    return state  # type: ignore[return-value]


def pages(made: Stage) -> Iterator[tuple[str, str]]:
    """Name and path of every picture."""
    yield from (
        ("attention", "/attention"),
        ("endpoints", "/endpoints"),
        ("endpoint", f"/endpoints/{made.computer}"),
        ("add-endpoint", "/endpoints/add"),
        ("sessions", "/sessions"),
        ("open", "/open?host=ACCT-08&ticket=4712"),
        ("reports", "/reports"),
        ("audit", "/audit"),
        ("shapes", "/reports?what=shapes"),
        ("settings", "/settings"),
        ("members", "/settings/members"),
        ("tokens", "/settings/tokens"),
        ("policies", "/settings/policies/organization"),
        ("tools", "/settings/tools"),
        ("account", "/account"),
        ("keys", "/keys"),
    )
    for name, session in made.sessions.items():
        yield f"session-{name}", f"/sessions/{session}"
    first = next(iter(made.sessions.values()))
    yield "ticket-note", f"/sessions/{first}/note"


def shoot(browser: Browser, made: Stage, look: Look, state: str, out: Path, only: frozenset[str]) -> list[str]:
    """One look at every page; what went wrong."""
    context = browser.new_context(
        viewport={"width": look.width, "height": look.height},
        color_scheme="dark" if look.dark else "light",
        device_scale_factor=1,
        is_mobile=look.phone,
        has_touch=look.phone,
        reduced_motion="reduce",
        storage_state=state,
    )
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error}"))
    page.on("console", lambda m: wrong.append(f"{page.url}: {m.text}") if m.type == "error" else None)
    for name, path in pages(made):
        if only and not {name, name.removeprefix("session-")} & only:
            continue
        answer = page.goto(made.plane.url + path)
        if answer is None or answer.status >= 400:
            wrong.append(f"{name}: {answer.status if answer else 'no answer'} at {path}")
            continue
        settle(page)
        save(page, out / f"{name}-{look.name}.png")
    context.close()
    return wrong


def settle(page: Page) -> None:
    """Until the scripts have run and what they asked for is there. A stream never ends, so it is not waited for."""
    page.wait_for_load_state("load")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def save(page: Page, path: Path) -> None:
    """Few colours are enough for a page, and make a small file."""
    picture = Image.open(io.BytesIO(page.screenshot()))
    picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
