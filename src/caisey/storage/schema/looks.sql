-- Which tool call holds the newest answer of a tool on a computer, so that it can be shown with its age, also while the
-- computer is offline. The answer itself is in the log. Times are milliseconds since the epoch, UTC.

CREATE TABLE IF NOT EXISTS latest_results (
    endpoint_id  TEXT NOT NULL,
    tool         TEXT NOT NULL,
    subject      TEXT NOT NULL,         -- what was asked about, where one tool answers about many things; else ''
    session_id   TEXT NOT NULL,
    tool_call_id TEXT NOT NULL,
    number       INTEGER NOT NULL,
    at_ms        INTEGER NOT NULL,
    PRIMARY KEY (endpoint_id, tool, subject)
) STRICT, WITHOUT ROWID;

-- The changes of a computer's health, without reading the rest of the log.
CREATE INDEX events_of_health ON events (organization_id, json_extract(payload, '$.endpoint_id'), sequence)
    WHERE type = 'endpoint.health_changed';
