"""The tables of the data directory, and how an older database gets them.

Owns the order of the scripts. `user_version` counts the scripts that a database has had, so a script that was released
is never edited and never moved: a change of a table is a new script at the end of `SCRIPTS`.

To add one: put `schema/NAME.sql` beside the others and append its name. It is executed once, in a transaction of its
own; it must not begin or end transactions itself.
"""

from __future__ import annotations

import sqlite3
from importlib.resources import files
from typing import Final

from caisey.storage.contract import DatabaseTooNew

SCRIPTS: Final = (
    "log.sql",
    "output.sql",
    "directory.sql",
    "read_models.sql",
    "runtimes.sql",
    "sign_in.sql",
    "snoozes.sql",
    "looks.sql",
    "snippets.sql",
    "passkeys.sql",
    "group_roles.sql",
)


def migrate(connection: sqlite3.Connection, path: str, scripts: tuple[str, ...] = SCRIPTS) -> int:
    """Bring the database to the newest version; returns how many scripts were executed.

    The connection is in autocommit mode and the only one. Raises `DatabaseTooNew`, having changed nothing.
    """
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found > len(scripts):
        raise DatabaseTooNew(path, found, len(scripts))
    for version in range(found, len(scripts)):
        script = files("caisey.storage").joinpath("schema", scripts[version]).read_text("utf-8")
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{script}\n;PRAGMA user_version = {version + 1};\nCOMMIT;")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return len(scripts) - found
