"""``anchor database``: info, upgrade, copy and backup of SQLite files."""

from __future__ import annotations

import json
import re
import sqlite3
import stat

import pytest

from anchor.cli import main
from anchor.store.bans import Ban
from anchor.store.database import copying, schema
from anchor.store.database.acme_tables import METADATA
from anchor.store.database.bans import Bans
from anchor.store.database.engine import Database
from anchor.store.database.settings import locate_database
from anchor.store.database.shared_keys import SharedKey
from anchor.store.database.tokens import Tokens
from anchor.timestamps import utc_now
from tests.support.acme import add_account, add_order
from tests.support.pki import make_csr
from tests.support.tokens import add_token, add_used_credential

TABLES = {table.name for table in METADATA.sorted_tables}


@pytest.fixture
def command(tmp_path, document):
    """Runs ``anchor database`` with the configuration of the service."""
    config = tmp_path / "config.json"
    if not config.exists():
        config.write_text(json.dumps(document))
    return lambda *arguments: main.main(["database", *arguments, "--config", str(config)])


@pytest.fixture
def filled(service):
    """A service with at least a row in each table but that of the imports."""
    for name in ("a.example.com", "b.example.com", "c.example.com"):
        service.issue(make_csr(name, name))
    bans = Bans(service.settings.database)
    for name in ("x.example.com", "*.y.example.com"):
        bans.add(Ban(kind="name", value=name, since=utc_now(), reason="ü"))
    service.sign(secret="wrong", status=401)
    add_token(service.settings.database, names=("ü.example.com",))
    add_used_credential(service.settings.database)
    add_order(service.settings.database, add_account(service.settings.database))
    SharedKey(service.settings.database, "a-key").value()
    return service


def rows_of(path):
    """All rows of a SQLite file, by table."""
    with sqlite3.connect(path) as connection:
        rows = {name: sorted(connection.execute(f"SELECT * FROM {name}")) for name in TABLES}
    connection.close()
    return rows


def execute(path, statement):
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


def test_the_info_has_the_version_the_rows_and_the_size(filled, command, capsys, tmp_path):
    assert command("info", "--json") == 0

    info = json.loads(capsys.readouterr().out)
    assert info["database"] == str(tmp_path / "anchor.db")
    assert info["schema"] == info["schema_of_this_program"] == schema.HEAD
    assert info["rows"].keys() == TABLES
    assert (info["rows"]["certificates"], info["rows"]["bans"]) == (3, 2)
    assert info["bytes"] > 10_000

    assert command("info") == 0
    assert "           3  certificates\n" in capsys.readouterr().out


def test_the_info_creates_no_file(command, capsys, tmp_path):
    before = set(tmp_path.iterdir())

    assert command("info") == 1

    assert "anchor.db does not exist yet: the service creates it" in capsys.readouterr().err
    assert set(tmp_path.iterdir()) == before


def test_the_info_of_a_file_without_tables_creates_none(command, capsys, tmp_path):
    (tmp_path / "anchor.db").touch(0o600)

    assert command("info", "--json") == 0

    info = json.loads(capsys.readouterr().out)
    assert (info["schema"], info["rows"]) == (None, {})


def test_an_upgrade_says_what_it_did(command, capsys, tmp_path):
    assert command("upgrade") == 0
    assert f"created the tables, with version {schema.HEAD}" in capsys.readouterr().out
    assert rows_of(tmp_path / "anchor.db")["bans"] == []

    assert command("upgrade") == 0
    assert f"nothing to do, the schema has version {schema.HEAD}" in capsys.readouterr().out


def test_an_upgrade_of_a_newer_schema_is_refused(command, capsys, tmp_path):
    command("upgrade")
    execute(tmp_path / "anchor.db", "UPDATE alembic_version SET version_num = '9999'")

    assert command("upgrade") == 1
    assert "the database has version 9999 of the schema" in capsys.readouterr().err


