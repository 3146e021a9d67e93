-- Read models of sessions: written by the projection in the transaction of the events they follow from, and made again
-- from the log when they are lost. Nothing here is the truth. Times are milliseconds since the epoch, UTC.

CREATE TABLE IF NOT EXISTS sessions (
    session_id      TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    client_group_id TEXT,
    endpoint_id     TEXT NOT NULL,
    title           TEXT NOT NULL,
    ticket          TEXT,
    owner           TEXT NOT NULL,
    state           TEXT NOT NULL,       -- open, closed
    created_at_ms   INTEGER NOT NULL,
    updated_at_ms   INTEGER NOT NULL,
    sequence        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_by_age ON sessions (organization_id, created_at_ms, session_id);
CREATE INDEX IF NOT EXISTS sessions_by_endpoint ON sessions (endpoint_id, state);
CREATE INDEX IF NOT EXISTS sessions_by_ticket ON sessions (organization_id, ticket) WHERE ticket IS NOT NULL;

CREATE TABLE IF NOT EXISTS prompts (
    prompt_id     TEXT PRIMARY KEY,
    session_id    TEXT NOT NULL,
    state         TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS prompts_by_session ON prompts (session_id, created_at_ms);

CREATE TABLE IF NOT EXISTS tool_calls (
    tool_call_id    TEXT PRIMARY KEY,
    prompt_id       TEXT NOT NULL,
    session_id      TEXT NOT NULL,
    endpoint_id     TEXT NOT NULL,
    organization_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Sessions in which something may still happen by itself; `due_at_ms` is the earliest deadline.
CREATE TABLE IF NOT EXISTS open_work (
    session_id  TEXT PRIMARY KEY,
    endpoint_id TEXT NOT NULL,
    due_at_ms   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS open_work_by_endpoint ON open_work (endpoint_id);
CREATE INDEX IF NOT EXISTS open_work_by_deadline ON open_work (due_at_ms);

-- What waits for a person. `key` names the thing that waits, so that the same thing stands here once.
CREATE TABLE IF NOT EXISTS attention (
    key             TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    client_group_id TEXT,
    endpoint_id     TEXT,
    session_id      TEXT,
    prompt_id       TEXT,
    tool_call_id    TEXT,
    type            TEXT NOT NULL,
    label           TEXT NOT NULL,
    rank            INTEGER NOT NULL,    -- most urgent first: the lowest
    since_ms        INTEGER NOT NULL,
    due_at_ms       INTEGER,
    owner           TEXT,
    reason          TEXT                 -- why it stands where it stands
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS attention_by_urgency ON attention (organization_id, rank, since_ms, key);
CREATE INDEX IF NOT EXISTS attention_by_endpoint ON attention (endpoint_id);
CREATE INDEX IF NOT EXISTS attention_by_session ON attention (session_id);

CREATE TABLE IF NOT EXISTS stalls (
    tool_call_id    TEXT NOT NULL,
    number          INTEGER NOT NULL,
    kind            TEXT NOT NULL,
    ran             TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    client_group_id TEXT,
    endpoint_id     TEXT NOT NULL,
    tool            TEXT NOT NULL,
    at_ms           INTEGER NOT NULL,
    known_after_ms  INTEGER NOT NULL,    -- from the dispatch to the verdict
    recovered       TEXT,                -- NULL, automatic, person
    PRIMARY KEY (tool_call_id, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS stalls_by_time ON stalls (organization_id, at_ms);

-- The ledger of shapes, counted. The raw bytes stand apart, in `shape_bytes`.
CREATE TABLE IF NOT EXISTS shapes (
    fingerprint     TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    client_group_id TEXT,
    endpoint_id     TEXT NOT NULL,
    runtime_id      TEXT NOT NULL,       -- '' where no runtime took part
    runtime_version TEXT NOT NULL,       -- '' likewise
    tool            TEXT NOT NULL,       -- the frame's type where no tool is named
    tool_version    INTEGER NOT NULL,    -- 0 likewise
    side            TEXT NOT NULL,       -- call, result, frame
    shape           TEXT NOT NULL,       -- JSON: the faults and the tree of keys, without values
    count           INTEGER NOT NULL,
    first_at_ms     INTEGER NOT NULL,
    last_at_ms      INTEGER NOT NULL,
    PRIMARY KEY (organization_id, endpoint_id, fingerprint, side, tool, tool_version, runtime_id, runtime_version)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS shapes_by_time ON shapes (organization_id, last_at_ms);

-- The newest bytes of each shape on each endpoint (the first 64 KiB of them).
CREATE TABLE IF NOT EXISTS shape_bytes (
    organization_id TEXT NOT NULL,
    endpoint_id     TEXT NOT NULL,
    fingerprint     TEXT NOT NULL,
    at_ms           INTEGER NOT NULL,
    raw             BLOB NOT NULL,
    PRIMARY KEY (organization_id, endpoint_id, fingerprint)
) STRICT, WITHOUT ROWID;

-- Mutating calls that started, or may have, on an endpoint.
CREATE TABLE IF NOT EXISTS changes (
    endpoint_id  TEXT NOT NULL,
    at_ms        INTEGER NOT NULL,
    actor_id     TEXT NOT NULL,
    session_id   TEXT NOT NULL,
    tool_call_id TEXT NOT NULL,
    PRIMARY KEY (endpoint_id, at_ms, tool_call_id)
) STRICT, WITHOUT ROWID;
