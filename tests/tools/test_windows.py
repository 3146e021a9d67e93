"""Windows: what its scripts answer, and its text for people. Read here on whatever computer the tests run."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from caisey.tools.builtin import windows
from caisey.tools.builtin.commands import Said
from caisey.tools.builtin.event_log import READ_ENTRIES
from caisey.tools.builtin.powershell import parse_rows, powershell_argv, rows_of
from caisey.tools.builtin.report import ToolError
from caisey.tools.checking import result_shape
from caisey.tools.windows_text import CLIXML_BYTES, console_text, error_text
from tests.tools.carrying_out import tool

SCRIPTS = ["PROCESSES", "FACTS", "DISKS", "EVENTS", "INTERFACES", "LISTENING", "ROUTES"]

PROCESSES = """[{"pid":0,"name":"System Idle Process","user":null,"cpu":99,"rss":8192,"started":null},
{"pid":4,"name":"System","user":null,"cpu":null,"rss":151552,"started":"2026-01-30T22:00:00.000Z"},
{"pid":812,"name":"spoolsv.exe","user":"NT AUTHORITY\\\\SYSTEM","cpu":1.0,"rss":20480000,
"started":"2026-01-30T22:00:05.123Z"}]"""
FACTS = """{"hostname":"ACCT-07","caption":"Microsoft Windows 11 Pro","version":"10.0.26100","arch":"AMD64",
"boot":"2026-01-30T22:00:00.000Z","cpus":8,"memory":17179869184,"free":8589934592,"users":%s,"restart":false}"""
DISKS = """[{"Name":"C:\\\\","DeviceID":"\\\\\\\\?\\\\Volume{1}\\\\","Capacity":256060514304,"FreeSpace":1024,
"FileSystem":"NTFS","DriveType":3},{"Name":"C:\\\\Data\\\\","DeviceID":"\\\\\\\\?\\\\Volume{2}\\\\","Capacity":2,
"FreeSpace":null,"FileSystem":"ReFS","DriveType":3},{"Name":"Z:\\\\","DeviceID":"z","Capacity":9,"FreeSpace":1,
"FileSystem":"NTFS","DriveType":4}]"""
EVENTS = """[{"at":"2026-01-30T22:00:00.000Z","source":"Service Control Manager","level":2,"message":"It failed."},
{"at":null,"source":null,"level":17,"message":null}]"""
INTERFACES = """{"name":"Ethernet","up":true,"mac":"00-15-5D-01-02-03","mtu":1500,
"addresses":[{"address":"192.0.2.7","prefix":24}]}"""
LISTENING = """[{"protocol":"tcp","address":"0.0.0.0","port":445,"pid":4,"process":"System"}]"""
ROUTES = """[{"destination":"0.0.0.0/0","gateway":"192.0.2.1","interface":"Ethernet","metric":0},
{"destination":"192.0.2.0/24","gateway":"0.0.0.0","interface":"Ethernet","metric":256}]"""


def fits(name: str, result: Any) -> bool:
    return result_shape(tool(name), json.loads(json.dumps(result))) is None


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What each script answers; a script is known by its text."""
    said = {windows.PROCESSES: PROCESSES, windows.FACTS: FACTS % '["ACCT-07\\\\ana"]', windows.DISKS: DISKS,
            windows.EVENTS: EVENTS, windows.INTERFACES: INTERFACES, windows.LISTENING: LISTENING,
            windows.ROUTES: ROUTES}  # fmt: skip

    def ask(argv: list[str], *, variables: dict[str, str] | None = None) -> Said:
        assert argv[0] == "powershell.exe"
        script = base64.b64decode(argv[-1]).decode("utf-16-le")
        found = next(answer for text, answer in said.items() if script.endswith(text))
        said["variables"] = json.dumps(variables)
        return Said(0, found.encode(), b"")

    monkeypatch.setattr("caisey.tools.builtin.powershell.ask", ask)
    return said


@pytest.mark.usefixtures("answers")
def test_processes() -> None:
    rows = windows.processes()
    assert [row["pid"] for row in rows] == [4, 812]
    assert rows[1]["user"] == "NT AUTHORITY\\SYSTEM"
    assert rows[0]["cpu_percent"] == 0
    assert fits("processes", {"processes": rows, "truncated": False})


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        ('["A\\\\ana","A\\\\ana","A\\\\bob"]', ["A\\ana", "A\\bob"]),
        ('"A\\\\ana"', ["A\\ana"]),
        ("[]", []),
        ("null", []),
    ],
)
def test_facts(answers: dict[str, str], users: str, expected: list[str]) -> None:
    answers[windows.FACTS] = FACTS % users
    facts = windows.facts()
    assert facts["users"] == expected
    assert facts["os_version"] == "Microsoft Windows 11 Pro (10.0.26100)"
    assert fits("system_info", facts)