def test_a_copy_has_the_same_rows(filled, command, capsys, tmp_path):
    assert command("copy", f"sqlite:///{tmp_path}/copy.db") == 0

    output = capsys.readouterr().out
    assert f"copied and verified {tmp_path}/anchor.db to {tmp_path}/copy.db" in output
    assert f'"database": {{"url": "sqlite:///{tmp_path}/copy.db"}}' in output
    assert rows_of(tmp_path / "copy.db") == rows_of(tmp_path / "anchor.db")
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
def test_a_copy_is_complete_whatever_the_size_of_a_batch(
    filled, command, tmp_path, monkeypatch, batch
):
    monkeypatch.setattr(copying, "_BATCH", batch)

    assert command("copy", f"sqlite:///{tmp_path}/copy.db") == 0
    assert rows_of(tmp_path / "copy.db") == rows_of(tmp_path / "anchor.db")


def test_imported_certificates_keep_their_missing_values(filled, command, tmp_path):
    execute(tmp_path / "anchor.db", "UPDATE certificates SET groups = NULL WHERE id = 2")

    assert command("copy", f"sqlite:///{tmp_path}/copy.db") == 0
    assert rows_of(tmp_path / "copy.db") == rows_of(tmp_path / "anchor.db")


@pytest.mark.parametrize("target", ["anchor.db", "other.db"])
def test_a_copy_into_a_database_with_rows_is_refused(filled, command, capsys, tmp_path, target):
    other = Database(locate_database({"url": "sqlite:///other.db"}, tmp_path))
    Bans(other).add(Ban(kind="name", value="kept.example.com", since=utc_now()))
    other.close()
    before = rows_of(tmp_path / target)

    assert command("copy", f"sqlite:///{tmp_path}/{target}") == 1

    assert re.search(
        rf"{target} has rows in the table \w+: the target of a copy has to be empty",
        capsys.readouterr().err,
    )
    assert rows_of(tmp_path / target) == before


CHANGED = "certificates, bans, tokens or ACME accounts changed"


def issue(service):
    service.issue(make_csr("late.example.com", "late.example.com"))


def ban(service):
    Bans(service.settings.database).add(Ban(kind="name", value="late", since=utc_now()))


def replace_ban(service):
    bans = Bans(service.settings.database)
    last = bans.all()[-1]
    bans.add(last.model_copy(update={"reason": "another"}))


def revoke(service):
    tokens = Tokens(service.settings.database)
    [token] = tokens.select()
    assert tokens.revoke(token.id)


def order(service):
    add_order(service.settings.database, add_account(service.settings.database))


def unban(service):
    bans = Bans(service.settings.database)
    bans.remove("name", bans.all()[-1].value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (issue, "1 certificates were added"),
        (ban, CHANGED),
        (replace_ban, CHANGED),
        (revoke, CHANGED),
        (unban, CHANGED),
        (order, CHANGED),
    ],
)
def test_nothing_is_copied_from_a_database_in_use(
    filled, command, capsys, tmp_path, monkeypatch, change, reason
):
    continue_identifiers = copying._continue_identifiers

    def change_source(connection):
        change(filled)
        continue_identifiers(connection)

    monkeypatch.setattr(copying, "_continue_identifiers", change_source)
    assert command("copy", f"sqlite:///{tmp_path}/copy.db") == 1

    assert f"{reason} while it was copied, so nothing was copied; stop the service" in (
        capsys.readouterr().err
    )
    assert not any(rows_of(tmp_path / "copy.db").values())

    monkeypatch.undo()
    assert command("copy", f"sqlite:///{tmp_path}/copy.db") == 0
    assert rows_of(tmp_path / "copy.db") == rows_of(tmp_path / "anchor.db")


