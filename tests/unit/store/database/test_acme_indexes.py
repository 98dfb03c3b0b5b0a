"""What ACME looks up by the way of an index, however many certificates and bans there are."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from anchor.store.acme_records import Identifier
from anchor.store.database.acme_accounts import AcmeAccounts
from anchor.store.database.acme_orders import AcmeOrders
from anchor.store.database.bans import Bans
from anchor.store.database.certificate_bans import find_certificate_bans
from anchor.store.database.certificates import Inventory, Selection
from anchor.store.database.statements import Transaction
from anchor.timestamps import utc_now
from tests.support.database import make_database, make_record

RECORD, _ = make_record("www.example.com")
LOOK_UPS = {
    "the certificate with a serial number": lambda database: Inventory(database).find_serial(
        "ab", "cd"
    ),
    "the certificates of an account": lambda database: list(
        Inventory(database).select(Selection(acme_account="ab"))
    ),
    "the bans of a certificate": lambda database: find_certificate_bans(
        database, RECORD, utc_now()
    ),
    "the account with a binding": lambda database: AcmeAccounts(database).has_binding("tk_a", {}),
    "the account with a key": lambda database: AcmeAccounts(database).find_key("ab", "cd"),
    "the ban of a key": lambda database: Bans(database).bans_key("ab", utc_now()),
    "the order that replaces a certificate": lambda database: AcmeOrders(database).is_replaced(
        "a.b"
    ),
    "the authorizations of an account": lambda database: AcmeOrders(database).has_authorizations(
        "ab", [Identifier("dns", "www.example.com")]
    ),
}


@pytest.fixture
def database(tmp_path):
    made = make_database(tmp_path)
    made.prepare()
    yield made
    made.close()


@pytest.fixture
def plans(database, monkeypatch):
    """The plans of the queries that are executed from now on, as SQLite describes them."""
    found = []

    def explain(cursor, text, values):
        cursor.execute(f"EXPLAIN QUERY PLAN {text}", values)
        found.extend(row[-1] for row in cursor.fetchall())

    rows = Transaction.rows

    def explained_rows(self, statement, values):
        compiled = statement.compile(self._dialect)
        explain(self._cursor, compiled.text, compiled.arguments(values))
        return rows(self, statement, values)

    monkeypatch.setattr(Transaction, "rows", explained_rows)
    with database.read() as connection:
        engine = connection.engine

    def before(_connection, cursor, text, values, _context, _many):
        if text.startswith("SELECT"):
            explain(cursor, text, values)

    event.listen(engine, "before_cursor_execute", before)
    yield found
    event.remove(engine, "before_cursor_execute", before)


@pytest.mark.parametrize("look_up", LOOK_UPS.values(), ids=LOOK_UPS)
def test_no_table_is_scanned(database, plans, look_up):
    look_up(database)
    assert any("SEARCH" in plan for plan in plans), plans
    assert not [plan for plan in plans if "SCAN" in plan]
