"""The newest answers of tools as tables: processes, services, the event log, disks, network.

Owns which columns a table has. Pure, from `GET /endpoints/{id}/looks`. A result fits its schema, and its texts are an
endpoint's all the same: every cell is one line and bounded, numbers that no computer has are shown as they came.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from caisey.core import spoken
from caisey.core.plain_text import one_line, visible
from caisey.web.words import WORDS, word

Document = dict[str, Any]

ROWS: Final = 500
CELL: Final = 200
MESSAGE: Final = 4_000
_MOST: Final = 2**62
STATES: Final = {"running": "done", "stopped": "plain", "failed": "ask", "unknown": "plain"}
LEVELS: Final = {"critical": "alarm", "error": "ask", "warning": "wait"}
CHANGES: Final = ("start", "stop", "restart", "enable", "disable")


class Column(NamedTuple):
    """A column. `number`: right-aligned."""

    label: str
    number: bool = False


class Cell(NamedTuple):
    """A cell: its text, or a time, or a bar that is full to a share."""

    text: str
    at: str = ""
    share: float | None = None
    tone: str = ""
    message: bool = False


class Table(NamedTuple):
    """A table as it is shown. `more`: there are rows that are not."""

    title: str
    columns: tuple[Column, ...]
    rows: list[list[Cell]]
    more: str


class Service(NamedTuple):
    """One service that was looked at."""

    name: str
    state: str
    tone: str
    enabled: str
    manager: str
    at: str
    href: str
    actions: tuple[str, ...]


def tables(tool: str, result: Any) -> list[Table]:
    """The tables of a result; none where it has another form than expected."""
    make = _TABLES.get(tool)
    return make(result) if make is not None and isinstance(result, dict) else []


def services(items: Sequence[Document]) -> list[Service]:
    """Every service that was looked at here, as it was said last."""
    found = []
    for item in items:
        result = item["result"] if isinstance(item["result"], dict) else {}
        state = str(result.get("state") or "unknown")
        enabled = result.get("enabled")
        found.append(
            Service(
                name=item["subject"],
                state=WORDS.get(f"services.{state}", one_line(state, 40)),
                tone=STATES.get(state, "plain"),
                enabled=_yes_or_no(enabled),
                manager=one_line(str(result.get("manager") or ""), 40),
                at=item["at"],
                href=f"/sessions/{item['session_id']}?step={item['tool_call_id']}",
                actions=_offered(state, enabled),
            )
        )
    return found


def _offered(state: str, enabled: Any) -> tuple[str, ...]:
    """The changes that make sense from what was said last; all of them where it said little."""
    useless = {"running": {"start"}, "stopped": {"stop"}}.get(state, set())
    if isinstance(enabled, bool):
        useless = useless | {"enable" if enabled else "disable"}
    return tuple(action for action in CHANGES if action not in useless)


# -- one table for each list of a result ---------------------------------------------------------------------------


def _processes(result: Document) -> list[Table]:
    def row(one: Document) -> list[Cell]:
        return [
            _text(one.get("name")),
            _number(one.get("pid")),
            _text(one.get("user")),
            Cell(
                f"{one['cpu_percent']:.1f} %" if _is_small(one.get("cpu_percent")) else _shown(one.get("cpu_percent"))
            ),
            _size(one.get("rss_bytes")),
            _time(one.get("started_at")),
        ]

    columns = ("processes.col.name", "processes.col.pid", "processes.col.user")
    numbers = ("processes.col.cpu", "processes.col.memory")
    heads = (
        *_columns(*columns),
        *(Column(WORDS[key], number=True) for key in numbers),
        *_columns("processes.col.started"),
    )
    return [_table("", heads, result.get("processes"), row, truncated=result.get("truncated"))]


def _event_log(result: Document) -> list[Table]:
    def row(one: Document) -> list[Cell]:
        level = str(one.get("level") or "")
        return [
            _time(one.get("at")),
            Cell(one_line(level, 20), tone=LEVELS.get(level, "")),
            _text(one.get("source")),
            Cell(visible(str(one.get("message") or "")[:MESSAGE]), message=True),
        ]

    columns = _columns("events.col.at", "events.col.level", "events.col.source", "events.col.message")
    entries = result.get("entries")
    newest_first = entries[::-1] if isinstance(entries, list) else entries
    return [_table("", columns, newest_first, row, truncated=result.get("truncated"))]


def _disks(result: Document) -> list[Table]:
    def row(one: Document) -> list[Cell]:
        total, free = one.get("total_bytes"), one.get("free_bytes")
        share = _share(total, free)
        used = Cell("" if share is None else f"{share:.0%}", share=share)
        return [_text(one.get("mount")), _text(one.get("device")), _size(total), _size(free), used]

    heads = (
        *_columns("disks.col.mount", "disks.col.device"),
        *(Column(WORDS[key], number=True) for key in ("disks.col.total", "disks.col.free")),
        Column(WORDS["disks.col.used"]),
    )
    return [_table("", heads, result.get("filesystems"), row)]


def _network(result: Document) -> list[Table]:
    def interface(one: Document) -> list[Cell]:
        return [
            _text(one.get("name")),
            Cell(_yes_or_no(one.get("up"))),
            Cell(one_line(", ".join(_address(a) for a in _listed(one.get("addresses"))), CELL)),
            _text(one.get("mac")),
        ]

    def port(one: Document) -> list[Cell]:
        holder = " ".join(_shown(one.get(name)) for name in ("process", "pid") if one.get(name) is not None)
        return [_text(one.get("protocol")), _number(one.get("port")), _text(one.get("address")), Cell(holder)]

    def route(one: Document) -> list[Cell]:
        return [_text(one.get(name)) for name in ("destination", "gateway", "interface", "metric")]

    at_all = result.get("truncated")
    col = "network.col"
    return [
        _table(
            WORDS["network.interfaces"],
            _columns(f"{col}.interface", f"{col}.up", f"{col}.addresses", f"{col}.mac"),
            result.get("interfaces"),
            interface,
        ),
        _table(
            WORDS["network.listening"],
            (
                Column(WORDS[f"{col}.protocol"]),
                Column(WORDS[f"{col}.port"], number=True),
                *_columns(f"{col}.address", f"{col}.process"),
            ),
            result.get("listening"),
            port,
        ),
        _table(
            WORDS["network.routes"],
            _columns(f"{col}.destination", f"{col}.gateway", f"{col}.interface", f"{col}.metric"),
            result.get("routes"),
            route,
            truncated=at_all,
        ),
    ]


_TABLES: Final[dict[str, Callable[[Document], list[Table]]]] = {
    "processes": _processes,
    "event_log": _event_log,
    "disk_usage": _disks,
    "network": _network,
}


# -- cells ---------------------------------------------------------------------------------------------------------


def _columns(*keys: str) -> tuple[Column, ...]:
    return tuple(Column(WORDS[key]) for key in keys)


def _table(
    title: str,
    columns: tuple[Column, ...],
    found: Any,
    row: Callable[[Document], list[Cell]],
    *,
    truncated: Any = False,
) -> Table:
    listed = [one for one in _listed(found) if isinstance(one, dict)]
    shown = [row(one) for one in listed[:ROWS]]
    more = ""
    if len(listed) > ROWS:
        more = word("look.cut", shown=ROWS, all=len(listed))
    elif truncated is True:
        more = WORDS["look.truncated"]
    return Table(title, columns, shown, more)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> Cell:
    return Cell(_shown(value))


def _shown(value: Any) -> str:
    return "" if value is None else one_line(str(value)[: 4 * CELL], CELL)


def _number(value: Any) -> Cell:
    return Cell(_shown(value))


def _is_small(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1_000_000


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MOST


def _size(value: Any) -> Cell:
    return Cell(spoken.size(value) if _is_count(value) else _shown(value))


def _time(value: Any) -> Cell:
    """A time where it is one; a text that only claims to be is shown as it is."""
    if not isinstance(value, str):
        return Cell(_shown(value))
    try:
        spoken_at = _moment(value)
    except ValueError:
        return Cell(_shown(value))
    return Cell("", at=spoken_at)


def _moment(text: str) -> str:
    """The time in the one spelling that pages take. Raises `ValueError`."""
    moment = datetime.fromisoformat(text[:40])
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _share(total: Any, free: Any) -> float | None:
    if not (_is_count(total) and _is_count(free)) or not total:
        return None
    return float(min(1.0, max(0.0, 1 - free / total)))


def _yes_or_no(value: Any) -> str:
    return {True: WORDS["facts.yes"], False: WORDS["facts.no"]}.get(value, "") if isinstance(value, bool) else ""


def _address(value: Any) -> str:
    if not isinstance(value, dict):
        return _shown(value)
    prefix = value.get("prefix")
    return _shown(value.get("address")) + (f"/{prefix}" if _is_count(prefix) else "")
