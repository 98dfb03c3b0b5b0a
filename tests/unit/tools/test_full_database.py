"""The database of a large fleet has rows that the service finds."""

from __future__ import annotations

import hashlib
import importlib
from types import ModuleType

import pytest

from anchor.store.database.bans import Bans
from anchor.store.database.certificates import Selection
from anchor.store.database.tokens import Tokens
from anchor.timestamps import utc_now
from anchor.X509.name_search import query_valid_for
from tests.support.paths import ROOT


@pytest.fixture
def full_database(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("full_database")


def test_certificates_bans_and_tokens_are_found(full_database, tmp_path):
    inventory = full_database.fill(tmp_path / "anchor.db", 30, bans=20, tokens=10)

    name = "host7.example.com"
    [found] = inventory.select(Selection(names=query_valid_for(name), ends_from=utc_now()))
    assert found.fingerprint == hashlib.sha256(name.encode()).hexdigest()
    assert sum(1 for _ in inventory.select(Selection())) == 30
    assert len({each.serial for each in inventory.select(Selection())}) == 30
    assert sum(1 for _ in Tokens(inventory.database).select(usable_at=utc_now())) == 10
    bans = Bans(inventory.database)
    assert [ban.value for ban in bans.find(["name banned-host3.example.com"], utc_now())] == [
        "banned-host3.example.com"
    ]
    assert not bans.find([f"name {name}"], utc_now())


def test_the_service_writes_durably_to_it(full_database, tmp_path):
    inventory = full_database.fill(tmp_path / "anchor.db", 1)

    with inventory.database.read() as connection:
        modes = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous")
        ]
    assert modes == ["wal", 2]
