"""`/reports`: how stalls were recovered, and which shapes did not fit; also as CSV.

Owns the period and which report is asked. The counting is the API's, the words are `views/reports`'.
"""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any, Final
from urllib.parse import urlencode

from caisey.core.spoken import rfc3339
from caisey.web.page import Page, Reply, render
from caisey.web.views import reports as view
from caisey.web.visit import Visit

Document = dict[str, Any]

DAY_MS: Final = 86_400_000
SHOWN: Final = 50
IN_A_FILE: Final = 200
PAGES_IN_A_FILE: Final = 50
DATE_LENGTH: Final = len("2026-01-31")
CSV: Final = "text/csv; charset=utf-8"


async def show(visit: Visit) -> Reply:
    """The page of one of the two reports."""
    asked = _asked(visit)
    reports = _shapes if asked["what"] == "shapes" else _recovery
    context = await reports(visit, asked)
    return render(visit, "reports.html", **_frame(asked), **context)


def _asked(visit: Visit) -> Document:
    """What the address asks for, with what stands in for what it does not say."""
    query = visit.query
    what = "shapes" if query.get("what") == "shapes" else "recovery"
    groups = view.SHAPES_BY if what == "shapes" else view.RECOVERY_BY
    by = query.get("by") if query.get("by") in groups else groups[0]
    since, until = query.get("from", ""), query.get("to", "")
    own = _is_date(since) and _is_date(until) and since <= until
    days = query.get("days") if query.get("days") in view.PERIODS else "30"
    if own:
        span = {"from": f"{since}T00:00:00.000Z", "to": f"{until}T23:59:59.999Z"}
    else:
        span = {"from": rfc3339(visit.now_ms - int(str(days)) * DAY_MS), "to": rfc3339(visit.now_ms)}
    kept = {"what": what, "by": by, **({"from": since, "to": until} if own else {"days": days})}
    return {"what": what, "by": by, "groups": groups, "days": "" if own else days, "span": span, "kept": kept}


def _is_date(text: str) -> bool:
    try:
        return len(text) == DATE_LENGTH and date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _frame(asked: Document) -> Document:
    kept = asked["kept"]

    def address(**changes: str) -> str:
        wanted = {**kept, **changes}
        if "days" in changes:
            wanted = {name: value for name, value in wanted.items() if name not in ("from", "to")}
        if "what" in changes:
            wanted.pop("by", None)
        return f"/reports?{urlencode(wanted)}"

    return {
        "what": asked["what"],
        "by": asked["by"],
        "groups": asked["groups"],
        "days": asked["days"],
        "periods": view.PERIODS,
        "span": asked["span"],
        "kept": kept,
        "address": address,
        "csv": f"/reports/csv?{urlencode(kept)}",
    }


async def _recovery(visit: Visit, asked: Document) -> Document:
    span = asked["span"]
    whole, lines, by_day = await asyncio.gather(
        visit.inside.get("/reports/recovery", group_by="all", **span),
        visit.inside.get("/reports/recovery", group_by=asked["by"], limit=SHOWN, cursor=_cursor(visit), **span),
        visit.inside.get("/reports/recovery", group_by="day", limit=view.DAYS_DRAWN, **span),
    )
    everything = whole["items"][0] if whole["items"] else None
    return {
        "whole": None if everything is None else view.recovery_line(everything),
        "lines": [view.recovery_line(line) for line in lines["items"]],
        "next": lines["next"],
        "picture": view.days(by_day["items"], span["from"], span["to"]),
    }


async def _shapes(visit: Visit, asked: Document) -> Document:
    page = await visit.inside.get(
        "/reports/shapes", group_by=asked["by"], limit=SHOWN, cursor=_cursor(visit), **asked["span"]
    )
    return {"lines": [view.shape(line) for line in page["items"]], "next": page["next"]}


def _cursor(visit: Visit) -> str | None:
    return visit.query.get("cursor")


async def download(visit: Visit) -> Reply:
    """All lines of the report as CSV."""
    asked = _asked(visit)
    shapes = asked["what"] == "shapes"
    path = "/reports/shapes" if shapes else "/reports/recovery"
    rows: list[tuple[object, ...]] = []
    cursor: str | None = None
    for _ in range(PAGES_IN_A_FILE):
        page = await visit.inside.get(path, group_by=asked["by"], limit=IN_A_FILE, cursor=cursor, **asked["span"])
        rows += ((view.shape_row if shapes else view.recovery_row)(line) for line in page["items"])
        cursor = page["next"]
        if cursor is None:
            break
    body = view.csv_of(view.SHAPE_HEADS if shapes else view.RECOVERY_HEADS, rows)
    name = f"caisey-{asked['what']}-by-{asked['by']}-{asked['span']['from'][:10]}-to-{asked['span']['to'][:10]}.csv"
    return Reply(body=body, media_type=CSV, headers=(("content-disposition", f'attachment; filename="{name}"'),))


PAGES: Final = (
    Page(method="GET", path="/reports", show=show, nav="reports"),
    Page(method="GET", path="/reports/csv", show=download, nav="reports"),
)
