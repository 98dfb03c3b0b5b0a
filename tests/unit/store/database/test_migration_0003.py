"""The migration to renewals keeps all rows, and the version before works with the new tables."""

from __future__ import annotations

import dataclasses
import sqlite3

import pytest

from anchor.store.database import schema
from anchor.store.database.certificates import Inventory
from anchor.store.database.engine import Database
from anchor.store.database.inspection import schema_differences
from anchor.store.database.settings import locate_database
from tests.support.database import MOMENT, make_record
from tests.support.migrations import ROW_2, insert_as_node, insert_row, make_old


@pytest.fixture
def location(tmp_path):
    """SQLite; tests/integration/test_renewal_races.py runs the same tests on a server."""
    return locate_database({"url": "sqlite:///anchor.db"}, tmp_path)


@pytest.fixture
def old_0002(location, monkeypatch):
    """A database of version 0002 with a certificate."""
    database = make_old(location, "0002", monkeypatch)
    insert_row(database, "ab" * 32, ROW_2)
    database.close()
    return location


def test_rows_of_version_0002_are_kept_and_are_no_renewals(old_0002):
    database = Database(old_0002)

    issuance = Inventory(database).find("ab" * 32).issuance

    assert (issuance.requester, issuance.authentication) == ("alice", "static")
    assert (issuance.token_id, issuance.claims) == (ROW_2["token_id"], {"x": "y"})
    lineage = (issuance.renewed_from, issuance.lineage_since, issuance.renewals)
    assert (lineage, issuance.allowed_names) == ((None, None, 0), None)
    with database.read() as connection:
        assert schema.schema_version(connection) == schema.HEAD
        assert schema_differences(connection) == []
    database.close()


def test_a_lineage_is_stored_in_a_database_that_was_migrated(old_0002):
    database = Database(old_0002)
    record, names = make_record("a.example.com")
    for allowed in ((), ("a.example.com",), None):
        issuance = dataclasses.replace(
            record.issuance,
            renewed_from="ab" * 32,
            lineage_since=MOMENT,
            renewals=3,
            allowed_names=allowed,
        )
        renewed, _ = make_record("a.example.com")
        renewed = dataclasses.replace(renewed, issuance=issuance)
        Inventory(database).add(renewed, names)

        assert Inventory(database).find(renewed.fingerprint) == renewed
    database.close()


def test_a_node_of_version_0002_goes_on_with_the_new_tables(old_0002, monkeypatch):
    make_old(old_0002, "0003", monkeypatch).close()
    insert_as_node(old_0002, "0002", "cd" * 32, ROW_2, monkeypatch)

    database = Database(old_0002)
    assert Inventory(database).find("cd" * 32).issuance.renewals == 0
    database.close()


def test_the_renewals_of_a_certificate_are_found_by_an_index(tmp_path):
    Database(locate_database({}, tmp_path)).prepare()
    with sqlite3.connect(tmp_path / "anchor.db") as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT * FROM certificates WHERE renewed_from = 'ab' "
            "ORDER BY not_after LIMIT 50"
        ).fetchall()
    connection.close()

    assert any("certificates_renewed_from" in row[-1] for row in plan)