@pytest.mark.parametrize("table", sorted(TABLES - {"imports"}))
def test_a_copy_with_another_value_is_not_committed(
    filled, command, capsys, tmp_path, monkeypatch, table
):
    def damage(connection):
        column = [each.name for each in METADATA.tables[table].columns][-1]
        connection.exec_driver_sql(f"UPDATE {table} SET {column} = '17' WHERE rowid = 1")

    monkeypatch.setattr(copying, "_continue_identifiers", damage)
    assert command("copy", f"sqlite:///{tmp_path}/copy.db") == 1

    assert "returned other rows" in capsys.readouterr().err
    assert not any(rows_of(tmp_path / "copy.db").values())


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        (f"{int(schema.HEAD) - 1:04}", "`anchor database upgrade` migrates it"),
        (f"{int(schema.HEAD) + 1:04}", "with the newer version of Anchor that migrated it"),
    ],
)
def test_a_copy_of_another_version_is_refused(filled, command, capsys, tmp_path, version, remedy):
    execute(tmp_path / "anchor.db", f"UPDATE alembic_version SET version_num = '{version}'")

    assert command("copy", f"sqlite:///{tmp_path}/copy.db") == 1

    error = capsys.readouterr().err
    assert f"version {version} of the schema instead of {schema.HEAD}: " in error
    assert remedy in error
    assert not (tmp_path / "copy.db").exists()


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "nonsense", "sqlite:////none/x/a.db"])
def test_an_invalid_target_is_rejected(filled, command, capsys, url):
    assert command("copy", url) == 1
    assert "the target.url: " in capsys.readouterr().err or url.endswith("a.db")


def test_a_backup_is_consistent_while_a_transaction_is_open(filled, command, tmp_path):
    before = rows_of(tmp_path / "anchor.db")
    writer = sqlite3.connect(tmp_path / "anchor.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM certificates")

    assert command("backup", str(tmp_path / "backup.db")) == 0

    writer.execute("COMMIT")
    writer.close()
    assert rows_of(tmp_path / "backup.db") == before | {"shared_keys": []}
    assert stat.S_IMODE((tmp_path / "backup.db").stat().st_mode) == 0o600


def test_a_backup_can_be_used_in_place_of_the_database(filled, command, tmp_path, serve, document):
    filled.settings.database.close()
    command("backup", str(tmp_path / "backup.db"))
    document["database"] = {"url": "sqlite:///backup.db"}

    restored = serve(document)
    restored.issue()

    assert len(rows_of(tmp_path / "backup.db")["certificates"]) == 4
    assert len(rows_of(tmp_path / "anchor.db")["certificates"]) == 3


def test_a_backup_has_no_key_of_nonces_so_that_a_restored_database_revives_none(
    filled, command, tmp_path
):
    key = SharedKey(filled.settings.database, "acme-nonces").value()

    assert command("backup", str(tmp_path / "backup.db")) == 0

    assert key in (tmp_path / "anchor.db-wal").read_bytes() + (tmp_path / "anchor.db").read_bytes()
    assert key not in (tmp_path / "backup.db").read_bytes()
    assert [path.name for path in tmp_path.glob("backup.db*")] == ["backup.db"]
    restored = Database(locate_database({"url": "sqlite:///backup.db"}, tmp_path))
    assert SharedKey(restored, "acme-nonces").value() != key


def test_a_backup_overwrites_nothing(filled, command, capsys, tmp_path):
    (tmp_path / "backup.db").write_text("kept")

    assert command("backup", str(tmp_path / "backup.db")) == 1

    assert f"{tmp_path}/backup.db exists already" in capsys.readouterr().err
    assert (tmp_path / "backup.db").read_text() == "kept"


def test_no_backup_is_left_of_a_damaged_database(filled, command, capsys, tmp_path):
    filled.settings.database.close()
    path = tmp_path / "anchor.db"
    contents = path.read_bytes()
    path.write_bytes(contents[:4096] + b"\xff" * (len(contents) - 4096))

    assert command("backup", str(tmp_path / "backup.db")) == 1

    assert "malformed" in capsys.readouterr().err
    assert not (tmp_path / "backup.db").exists()


def test_a_backup_without_a_database_is_an_error(command, capsys, tmp_path):
    for target in ("backup.db", "none/backup.db"):
        assert command("backup", str(tmp_path / target)) == 1
    assert "anchor.db does not exist yet" in capsys.readouterr().err
    assert not (tmp_path / "backup.db").exists()
