-- The truth: every event, in the order in which it was committed. Rows are appended; only redaction ever changes one
-- (a field of the payload and its salt go, its digest stays in `digests`).

CREATE TABLE events (
    position        INTEGER PRIMARY KEY,  -- over all organizations; internal
    organization_id TEXT NOT NULL,
    sequence        INTEGER NOT NULL,     -- contiguous per organization; public
    session_id      TEXT,
    at_ms           INTEGER NOT NULL,
    type            TEXT NOT NULL,
    actor_kind      TEXT NOT NULL,
    actor_id        TEXT NOT NULL,
    reason          TEXT,
    payload         TEXT NOT NULL,        -- canonical JSON object
    salts           BLOB NOT NULL,        -- 16 bytes per field of the payload, in the order of their names
    previous        BLOB NOT NULL,
    digest          BLOB NOT NULL,
    digests         TEXT                  -- JSON object: name to digest of each redacted field
) STRICT;
CREATE UNIQUE INDEX events_by_sequence ON events (organization_id, sequence);
CREATE INDEX events_by_session ON events (session_id, sequence) WHERE session_id IS NOT NULL;

-- Signed by the control plane: the end of an organization's chain at one moment.
CREATE TABLE heads (
    organization_id TEXT NOT NULL,
    sequence        INTEGER NOT NULL,
    digest          TEXT NOT NULL,
    at_ms           INTEGER NOT NULL,
    signature       TEXT NOT NULL,
    PRIMARY KEY (organization_id, sequence)
) STRICT, WITHOUT ROWID;
