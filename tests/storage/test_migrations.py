"""Each script is executed once and whole; a newer database is left alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from caisey.storage.contract import DatabaseTooNew
from caisey.storage.migrations import SCRIPTS, migrate
from tests.storage.logs import in_loop, sqlite_log


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    yield opened
    opened.close()


def version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_every_script_is_listed_and_every_listed_one_is_there() -> None:
    there = {path.name for path in files("caisey.storage").joinpath("schema").iterdir() if path.name.endswith(".sql")}
    assert there == set(SCRIPTS)
    assert len(SCRIPTS) == len(there)


def test_a_new_database_gets_all_and_an_up_to_date_one_nothing(connection: sqlite3.Connection) -> None:
    assert migrate(connection, "x") == len(SCRIPTS)
    assert version(connection) == len(SCRIPTS)
    assert migrate(connection, "x") == 0


@pytest.mark.parametrize("had", range(len(SCRIPTS)))
def test_an_older_database_gets_what_it_lacks(connection: sqlite3.Connection, had: int) -> None:
    migrate(connection, "x", SCRIPTS[:had])
    assert migrate(connection, "x") == len(SCRIPTS) - had
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert {"events", "heads", "output", "organizations", "sessions", "open_work"} <= tables


def test_members_and_tokens_of_an_older_database_keep_what_they_had(connection: sqlite3.Connection) -> None:
    """Roles per client group came later: nobody has one until somebody names it."""
    migrate(connection, "x", SCRIPTS[: SCRIPTS.index("group_roles.sql")])
    connection.execute(
        "INSERT INTO members VALUES ('usr_1', 'o', 'N', 'a@b.example', 'technician', '[\"g\"]', 1, NULL)"
    )
    connection.execute(
        "INSERT INTO api_tokens VALUES ('tok_1', 'o', x'00', '', 'viewer', NULL, 'usr_1', 1, NULL, NULL)"
    )
    migrate(connection, "x")
    found = connection.execute("SELECT member_id, role, client_groups, group_roles FROM members").fetchall()
    assert found == [("usr_1", "technician", '["g"]', "{}")]
    found = connection.execute("SELECT token_id, role, client_groups, group_roles FROM api_tokens").fetchall()
    assert found == [("tok_1", "viewer", None, "{}")]


def test_a_script_that_fails_leaves_nothing_behind(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "good.sql").write_text("CREATE TABLE good (a);")
    (tmp_path / "schema" / "bad.sql").write_text("CREATE TABLE half (a); CREATE TABLE half (a);")
    monkeypatch.setattr("caisey.storage.migrations.files", lambda _: tmp_path)
    with pytest.raises(sqlite3.OperationalError, match="half"):
        migrate(connection, "x", ("good.sql", "bad.sql"))
    assert version(connection) == 1
    assert [row[0] for row in connection.execute("SELECT name FROM sqlite_schema")] == ["good"]
    assert not connection.in_transaction


def test_a_newer_database_is_refused_and_unchanged(tmp_path: Path) -> None:
    @in_loop
    async def create() -> None:
        async with sqlite_log(tmp_path / "data"):
            pass

    create()
    path = tmp_path / "data" / "caisey.db"
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(SCRIPTS) + 1}")
    connection.close()
    with pytest.raises(DatabaseTooNew, match="upgrade Caisey") as raised:
        create()
    assert (raised.value.found, raised.value.known) == (len(SCRIPTS) + 1, len(SCRIPTS))
