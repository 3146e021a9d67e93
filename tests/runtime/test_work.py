"""A dispatch from end to end: real processes, a real journal, a real WebSocket."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.runtime.conftest import Story
from tests.runtime.endpoint import Endpoint
from tests.runtime.plane import Link

Live = Callable[[Story], None]


def test_a_command_that_says_nothing(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", command="true")
        acknowledged = await link.acknowledged("tcl_1")
        started = await link.started("tcl_1")
        finished = await link.finished("tcl_1")
        sequences = [acknowledged.journal_sequence, started.journal_sequence, finished.journal_sequence]
        assert sequences == sorted(set(sequences))
        assert started.process_key.startswith(link.hello.boot_id + ":")
        assert started.interpreter == "/bin/sh"
        execution = finished.execution
        assert (execution.exit_code, execution.signal, execution.ended_by) == (0, None, "itself")
        assert execution.tree_ended
        assert set(execution.streams) == {"stdout", "stderr"}
        for summary in execution.streams.values():
            assert (summary.bytes, summary.blank, summary.truncated) == (0, True, False)
            assert summary.sha256 == hashlib.sha256(b"").hexdigest()

    live(story)


def test_output_of_both_streams_and_the_exit_code(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", command="echo out; echo err >&2; exit 3")
        finished = await link.finished("tcl_1")
        assert finished.execution.exit_code == 3
        assert link.text("tcl_1") == b"out\n"
        assert link.text("tcl_1", "stderr") == b"err\n"
        assert not finished.execution.streams["stdout"].blank

    live(story)


def test_white_space_is_blank_and_is_kept(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", command="printf ' \\n\\t '")
        finished = await link.finished("tcl_1")
        assert finished.execution.streams["stdout"].blank
        assert link.text("tcl_1") == b" \n\t "

    live(story)


def test_invalid_utf8_arrives_byte_for_byte(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", command=r"printf '\377\376\000\303('")
        await link.finished("tcl_1")
        assert link.text("tcl_1") == b"\xff\xfe\x00\xc3("

    live(story)


def test_a_signal_is_not_an_exit_code(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", command="kill -SEGV $$")
        execution = (await link.finished("tcl_1")).execution
        assert (execution.exit_code, execution.signal, execution.ended_by) == (None, 11, "itself")

    live(story)


def test_an_interpreter_that_is_not_there(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", arguments={"command": "true", "interpreter": "ksh", "env": {"PATH": "/nowhere"}})
        finished = await link.finished("tcl_1")
        assert finished.execution.exit_code == 127
        assert b"cannot be executed" in link.text("tcl_1", "stderr")

    live(story)


def test_fifty_megabytes_keep_head_and_tail(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        script = "import sys\nfor i in range(5_000_000): sys.stdout.write('%09d\\n' % i)"
        await link.dispatch("tcl_1", arguments={"command": f'python3 -c "{script}"'}, output_bytes=2_000_000)
        finished = await link.finished("tcl_1")
        whole = b"".join(b"%09d\n" % number for number in range(5_000_000))
        summary = finished.execution.streams["stdout"]
        assert summary.bytes == len(whole)
        assert summary.sha256 == hashlib.sha256(whole).hexdigest()
        assert summary.truncated
        chunks, gaps = link.output("tcl_1")
        assert [gap.why for gap in gaps] == ["limit"]
        kept = sum(len(data) for data in chunks.values())
        assert kept == 2_000_000
        assert kept + gaps[0].length == len(whole)
        assert all(whole[offset : offset + len(data)] == data for offset, data in chunks.items())
        assert whole[-10:] == max(chunks.items())[1][-10:]

    live(story)


def test_daemons_left_behind_do_not_hold_it_up(live: Live) -> None:
    async def story(endpoint: Endpoint, link: Link) -> None:
        alive = endpoint.state.path / "daemon"
        await link.dispatch("tcl_1", command=f"(setsid sh -c 'echo $$ > {alive}; exec sleep 1000' &); echo done")
        finished = await link.finished("tcl_1")
        execution = finished.execution
        assert (execution.exit_code, execution.ended_by, execution.tree_ended) == (0, "itself", False)
        assert execution.ended_ms is not None
        assert execution.started_ms is not None
        assert execution.ended_ms - execution.started_ms < 10_000
        assert link.text("tcl_1") == b"done\n"
        os.kill(int(alive.read_text()), 9)

    live(story)


def test_a_tool_with_a_result(live: Live) -> None:
    async def story(endpoint: Endpoint, link: Link) -> None:
        path = endpoint.state.path / "note"
        await link.dispatch("tcl_1", tool="file_write", arguments={"path": str(path), "text": "hello"})
        finished = await link.finished("tcl_1")
        assert finished.execution.exit_code == 0, link.text("tcl_1", "stderr")
        assert isinstance(finished.result, dict)
        assert finished.result["path"] == str(path)
        assert "result" not in finished.execution.streams
        assert path.read_text() == "hello"

    live(story)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"tool": "no_such_tool"}, "tool.unknown"),
        ({"tool_version": 99}, "tool.version_unknown"),
        ({"tool": "osascript"}, "tool.wrong_platform"),
        ({"arguments": {"comand": "true"}}, "tool.arguments_invalid"),
    ],
)
def test_what_cannot_be_run_is_refused_and_never_runs(live: Live, changes: dict[str, Any], code: str) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", **changes)
        assert (await link.refused("tcl_1")).code == code
        await link.reconcile(("tcl_1", 1, 1))
        said = await link.statement("tcl_1")
        assert (said.state, said.why, said.code) == ("closed", "refused", code)

    live(story)
