-- What has to be known of runtimes, their journals and their computers across restarts of the control plane, and the
-- bytes that could not be read. Written by control/; read back at start. Times are milliseconds since the epoch, UTC.

-- The last incarnation that was welcomed: who comes next is judged against it (PROTOCOL.md §3).
CREATE TABLE IF NOT EXISTS runtime_lives (
    runtime_id          TEXT PRIMARY KEY,
    incarnation         TEXT NOT NULL,
    start_number        INTEGER NOT NULL,
    boot_id             TEXT NOT NULL,
    machine_fingerprint TEXT NOT NULL,
    replaced            TEXT NOT NULL,      -- JSON array: the incarnations before it, oldest first, bounded
    at_ms               INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The highest journal_sequence that was seen of each journal (RECOVERY.md §5).
CREATE TABLE IF NOT EXISTS journals (
    endpoint_id        TEXT NOT NULL,
    journal_id         TEXT NOT NULL,
    mark               INTEGER NOT NULL,
    regressed_since_ms INTEGER,             -- it went back in time, and no person has looked since
    at_ms              INTEGER NOT NULL,
    PRIMARY KEY (endpoint_id, journal_id)
) STRICT, WITHOUT ROWID;

-- Health as it was last put into the log.
CREATE TABLE IF NOT EXISTS endpoint_health (
    endpoint_id TEXT PRIMARY KEY,
    health      TEXT NOT NULL,
    since_ms    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Frames that could not be read: their first 64 KiB. Bounded per runtime.
CREATE TABLE IF NOT EXISTS unreadable_frames (
    id           INTEGER PRIMARY KEY,
    runtime_id   TEXT NOT NULL,
    at_ms        INTEGER NOT NULL,
    code         TEXT NOT NULL,
    frame_type   TEXT,
    fingerprint  TEXT NOT NULL,
    tool_call_id TEXT,
    number       INTEGER,
    size         INTEGER NOT NULL,
    raw          BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS unreadable_frames_by_runtime ON unreadable_frames (runtime_id, id);
CREATE INDEX IF NOT EXISTS unreadable_frames_by_attempt ON unreadable_frames (tool_call_id, number, id)
    WHERE tool_call_id IS NOT NULL;

-- Statements about attempts that the log does not know (it was restored from a backup). Never settled by themselves.
CREATE TABLE IF NOT EXISTS unattached_statements (
    endpoint_id  TEXT NOT NULL,
    journal_id   TEXT NOT NULL,
    tool_call_id TEXT NOT NULL,
    number       INTEGER NOT NULL,
    runtime_id   TEXT NOT NULL,
    statement    BLOB NOT NULL,             -- as it was received
    first_at_ms  INTEGER NOT NULL,
    last_at_ms   INTEGER NOT NULL,
    PRIMARY KEY (endpoint_id, journal_id, tool_call_id, number)
) STRICT, WITHOUT ROWID;
