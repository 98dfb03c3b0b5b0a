"""The migration to tokens keeps all rows, and the version before it works with the new tables."""

from __future__ import annotations

import sqlite3

import pytest

from anchor.store.bans import Ban
from anchor.store.database import schema
from anchor.store.database.bans import Bans
from anchor.store.database.certificates import Inventory, Selection
from anchor.store.database.engine import Database
from anchor.store.database.inspection import schema_differences
from anchor.store.database.settings import locate_database
from anchor.store.database.tokens import Tokens
from tests.support.database import MOMENT
from tests.support.migrations import ROW_1, insert_as_node, insert_row, make_old
from tests.support.tokens import make_token


@pytest.fixture
def location(tmp_path):
    """SQLite; tests/integration/test_token_races.py runs the same tests on a server."""
    return locate_database({"url": "sqlite:///anchor.db"}, tmp_path)


@pytest.fixture
def old(location, monkeypatch):
    """A database of version 0001 with a certificate and a ban."""
    database = make_old(location, "0001", monkeypatch)
    insert_row(database, "ab" * 32, ROW_1)
    Bans(database).add(Ban(kind="name", value="www.example.com", since=MOMENT))
    database.close()
    return location


def test_the_rows_are_kept_and_the_tables_are_those_of_the_program(old):
    database = Database(old)

    found = Inventory(database).find("ab" * 32)

    assert (found.issuance.requester, found.issuance.groups) == ("alice", ("staff",))
    assert (found.issuance.token_id, found.issuance.claims) == (None, None)
    assert [ban.value for ban in Bans(database).all()] == ["www.example.com"]
    token = make_token()
    Tokens(database).add(token)
    assert list(Tokens(database).select()) == [token]
    with database.read() as connection:
        assert schema.schema_version(connection) == schema.HEAD
        assert schema_differences(connection) == []
    database.close()


def test_a_node_of_the_version_before_goes_on_with_the_new_tables(old, monkeypatch):
    make_old(old, "0002", monkeypatch).close()
    insert_as_node(old, "0001", "cd" * 32, ROW_1, monkeypatch)

    database = Database(old)
    inventory = Inventory(database)
    assert {each.fingerprint for each in inventory.select(Selection())} == {"ab" * 32, "cd" * 32}
    assert list(inventory.select(Selection(token_id="tk_" + "a" * 16))) == []
    database.close()


def test_the_certificates_of_a_token_are_found_by_an_index(tmp_path):
    Database(locate_database({}, tmp_path)).prepare()
    with sqlite3.connect(tmp_path / "anchor.db") as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT * FROM certificates WHERE token_id = 'tk_x' "
            "ORDER BY not_after, id LIMIT 50"
        ).fetchall()
    connection.close()

    assert any("certificates_token_id" in row[-1] for row in plan)
