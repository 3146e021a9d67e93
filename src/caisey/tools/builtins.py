"""The definitions of the tools that answer with a result (API.md "Result schemas, version 1").

Owns their names, schemas and effects; the programs behind them are in `builtin`. Result schemas allow unknown fields
and insist on the known ones: a missing or wrong one is a shape fault. They must ask for nothing that the page does not
name: a runtime written by someone else knows only the page.
"""

from __future__ import annotations

from typing import Any, Final

from caisey.tools.definition import EVERYWHERE, Check, Constant, FromArgument, Schema, Tool

COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
TEXT: Final[Schema] = {"type": "string"}
TEXT_OR_NULL: Final[Schema] = {"type": ["string", "null"]}
NUMBER: Final[Schema] = {"type": "number", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
SHA256: Final[Schema] = {"type": "string", "description": "In hex."}
TIME: Final[Schema] = {"type": "string", "description": "RFC 3339, UTC, with milliseconds."}
TIME_OR_NULL: Final[Schema] = {"type": ["string", "null"], "description": "RFC 3339, UTC, with milliseconds."}
PATH: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 4096, "pattern": "^[^\\u0000]*$"}
CONTENT_LENGTH: Final = 180_000
FILTER: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 256}


def taking(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """A strict schema of arguments: what it does not name is refused."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def giving(**properties: Schema) -> Schema:
    """A schema of a result: all of these, and whatever else a runtime adds."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def list_of(item: Schema) -> Schema:
    """A schema of an array."""
    return {"type": "array", "items": item}


def _limit(default: int, most: int, what: str) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": most, "default": default, "description": what}


SERVICE: Final = Tool(
    name="service",
    version=1,
    summary="Asks for or changes the state of one service.",
    platforms=EVERYWHERE,
    arguments_schema=taking(
        ("name", "action"),
        name={
            "type": "string",
            "minLength": 1,
            "maxLength": 256,
            "pattern": "^[A-Za-z0-9_.$][A-Za-z0-9@:._$ +-]*$",
            "description": "The name the system's service manager knows it by.",
        },
        action={"enum": ["status", "start", "stop", "restart", "enable", "disable"]},
        manager={
            "enum": ["systemd", "supervisor", "initd", "launchd", "windows"],
            "description": "Which service manager to ask. Default: the first that knows the service.",
        },
    ),
    result_schema=giving(
        name=TEXT,
        state={"enum": ["running", "stopped", "failed", "unknown"]},
        enabled={"type": ["boolean", "null"], "description": "Whether it starts with the system; null: not told."},
    ),
    effect="mutating",
    effect_by_argument={"action": {"status": "read_only"}},
    verify=Check(tool="service", version=1, arguments={"name": FromArgument("name"), "action": Constant("status")}),
)

PROCESSES: Final = Tool(
    name="processes",
    version=1,
    summary="Lists running processes, the busiest first.",
    platforms=EVERYWHERE,
    arguments_schema=taking(
        name=FILTER | {"description": "Only those whose name contains this, in any case."},
        user=FILTER | {"description": "Only those of this user."},
        sort={"enum": ["cpu", "memory", "pid"], "default": "cpu"},
        limit=_limit(100, 2_000, "How many at most."),
    ),
    result_schema=giving(
        processes=list_of(
            giving(
                pid=COUNT,
                name=TEXT,
                user=TEXT_OR_NULL,
                cpu_percent=NUMBER | {"description": "Of one processor, over a short look."},
                rss_bytes=COUNT,
                started_at=TIME_OR_NULL,
            )
        ),
        truncated=FLAG,
    ),
    effect="read_only",
)

SYSTEM_INFO: Final = Tool(
    name="system_info",
    version=1,
    summary="Says what the computer is: its name, system, memory, start and signed-in users.",
    platforms=EVERYWHERE,
    arguments_schema=taking(),
    result_schema=giving(
        hostname=TEXT,
        os=TEXT | {"description": "`linux`, `windows` or `macos`."},
        os_version=TEXT,
        arch=TEXT,
        boot_at=TIME_OR_NULL,
        cpu_count=COUNT,
        memory_bytes=COUNT,
        users={"type": "array", "description": "The names of those who are signed in."},
    ),
    effect="read_only",
)

DISK_USAGE: Final = Tool(
    name="disk_usage",
    version=1,
    summary="Says how full each file system is.",
    platforms=EVERYWHERE,
    arguments_schema=taking(path=PATH | {"description": "Only the file system that holds this path."}),
    result_schema=giving(
        filesystems=list_of(giving(mount=TEXT, device=TEXT, total_bytes=COUNT, free_bytes=COUNT)),
    ),
    effect="read_only",
)

FILE_READ: Final = Tool(
    name="file_read",
    version=1,
    summary="Reads a file, or a part of it.",
    platforms=EVERYWHERE,
    arguments_schema=taking(
        ("path",),
        path=PATH,
        offset={
            "type": "integer",
            "minimum": -(2**53 - 1),
            "maximum": 2**53 - 1,
            "default": 0,
            "description": "The first byte; below zero it counts from the end.",
        },
        length=_limit(65_536, 262_144, "How many bytes at most."),
    ),
    result_schema={
        **giving(
            path=TEXT,
            bytes=COUNT | {"description": "The size of the whole file."},
            sha256=SHA256 | {"description": "Of the whole file; of the part that is shown where `sha256_of` says so."},
            encoding=TEXT | {"description": "`utf-8` or `utf-16` with `text`, `base64` with `data`."},
            truncated=FLAG | {"description": "Whether the file holds more than is shown."},
        ),
        "oneOf": [
            {"required": ["text"], "properties": {"text": TEXT}},
            {"required": ["data"], "properties": {"data": TEXT | {"description": "Base64."}}},
        ],
    },
    effect="read_only",
)

FILE_WRITE: Final = Tool(
    name="file_write",
    version=1,
    summary="Writes a whole file at once, keeping what was there so that it can be put back.",
    platforms=EVERYWHERE,
    arguments_schema={
        **taking(
            ("path",),
            path=PATH,
            text={"type": "string", "maxLength": CONTENT_LENGTH, "description": "The content, written as UTF-8."},
            data={
                "type": "string",
                "maxLength": CONTENT_LENGTH,
                "pattern": "^[A-Za-z0-9+/]*={0,2}$",
                "description": "The content in base64.",
            },
            undo_id={
                "type": "string",
                "pattern": "^[0-9a-f]{32}$",
                "description": "Put back what a former write of this path replaced.",
            },
            mode={
                "type": "string",
                "pattern": "^0?[0-7]{3}$",
                "description": "Permissions of a new file, in octal. An existing one keeps its own.",
            },
            former_sha256={
                "type": "string",
                "pattern": "^[0-9a-f]{64}$",
                "description": "Write only if the file is still this one.",
            },
        ),
        "oneOf": [{"required": ["text"]}, {"required": ["data"]}, {"required": ["undo_id"]}],
    },
    result_schema=giving(
        path=TEXT,
        bytes=COUNT,
        sha256={"type": ["string", "null"], "description": "Null where undoing removed the file."},
        former_sha256={"type": ["string", "null"], "description": "Null where there was no file."},
        undo_id=TEXT,
    ),
    effect="mutating",
    verify=Check(tool="file_read", version=1, arguments={"path": FromArgument("path")}),
)

EVENT_LOG: Final = Tool(
    name="event_log",
    version=1,
    summary="Reads the newest entries of the system's log, oldest first.",
    platforms=EVERYWHERE,
    arguments_schema=taking(
        since_minutes=_limit(60, 43_200, "How far back."),
        level={
            "enum": ["critical", "error", "warning", "info"],
            "description": "Only entries at least this grave.",
        },
        source=FILTER | {"description": "Only entries whose source contains this, in any case."},
        contains=FILTER | {"description": "Only entries whose message contains this, in any case."},
        limit=_limit(100, 1_000, "How many at most; the newest are kept."),
    ),
    result_schema=giving(
        entries=list_of(giving(at=TIME_OR_NULL, source=TEXT, level=TEXT, message=TEXT)),
        truncated=FLAG,
    ),
    effect="read_only",
)

NETWORK: Final = Tool(
    name="network",
    version=1,
    summary="Lists network interfaces, ports that are listened on, and routes.",
    platforms=EVERYWHERE,
    arguments_schema=taking(),
    result_schema=giving(
        interfaces={
            "type": "array",
            "description": "`name`, `up`, `mac`, `addresses` of `address` and `prefix`.",
        },
        listening={"type": "array", "description": "`protocol`, `address`, `port`, `pid`, `process`."},
        routes={"type": "array", "description": "`destination`, `gateway`, `interface`, `metric`."},
    ),
    effect="read_only",
)

BUILTINS: Final = (
    SERVICE,
    PROCESSES,
    SYSTEM_INFO,
    DISK_USAGE,
    FILE_READ,
    FILE_WRITE,
    EVENT_LOG,
    NETWORK,
)
