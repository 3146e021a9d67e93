"""Every number of the protocol, by name (PROTOCOL.md §1, §3, §4, §7, §8, §9).

Owns the figures alone; who enforces one imports it from here. A bound without a name here is a mistake.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

PROTOCOL_VERSION: Final = 1
SUPPORTED_PROTOCOLS: Final = (PROTOCOL_VERSION,)
WEBSOCKET_SUBPROTOCOL: Final = "caisey.runtime.v1"

# Frames (§1, §8, §9)
FRAME_BYTES: Final = 1 * MIB
"""A longer frame is recorded and refused."""
MESSAGE_BYTES: Final = 4 * MIB
"""A longer message closes the connection with 1009 and is recorded without its bytes."""
RAW_KEPT_BYTES: Final = 64 * KIB
"""How much of an unreadable frame is kept."""
JSON_DEPTH: Final = 64
JSON_CONTAINERS: Final = 100_000
"""Arrays and objects of a frame; every result of the length that it may have is below. Not of the page: a frame of
1 MiB could hold half a million, each of which costs a parser as much as a hundred bytes of text."""
MIN_INTEGER: Final = -(2**63)
MAX_INTEGER: Final = 2**63 - 1
MAX_SIGNED_INTEGER: Final = 2**53 - 1
"""Signed frames hold integers within plus and minus this, so that every JSON library reads the same number."""
ID_LENGTH: Final = 64
NAME_LENGTH: Final = 128
TEXT_LENGTH: Final = 4 * KIB
SHAPE_ERRORS: Final = 256
"""How many faults of one document are named; a hostile array could have a million."""

# Keys, nonces and signatures (§1, §2, §3)
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
CONNECTION_SECRET_BYTES: Final = 16
TOKEN_KEY_DIGEST_BYTES: Final = 16

# Handshake (§3, §9)
HANDSHAKE_MS: Final = 10_000
UNFINISHED_HANDSHAKES_PER_ADDRESS: Final = 64
STATEMENTS_PER_HELLO: Final = 500
FORMER_INCARNATION_PING_MS: Final = 2_000
TRUSTED_KEYS: Final = 16

# Work (§4, §9)
ARGUMENTS_BYTES: Final = 256 * KIB
INLINE_RESULT_BYTES: Final = 256 * KIB
RESULT_BYTES: Final = 512 * KIB
OUTPUT_CHUNK_BYTES: Final = 64 * KIB
OUTPUT_BYTES: Final = 8 * MIB
INPUT_BYTES: Final = 256 * KIB
CHANGES: Final = 1_000
RUNNING_CALLS: Final = 32
WAITING_CALLS: Final = 256
TOOLS_PER_RUNTIME: Final = 256
REFERENCES: Final = 1_000
"""How many attempts one `reconcile`, `in_flight` or `welcome.confirm` names."""
PROGRESS_INTERVAL_MS: Final = 1_000
DRAIN_MS: Final = 1_000
REPEAT_UNSETTLED_MS: Final = 30_000

# Liveness (§7)
HEARTBEAT_INTERVAL_MS: Final = 15_000
HEARTBEAT_JITTER: Final = 0.1
MIN_HEARTBEAT_INTERVAL_MS: Final = 100
MAX_HEARTBEAT_INTERVAL_MS: Final = 24 * 3_600_000
BACKOFF_FIRST_MS: Final = 500
BACKOFF_LAST_MS: Final = 30_000

# Long polling (§1)
POLL_WAIT_MS: Final = 25_000
POLL_FRAMES: Final = 1_000

# Faults (§8, §9)
FAULTS_PER_MINUTE: Final = 20
WAIT_AFTER_FAULTS_MS: Final = 60_000
NEW_SHAPES_PER_RUNTIME_AND_DAY: Final = 1_000

# Enrollment (§2, §9)
ENROLLMENTS_PER_MINUTE_AND_ADDRESS: Final = 20
ENROLLMENT_BYTES: Final = 64 * KIB

# WebSocket close codes (§3, §8)
CLOSE_FAULTS: Final = 4400
CLOSE_IDENTITY: Final = 4401
CLOSE_REVOKED: Final = 4403
CLOSE_CLONE: Final = 4409
CLOSE_REPLACED: Final = 4410
CLOSE_PROTOCOL: Final = 4426
CLOSE_INVALID_UTF8: Final = 1007
CLOSE_TOO_LARGE: Final = 1009
