"""The definitions: all of API.md, strict, stable, and honest about their effect."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import jsonschema_rs
import msgspec
import pytest

from caisey.protocol import limits
from caisey.protocol.fields import Effect
from caisey.tools.catalogue import TOOLS, find, fitting, on_platform
from caisey.tools.checking import arguments_shape, result_shape
from caisey.tools.definition import PlatformName, Tool
from tests.tools.carrying_out import tool

PAGE_RESULTS: dict[str, Any] = {
    "service": {"name": "cups", "state": "stopped", "enabled": None},
    "processes": {
        "processes": [
            {
                "pid": 1,
                "name": "init",
                "user": "root",
                "cpu_percent": 0.5,
                "rss_bytes": 1,
                "started_at": "2026-01-31T12:00:00.000Z",
            }
        ],
        "truncated": False,
    },
    "system_info": {
        "hostname": "ACCT-07",
        "os": "linux",
        "os_version": "Debian 12",
        "arch": "x86_64",
        "boot_at": "2026-01-31T12:00:00.000Z",
        "cpu_count": 2,
        "memory_bytes": 1,
        "users": ["ana"],
    },
    "disk_usage": {"filesystems": [{"mount": "/", "device": "/dev/vda", "total_bytes": 2, "free_bytes": 1}]},
    "file_read": {
        "path": "/etc/hosts",
        "bytes": 1,
        "sha256": "0" * 64,
        "encoding": "utf-8",
        "text": "x",
        "truncated": False,
    },
    "file_write": {"path": "/etc/x", "bytes": 1, "sha256": "0" * 64, "former_sha256": None, "undo_id": "u"},
    "event_log": {"entries": [{"at": "t", "source": "s", "level": "error", "message": "m"}], "truncated": False},
    "network": {"interfaces": [], "listening": [], "routes": []},
}


def test_every_tool_of_the_page_is_there() -> None:
    assert {tool.name for tool in TOOLS} == {"shell", "powershell", "osascript", *PAGE_RESULTS}
    assert {(tool.name, tool.version) for tool in TOOLS if tool.version > 1} == {("shell", 2), ("osascript", 2)}


def test_a_call_without_a_version_gets_the_one_that_it_fits() -> None:
    """Every runtime has version 1; version 2 is asked for by naming an account, and by nothing else."""

    def version(name: str, **arguments: Any) -> int:
        found = fitting(name, arguments)
        assert found is not None
        return found.version

    assert version("shell", command="id") == 1
    assert version("shell", command="id", run_as="user") == 2
    assert version("shell") == 1
    assert version("powershell", command="id", run_as="user") == 1
    assert fitting("no_such_tool", {}) is None


def test_an_account_is_named_in_version_2_only() -> None:
    call = {"command": "id", "run_as": "user"}
    first, second = find("shell", 1), find("shell", 2)
    assert first is not None
    assert second is not None
    assert arguments_shape(second, call) is None
    assert arguments_shape(first, call) is not None
    assert arguments_shape(second, {"command": "id"}) is not None
    assert arguments_shape(second, {"command": "id", "run_as": "root"}) is not None
    assert arguments_shape(second, {"command": "x" * 25_001, "run_as": "user"}) is not None
    assert second.platforms == ("linux", "macos")
    assert second.verify == first.verify


def test_look_up() -> None:
    assert find("shell") is find("shell", 2)
    assert find("shell", 3) is None
    assert find("format_disk") is None
    assert [tool.name for tool in on_platform("macos") if tool.name == "osascript"]
    assert not [tool.name for tool in on_platform("linux") if tool.name == "osascript"]


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_schemas_are_valid_and_arguments_are_strict(tool: Tool) -> None:
    jsonschema_rs.meta.validate(tool.arguments_schema)
    assert tool.arguments_schema["additionalProperties"] is False
    if tool.result_schema is not None:
        jsonschema_rs.meta.validate(tool.result_schema)
        assert "additionalProperties" not in tool.result_schema


def _unbounded(schema: Any, pointer: str = "") -> list[str]:
    if not isinstance(schema, dict):
        return []
    if schema.get("type") == "string" and "enum" not in schema and "maxLength" not in schema:
        bounded_by_pattern = "{" in schema.get("pattern", "")
        return [] if bounded_by_pattern else [pointer]
    if schema.get("type") == "integer" and not {"minimum", "maximum"} <= schema.keys():
        return [pointer]
    inner = [*schema.get("properties", {}).items(), ("*", schema.get("additionalProperties"))]
    return [place for name, part in inner for place in _unbounded(part, f"{pointer}/{name}")]


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_every_argument_has_a_bound(tool: Tool) -> None:
    assert _unbounded(tool.arguments_schema) == []


@pytest.mark.parametrize("name", PAGE_RESULTS)
def test_results_of_the_page_fit_and_unknown_fields_are_allowed(name: str) -> None:
    assert result_shape(tool(name), PAGE_RESULTS[name]) is None
    assert result_shape(tool(name), PAGE_RESULTS[name] | {"added": 1}) is None


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name, result in PAGE_RESULTS.items() for field in result]
)
def test_missing_and_wrong_fields_are_shape_faults(name: str, field: str) -> None:
    without = {key: value for key, value in PAGE_RESULTS[name].items() if key != field}
    shape = result_shape(tool(name), without)
    assert shape is not None
    wrong = result_shape(tool(name), PAGE_RESULTS[name] | {field: {"wrong": 1}})
    assert wrong is not None
    assert any(fault.pointer.startswith(f"/{field}") or fault.pointer == "" for fault in wrong.faults)


def test_nothing_is_asked_for_that_the_page_does_not_name() -> None:
    """A runtime written by someone else, from the page alone, must not produce shape faults."""
    foreign = PAGE_RESULTS["network"] | {"interfaces": [{"id": "eth0"}], "listening": ["22/tcp"], "routes": [{}]}
    assert result_shape(tool("network"), foreign) is None
    assert result_shape(tool("system_info"), PAGE_RESULTS["system_info"] | {"users": [{"name": "ana"}]}) is None


def test_a_wrong_field_deep_inside_is_named() -> None:
    shape = result_shape(tool("processes"), {"processes": [{"pid": "1"}], "truncated": False})
    assert shape is not None
    assert {fault.pointer for fault in shape.faults} >= {"/processes/0/pid", "/processes/0/name"}


def test_shells_have_no_result() -> None:
    for name in ("shell", "powershell", "osascript"):
        assert tool(name).result_schema is None
        assert result_shape(tool(name), {"anything": 1}) is None


def test_results_over_the_bound_are_faults() -> None:
    long = PAGE_RESULTS["file_read"] | {"text": "x" * limits.RESULT_BYTES}
    shape = result_shape(tool("file_read"), long)
    assert shape is not None
    assert shape.faults[0].pointer == ""


@pytest.mark.parametrize(
    ("name", "arguments", "pointer"),
    [
        ("shell", {}, "/command"),
        ("shell", {"command": ""}, "/command"),
        ("shell", {"command": "a\0b"}, "/command"),
        ("shell", {"command": ["ls"]}, "/command"),
        ("shell", {"command": "ls", "timeout": 1}, "/timeout"),
        ("shell", {"command": "ls", "env": {"A": 1}}, "/env/A"),
        ("shell", {"command": "ls", "env": {"A=B": "1"}}, "/env"),
        ("shell", {"command": "ls", "interpreter": "/tmp/evil"}, "/interpreter"),
        ("service", {"name": "cups"}, "/action"),
        ("service", {"name": "cups", "action": "explode"}, "/action"),
        ("service", {"name": "--now", "action": "stop"}, "/name"),
        ("service", {"name": "../../bin/sh", "action": "start"}, "/name"),
        ("service", {"name": "cups\n", "action": "start"}, "/name"),
        ("service", {"name": "a;reboot", "action": "start"}, "/name"),
        ("processes", {"limit": 0}, "/limit"),
        ("processes", {"limit": 1.0}, "/limit"),
        ("processes", {"limit": 10**6}, "/limit"),
        ("file_read", {"path": "/x", "length": 300_000}, "/length"),
        ("file_write", {"path": "/x", "text": "a", "mode": "7777"}, "/mode"),
        ("file_write", {"path": "/x", "undo_id": "../x"}, "/undo_id"),
        ("file_write", {"path": "/x"}, ""),
        ("file_write", {"path": "/x", "text": "a", "data": "YQ=="}, ""),
        ("system_info", {"all": True}, "/all"),
        ("system_info", [], ""),
    ],
)
def test_arguments_that_do_not_fit(name: str, arguments: Any, pointer: str) -> None:
    shape = arguments_shape(tool(name), arguments)
    assert shape is not None
    assert pointer in [fault.pointer for fault in shape.faults]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("shell", {"command": "systemctl stop cups"}),
        ("shell", {"command": "cat", "stdin": "x", "cwd": "/tmp", "env": {"A_1": "b"}, "interpreter": "bash"}),
        ("powershell", {"command": "Get-Service\nGet-Process"}),
        ("service", {"name": "cups", "action": "status"}),
        ("service", {"name": "getty@tty1.service", "action": "restart"}),
        ("service", {"name": "MSSQL$SQLEXPRESS", "action": "start"}),
        ("service", {"name": "com.apple.cupsd", "action": "stop"}),
        ("file_write", {"path": "/x", "data": "YQ==", "mode": "0600"}),
        ("event_log", {"level": "error", "since_minutes": 5}),
    ],
)
def test_arguments_that_fit(name: str, arguments: dict[str, Any]) -> None:
    assert arguments_shape(tool(name), arguments) is None


def test_arguments_as_a_whole_are_bounded() -> None:
    arguments = {"command": "x", "env": {f"A{number}": "x" * 30_000 for number in range(9)}}
    shape = arguments_shape(tool("shell"), arguments)
    assert shape is not None
    assert shape.faults[0].expected == f"JSON of at most {limits.ARGUMENTS_BYTES} bytes"


# ---------------------------------------------------------------------------------------------------------------------
# Effects and checks
# ---------------------------------------------------------------------------------------------------------------------


def test_effects() -> None:
    assert tool("service").effect_of({"action": "status"}) == "read_only"
    for action in ("start", "stop", "restart", "enable", "disable"):
        assert tool("service").effect_of({"action": action}) == "mutating"
    assert tool("file_write").effect == "mutating"
    for name in ("processes", "system_info", "disk_usage", "file_read", "event_log", "network"):
        assert tool(name).effect == "read_only"
        assert not tool(name).effect_by_call
    for name in ("shell", "powershell", "osascript"):
        assert tool(name).effect == "mutating"
        assert tool(name).effect_by_call


@pytest.mark.parametrize(("stated", "by_person"), list(itertools.product(get_args(Effect), [True, False])))
def test_a_caller_may_only_raise_the_effect_except_a_person_of_a_shell(stated: Effect, by_person: bool) -> None:
    shell = tool("shell").effect_for({"command": "ls"}, stated=stated, by_person=by_person)
    assert shell == (stated if by_person or stated == "mutating" else None)
    status = tool("service").effect_for({"action": "status"}, stated=stated, by_person=by_person)
    assert status == stated
    stop = tool("service").effect_for({"action": "stop"}, stated=stated, by_person=by_person)
    assert stop == ("mutating" if stated == "mutating" else None)
    assert tool("shell").effect_for({}, stated=None, by_person=by_person) == "mutating"


def test_the_check_of_a_service_asks_for_its_status() -> None:
    check = tool("service").verify
    assert check is not None
    arguments = check.arguments_for({"name": "cups", "action": "stop"})
    assert arguments == {"name": "cups", "action": "status"}
    assert tool(check.tool).effect_of(arguments) == "read_only"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("service", {"name": "cups", "action": "stop", "manager": "systemd"}), ("file_write", {"path": "/x", "text": ""})],
)
def test_derived_checks_fit_their_tool_and_change_nothing(name: str, arguments: dict[str, Any]) -> None:
    check = tool(name).verify
    assert check is not None
    derived = check.arguments_for(arguments)
    asked = find(check.tool, check.version)
    assert asked is not None
    assert derived is not None
    assert arguments_shape(asked, derived) is None
    assert asked.effect_of(derived) == "read_only"


def test_what_may_change_things_has_a_check() -> None:
    for one in TOOLS:
        assert (one.verify is not None) == (one.effect == "mutating")
    check = tool("shell").verify
    assert check is not None
    assert check.arguments_for({"command": "x"}) is None


# ---------------------------------------------------------------------------------------------------------------------
# Digests and documents
# ---------------------------------------------------------------------------------------------------------------------


def test_digests_name_the_definition() -> None:
    digests = {one.digest for one in TOOLS}
    assert len(digests) == len(TOOLS)
    assert all(len(digest) == 64 for digest in digests)
    changed = msgspec.structs.replace(tool("shell"), summary="Something else.")
    assert changed.digest != tool("shell").digest
    assert msgspec.structs.replace(tool("shell")).digest == tool("shell").digest
    reference = tool("shell").reference
    assert (reference.name, reference.version, reference.digest) == ("shell", 1, tool("shell").digest)


def test_the_document_says_what_the_api_shows() -> None:
    document = tool("service").document()
    assert document["platforms"] == ["linux", "windows", "macos"]
    assert document["effect"] == "mutating"
    assert document["effect_by_argument"] == {"action": {"status": "read_only"}}
    assert document["verify"] == {
        "tool": "service",
        "version": 1,
        "arguments": {
            "name": {"from": "argument", "name": "name"},
            "action": {"from": "constant", "value": "status"},
        },
    }
    assert msgspec.json.decode(msgspec.json.encode(document), type=Tool) == tool("service")


def test_platforms_are_known() -> None:
    assert {platform for one in TOOLS for platform in one.platforms} == set(get_args(PlatformName))
