-- What a person has put aside until later, by the key of its line in `attention`. The line itself goes on being kept:
-- a snooze holds only while the line is the same one (core/snooze.py). Times are milliseconds since the epoch, UTC.

CREATE TABLE attention_snoozes (
    key      TEXT PRIMARY KEY,
    type     TEXT NOT NULL,             -- the line as it was put aside: with another type, rank or beginning it is back
    rank     INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    at_ms    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX attention_snoozes_by_end ON attention_snoozes (until_ms);
