"""The migration to tokens keeps all rows, and the version before it works with the new tables."""

from __future__ import annotations

import sqlite3

import pytest
from alembic import command
from sqlalchemy import text

from anchor.store.bans import Ban
from anchor.store.database import schema
from anchor.store.database.bans import Bans
from anchor.store.database.certificates import Inventory, Selection
from anchor.store.database.engine import Database
from anchor.store.database.inspection import schema_differences
from anchor.store.database.settings import locate_database
from anchor.store.database.tokens import Tokens
from tests.support.database import MOMENT
from tests.support.tokens import make_token

# As version 0001 writes it.
OLD_ROW = {
    "serial": "01",
    "ca_key_id": "aa",
    "key": "ab",
    "subject": "CN=a",
    "names": '["DNS:a"]',
    "not_before": 1,
    "not_after": 4_000_000_000,
    "issued_at": 2,
    "authority": "default",
    "signing_ca": "local",
    "door": "sign",
    "requester": "alice",
    "groups": '["staff"]',
    "requester_key": "alice",
    "address": "192.0.2.7",
    "request_id": "1",
    "der": b"0",
}


@pytest.fixture
def location(tmp_path):
    """SQLite; tests/integration/test_token_races.py runs the same tests on a server."""
    return locate_database({"url": "sqlite:///anchor.db"}, tmp_path)


@pytest.fixture
def old(location, monkeypatch):
    """A database of version 0001 with a certificate and a ban."""
    upgrade = command.upgrade
    with monkeypatch.context() as patched:
        patched.setattr(schema, "HEAD", "0001")
        patched.setattr(command, "upgrade", lambda config, _: upgrade(config, "0001"))
        database = Database(location)
        insert(database, "ab" * 32)
        Bans(database).add(Ban(kind="name", value="www.example.com", since=MOMENT))
        database.close()
    return location


def insert(database, fingerprint):
    """Insert a certificate with the columns of version 0001."""
    values = OLD_ROW | {"fingerprint": fingerprint, "serial": fingerprint[:40]}
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    with database.write() as connection:
        connection.execute(text(f"INSERT INTO certificates ({names}) VALUES ({marks})"), values)


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
    Database(old).prepare()
    with monkeypatch.context() as patched:
        patched.setattr(schema, "HEAD", "0002")
        node = Database(old)
        node.ready()
        insert(node, "cd" * 32)
        node.close()

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
