-- Output of tool calls as it streams in. What was confirmed is never replaced; differing bytes are kept apart.

CREATE TABLE output (
    segment      INTEGER PRIMARY KEY,
    tool_call_id TEXT NOT NULL,
    attempt      INTEGER NOT NULL,
    stream       TEXT NOT NULL,
    offset       INTEGER NOT NULL,
    data         BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX output_by_place ON output (tool_call_id, attempt, stream, offset);

CREATE TABLE output_conflicts (
    conflict     INTEGER PRIMARY KEY,
    tool_call_id TEXT NOT NULL,
    attempt      INTEGER NOT NULL,
    stream       TEXT NOT NULL,
    offset       INTEGER NOT NULL,
    at_ms        INTEGER NOT NULL,
    data         BLOB NOT NULL
) STRICT;
CREATE INDEX output_conflicts_by_place ON output_conflicts (tool_call_id, attempt, stream, offset);
