"""One full example of every frame, and bare ones where fields may be absent."""

from __future__ import annotations

import base64
from typing import Any

from caisey.protocol import frames as f
from caisey.protocol.frames import FromControlPlane, FromRuntime

ATTEMPT = f.Reference(tool_call_id="tcl_0123456789abcdefghjkmnpqrs", number=1)
OTHER = f.Reference(tool_call_id="tcl_0123456789abcdefghjkmnpqrs", number=2)
NONCE = bytes(range(32))
KEY = bytes(range(32, 64))
SHA = "0" * 64
SIGNATURE = base64.b64encode(bytes(64)).decode()
ADDRESS: dict[str, Any] = {"runtime_id": "rtm_1", "incarnation": "inc_1"}

EXECUTION = f.Execution(
    exit_code=0,
    signal=None,
    ended_by="itself",
    tree_ended=True,
    started_ms=1_764_000_000_000,
    ended_ms=1_764_000_000_100,
    streams={
        "stdout": f.StreamSummary(bytes=3, sha256=SHA, blank=False, truncated=False),
        "stderr": f.StreamSummary(bytes=0, sha256=SHA, blank=True, truncated=False),
    },
)
STATEMENT = f.Statement(
    attempt=ATTEMPT,
    state="finished",
    journal_id="jnl_1",
    journal_sequence=9,
    answers=OTHER,
    owner=f.Owner(**ADDRESS),
    why="cancel",
    code="runtime.busy",
    pid=77,
    process_key="12345:boot",
    offsets={"stdout": 1024, "stderr": 0},
    execution=EXECUTION,
)
CONFIRM = f.Confirm(attempt=ATTEMPT, offsets={"stdout": 1024}, settled=True, signature=SIGNATURE, **ADDRESS)

FROM_RUNTIME: list[FromRuntime] = [
    f.Hello(
        protocol=1,
        challenge=NONCE,
        nonce=NONCE,
        control_plane_key=KEY,
        start_number=7,
        boot_id="b0071d00-0000-0000-0000-000000000000",
        journal_id="jnl_1",
        journal_sequence=812,
        machine_fingerprint=SHA,
        runtime_version="0.1.0",
        bridge="websocket",
        time_ms=1_764_000_000_000,
        tools=(f.ToolReference(name="shell", version=1, digest=SHA),),
        statements=(STATEMENT,),
        more=False,
        signature=SIGNATURE,
        **ADDRESS,
    ),
    f.Acknowledged(attempt=ATTEMPT, journal_sequence=3),
    f.Started(
        attempt=ATTEMPT,
        journal_sequence=4,
        pid=4711,
        process_key="987:boot",
        process_started_ms=1,
        user="root",
        cwd="/",
        interpreter="/bin/sh",
    ),
    f.Started(attempt=ATTEMPT, journal_sequence=4, pid=4711, process_key="987:boot"),
    f.Output(attempt=ATTEMPT, stream="stdout", offset=0, data=b"\x00\xffhello", journal_sequence=4),
    f.Output(attempt=ATTEMPT, stream="result", offset=0, data=b""),
    f.Gap(attempt=ATTEMPT, stream="stderr", offset=10, length=20, why="spool_full", journal_sequence=4),
    f.Progress(attempt=ATTEMPT, journal_sequence=4, cpu_ms=10, bytes={"stdout": 4}, last_output_ms=1),
    f.InputAccepted(attempt=ATTEMPT, sequence=1, journal_sequence=4),
    f.Finished(
        attempt=ATTEMPT,
        journal_sequence=5,
        execution=EXECUTION,
        result={"name": "cups", "state": "stopped", "load": 0.5, "enabled": None},
        changes=(f.Change(what="service cups", before="running", after="stopped"),),
    ),
    f.Finished(attempt=ATTEMPT, journal_sequence=5, execution=EXECUTION, result=None),
    f.Finished(attempt=ATTEMPT, journal_sequence=5, execution=EXECUTION),
    f.Refused(attempt=ATTEMPT, journal_sequence=5, code="runtime.busy", hint="Full."),
    STATEMENT,
    f.Statement(attempt=ATTEMPT, state="never_received", journal_id="jnl_1", journal_sequence=9),
    f.Heartbeat(
        sequence=1,
        time_ms=1,
        monotonic_ms=2,
        interval_ms=15_000,
        journal_sequence=5,
        accepting=True,
        in_flight=(ATTEMPT,),
        load=f.Load(cpu_percent=1.5, rss_bytes=1),
        slept_ms=0,
    ),
    f.Leaving(reason="sleep"),
    f.Pong(id="p1", nonce=NONCE, signature=SIGNATURE),
    f.Pong(id="p1"),
    f.Problem(
        code="frame.invalid_shape",
        errors=(f.ShapeFault(pointer="/attempt/number", expected="integer", found="string"),),
        about=ATTEMPT,
    ),
]

FROM_CONTROL_PLANE: list[FromControlPlane] = [
    f.Challenge(nonce=NONCE, server_time_ms=1, protocols=(1,)),
    f.Welcome(
        connection="c" * 43,
        mode="work",
        heartbeat_interval_ms=15_000,
        output_chunk_bytes=65_536,
        confirm=(CONFIRM,),
        nonce=NONCE,
        signature=SIGNATURE,
        **ADDRESS,
    ),
    f.Reject(code="handshake.signature_invalid", hint="No."),
    f.Dispatch(
        journal_id="jnl_1",
        attempt=ATTEMPT,
        consent=1,
        session_id="ses_1",
        tool="shell",
        tool_version=1,
        arguments={"command": "systemctl stop cups"},
        effect="mutating",
        limits=f.DispatchLimits(time_ms=None, output_bytes=8_388_608, start_within_ms=900_000),
        issued_at_ms=1,
        signature=SIGNATURE,
        **ADDRESS,
    ),
    f.Cancel(attempt=ATTEMPT, consent=1, signature=SIGNATURE, **ADDRESS),
    f.Input(attempt=ATTEMPT, sequence=1, data=b"y\n", close=True, sensitive=False, signature=SIGNATURE, **ADDRESS),
    f.Reconcile(attempts=(f.Question(tool_call_id="tcl_1", number=1, consent=1),)),
    CONFIRM,
    f.Confirm(attempt=ATTEMPT, offsets={}, settled=False),
    f.HeartbeatAck(sequence=1, server_time_ms=1),
    f.Cadence(heartbeat_interval_ms=5_000),
    f.Ping(id="p1", nonce=NONCE),
    f.Ping(id="p1"),
    f.Keys(keys=(f.TrustedKey(key_id="k1", public_key=KEY),), signature=SIGNATURE, **ADDRESS),
    f.Problem(code="dispatch.signature"),
]
