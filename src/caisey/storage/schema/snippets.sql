-- Commands that people keep for the composer. Changing one is removing it and keeping another.

CREATE TABLE IF NOT EXISTS snippets (
    snippet_id      TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    name            TEXT NOT NULL,
    tool            TEXT NOT NULL,       -- shell, powershell, osascript
    command         TEXT NOT NULL,
    effect          TEXT,                -- as it is stated with the call; NULL where nothing is stated
    created_by      TEXT NOT NULL,
    created_at_ms   INTEGER NOT NULL,
    removed_at_ms   INTEGER
) STRICT, WITHOUT ROWID;
