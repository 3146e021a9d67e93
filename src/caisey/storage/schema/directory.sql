-- Who and what there is: organizations, client groups, endpoints, runtimes, tokens, members, policies, answered writes.
-- Written by control/directory in the same transaction as the event that says so; read back whole at start.
-- Secrets stand here as SHA-256 only. Times are milliseconds since the epoch, UTC.

CREATE TABLE IF NOT EXISTS organizations (
    organization_id TEXT PRIMARY KEY,
    name            TEXT NOT NULL UNIQUE,
    created_at_ms   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS client_groups (
    client_group_id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    name            TEXT NOT NULL,
    created_at_ms   INTEGER NOT NULL,
    UNIQUE (organization_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS endpoints (
    endpoint_id         TEXT PRIMARY KEY,
    organization_id     TEXT NOT NULL,
    client_group_id     TEXT,
    name                TEXT NOT NULL,
    tags                TEXT NOT NULL,   -- JSON array of strings
    machine             TEXT NOT NULL,   -- JSON: hostname, os, os_version, arch, as it was enrolled
    machine_fingerprint TEXT NOT NULL,
    like_endpoint_id    TEXT,            -- shows the same fingerprint as this other endpoint; a person may join them
    created_at_ms       INTEGER NOT NULL,
    removing_since_ms   INTEGER,         -- gone 7 days later, unless it is undone
    removed_at_ms       INTEGER          -- gone; the row stays, because events name it
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS runtimes (
    runtime_id          TEXT PRIMARY KEY,
    organization_id     TEXT NOT NULL,
    endpoint_id         TEXT NOT NULL,
    public_key          BLOB NOT NULL UNIQUE,
    journal_id          TEXT NOT NULL,
    machine_fingerprint TEXT NOT NULL,
    version             TEXT NOT NULL,
    boot_id             TEXT NOT NULL,
    enrolled_at_ms      INTEGER NOT NULL,
    suspected_since_ms  INTEGER,         -- two hold this key; nothing is dispatched until a person decides
    revoked_at_ms       INTEGER,
    compromised         INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS api_tokens (
    token_id        TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    digest          BLOB NOT NULL UNIQUE,
    name            TEXT NOT NULL,
    role            TEXT NOT NULL,
    client_groups   TEXT,                -- JSON array of ids; NULL means every client group
    created_by      TEXT NOT NULL,
    created_at_ms   INTEGER NOT NULL,
    expires_at_ms   INTEGER,
    revoked_at_ms   INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS members (
    member_id       TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    name            TEXT NOT NULL,
    email           TEXT NOT NULL,       -- in lower case
    role            TEXT NOT NULL,
    client_groups   TEXT,                -- JSON array of ids; NULL means every client group
    created_at_ms   INTEGER NOT NULL,
    removed_at_ms   INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS enrollment_tokens (
    token_id        TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    digest          TEXT NOT NULL UNIQUE,
    scope           TEXT NOT NULL,       -- organization, client_group, endpoint
    client_group_id TEXT,
    endpoint_id     TEXT,
    uses            INTEGER NOT NULL,
    used            INTEGER NOT NULL,
    created_by      TEXT NOT NULL,
    created_at_ms   INTEGER NOT NULL,
    expires_at_ms   INTEGER NOT NULL,
    deleted_at_ms   INTEGER
) STRICT, WITHOUT ROWID;

-- The first answer to (token, key), so that the same question gets it again.
CREATE TABLE IF NOT EXISTS enrollments (
    token_digest TEXT NOT NULL,
    public_key   BLOB NOT NULL,
    runtime_id   TEXT NOT NULL,
    answer       BLOB NOT NULL,          -- the body that was sent
    at_ms        INTEGER NOT NULL,
    PRIMARY KEY (token_digest, public_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS policies (
    organization_id TEXT NOT NULL,
    level           TEXT NOT NULL,       -- organization, client_group, tag, endpoint
    subject         TEXT NOT NULL,       -- the id, or the tag
    fields          TEXT NOT NULL,       -- JSON of the fields that this level sets
    updated_at_ms   INTEGER NOT NULL,
    PRIMARY KEY (organization_id, level, subject)
) STRICT, WITHOUT ROWID;

-- The latest facts about a computer, each with its age; shown also while it is offline.
CREATE TABLE IF NOT EXISTS facts (
    endpoint_id TEXT NOT NULL,
    name        TEXT NOT NULL,
    value       TEXT NOT NULL,           -- JSON
    source      TEXT NOT NULL,           -- enrollment, hello, or the tool that said so
    at_ms       INTEGER NOT NULL,
    PRIMARY KEY (endpoint_id, name)
) STRICT, WITHOUT ROWID;

-- Writes that were answered (Idempotency-Key, 24 h). Committed together with what the write did.
CREATE TABLE IF NOT EXISTS answered_writes (
    key_digest    BLOB PRIMARY KEY,      -- SHA-256 over actor, method, path and key
    body_digest   BLOB NOT NULL,
    status        INTEGER NOT NULL,
    resource      TEXT,                  -- the id of what was made, where the body is not known at commit
    body          BLOB,                  -- the first answer, secrets left out
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answered_writes_by_age ON answered_writes (created_at_ms);