@pytest.mark.usefixtures("answers")
def test_volumes(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = windows.filesystems(None)
    assert [row["mount"] for row in rows] == ["C:\\", "C:\\Data\\"]
    assert fits("disk_usage", {"filesystems": rows})
    monkeypatch.setattr("os.path.exists", lambda path: "nothing" not in path)
    assert [row["mount"] for row in windows.filesystems("c:\\data\\x")] == ["C:\\Data\\"]
    assert [row["mount"] for row in windows.filesystems("C:\\Windows")] == ["C:\\"]
    with pytest.raises(ToolError, match="nothing"):
        windows.filesystems("C:\\nothing")


def test_events(answers: dict[str, str]) -> None:
    rows, complete = windows.entries(60, "error", READ_ENTRIES)
    assert complete
    assert rows[::-1] == [
        {
            "at": "2026-01-30T22:00:00.000Z",
            "source": "Service Control Manager",
            "level": "error",
            "message": "It failed.",
        },
        {"at": None, "source": "", "level": "unknown", "message": ""},
    ]
    assert fits("event_log", {"entries": rows, "truncated": False})
    assert json.loads(answers["variables"]) == {
        "CAISEY_SINCE": "60",
        "CAISEY_MOST": str(READ_ENTRIES),
        "CAISEY_LEVEL": "2",
    }


@pytest.mark.usefixtures("answers")
def test_network() -> None:
    result = windows.network()
    assert fits("network", result)
    assert result["interfaces"][0]["mac"] == "00:15:5d:01:02:03"
    assert [route["gateway"] for route in result["routes"]] == ["192.0.2.1", None]


def test_no_object_one_object_several() -> None:
    assert parse_rows("") == []
    assert parse_rows('\ufeff{"a":1}\r\n') == [{"a": 1}]
    assert parse_rows('[{"a":1},{"a":2},null]') == [{"a": 1}, {"a": 2}]


def test_a_script_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caisey.tools.builtin.powershell.ask", lambda *_args, **_named: Said(1, b"", b"Access denied"))
    with pytest.raises(ToolError, match="Access denied") as failure:
        rows_of(windows.PROCESSES)
    assert failure.value.code == "tool.command_failed"


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_fit_a_command_line_and_balance(name: str) -> None:
    """Nothing here can run them; what can be checked without Windows is their form."""
    script: str = getattr(windows, name)
    assert sum(map(len, powershell_argv(script))) < 32_000
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", script)
    for opening, closing in ("()", "{}", "[]"):
        assert bare.count(opening) == bare.count(closing)


# ---------------------------------------------------------------------------------------------------------------------
# Text for people
# ---------------------------------------------------------------------------------------------------------------------

CLIXML = (
    '#< CLIXML\r\n<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">'
    '<Obj S="progress" RefId="0"><MS><I64 N="SourceId">1</I64></MS></Obj>{messages}</Objs>'
)


def clixml(*messages: str) -> bytes:
    return CLIXML.format(messages="".join(messages)).encode()


@pytest.mark.parametrize(
    ("data", "code_page", "text"),
    [
        (b"plain", 850, "plain"),
        ("grün".encode(), 850, "grün"),
        ("grün".encode("cp850"), 850, "grün"),
        ("grün".encode("cp1252"), 1252, "grün"),
        ("привет".encode("cp866"), 866, "привет"),
        ("grün".encode("utf-16"), 850, "grün"),
        (b"\xef\xbb\xbfmarked", 850, "marked"),
        ("grün".encode("cp850"), 99_999, "grün"),
    ],
)
def test_console_text(data: bytes, code_page: int, text: str) -> None:
    assert console_text(data, code_page) == text


def test_errors_come_out_of_clixml() -> None:
    data = clixml(
        '<S S="Error">Get-Item : no &lt;file&gt;_x000D__x000A_</S>', '<S S="Error">At line:1_x000D__x000A_</S>'
    )
    assert error_text(data) == "Get-Item : no <file>\nAt line:1\n"


def test_every_stream_for_people_is_shown_and_no_other() -> None:
    data = clixml('<S S="Warning">careful</S>', '<S S="Output">data</S>', '<S S="Verbose">words</S>')
    assert error_text(data) == "carefulwords"


def test_escapes() -> None:
    assert error_text(clixml('<S S="Error">a_x005F_b _xD83D__xDE00_ _xZZZZ_ _xD800_</S>')) == "a_b 😀 _xZZZZ_ \ufffd"


def test_words_of_other_programs_stay() -> None:
    assert error_text(b"native before\r\n" + clixml('<S S="Error">e</S>') + b"\r\nafter") == "native before\r\neafter"


@pytest.mark.parametrize(
    "data",
    [
        b"plain error",
        b"#< CLIXML",
        b"#< CLIXML\r\n<Objs",
        b"#< CLIXML\r\n<Objs></Broken></Objs>",
        b'#< CLIXML\r\n<!DOCTYPE x [<!ENTITY a "b">]><Objs>&a;</Objs>',
    ],
)
def test_what_is_no_clixml_is_shown_as_it_is(data: bytes) -> None:
    assert error_text(data) == data.decode()


def test_a_huge_document_is_not_parsed() -> None:
    data = clixml('<S S="Error">x</S>') + b" " * CLIXML_BYTES
    assert error_text(data) == data.decode()
