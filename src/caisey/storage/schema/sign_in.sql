-- How members get in: passwords and second factors, browser sessions, one-time links, what each has chosen.
-- Written by control/directory in the same transaction as the event that says so; read back whole at start.
-- Of secrets only digests stand here; the key of a second factor is sealed with a key that is not in this file.

CREATE TABLE IF NOT EXISTS credentials (
    member_id          TEXT PRIMARY KEY,
    organization_id    TEXT NOT NULL,
    password_hash      TEXT,             -- argon2id, with its parameters and salt; NULL: cannot sign in yet
    password_set_at_ms INTEGER,
    totp_sealed        BLOB,             -- NULL: no second factor
    totp_enabled_at_ms INTEGER,
    totp_last_step     INTEGER NOT NULL, -- the newest time step whose code was taken; none is taken twice
    recovery_digests   TEXT NOT NULL     -- JSON array of SHA-256 in hex, of the codes that are left
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS browser_sessions (
    browser_session_id TEXT PRIMARY KEY,
    organization_id    TEXT NOT NULL,
    member_id          TEXT NOT NULL,
    digest             BLOB NOT NULL UNIQUE, -- SHA-256 of the secret in the cookie
    address            TEXT NOT NULL,
    agent              TEXT NOT NULL,        -- what the browser says of itself, cut
    opened_at_ms       INTEGER NOT NULL,
    used_at_ms         INTEGER NOT NULL,     -- within some minutes
    ends_at_ms         INTEGER NOT NULL,
    ended_at_ms        INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS browser_sessions_by_end ON browser_sessions (ends_at_ms);

CREATE TABLE IF NOT EXISTS member_links (
    link_id         TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    digest          BLOB NOT NULL UNIQUE,
    kind            TEXT NOT NULL,       -- set_up, invitation, reset
    member_id       TEXT,                -- NULL: set_up makes the member
    clears_totp     INTEGER NOT NULL,
    created_by      TEXT NOT NULL,
    created_at_ms   INTEGER NOT NULL,
    expires_at_ms   INTEGER NOT NULL,
    ended_at_ms     INTEGER              -- used, or replaced by a newer one
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS member_settings (
    member_id       TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    theme           TEXT NOT NULL,       -- auto, light, dark
    keys            TEXT NOT NULL,       -- on, off, alt
    zone            TEXT NOT NULL        -- an IANA name; empty: that of the browser
) STRICT, WITHOUT ROWID;
