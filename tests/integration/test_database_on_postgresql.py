"""The tables on PostgreSQL, and copies from SQLite to PostgreSQL and back."""

from __future__ import annotations

import json
import sqlite3
import threading

import pytest
from sqlalchemy import bindparam, create_engine, select, text

from anchor.audit import checkpoints
from anchor.cli import main
from anchor.errors import StorageError
from anchor.store.bans import Ban
from anchor.store.database import copying, schema
from anchor.store.database.acme_tables import METADATA
from anchor.store.database.bans import Bans
from anchor.store.database.engine import Database
from anchor.store.database.inspection import inspect_database, schema_differences
from anchor.store.database.settings import locate_database
from anchor.store.database.statements import Statement
from anchor.store.database.tables import FAILURES
from anchor.timestamps import utc_now
from tests.support.pki import make_csr
from tests.support.tokens import add_token, add_used_credential

TABLES = [table.name for table in METADATA.sorted_tables]


@pytest.fixture
def url(postgresql_url):
    """The URL of an empty database, as it is in the configuration."""
    return postgresql_url.replace("postgresql+psycopg:", "postgresql:")


@pytest.fixture
def location(url, tmp_path):
    return locate_database({"url": url}, tmp_path)


@pytest.fixture
def database(location):
    """The database with its tables."""
    made = Database(location)
    made.prepare()
    yield made
    made.close()


@pytest.fixture
def command(tmp_path):
    """Runs ``anchor database`` with the configuration of the service."""
    config = str(tmp_path / "config.json")
    return lambda *arguments: main.main(["database", *arguments, "--config", config])


@pytest.fixture
def filled(serve, document):
    """A service on SQLite with three certificates, two bans and a token."""
    service = serve(document)
    for name in ("a.example.com", "b.example.com", "c.example.com"):
        service.issue(make_csr(name, name))
    for name in ("x.example.com", "*.y.example.com"):
        ban(service.settings.database, name)
    service.sign(secret="wrong", status=401)
    add_token(service.settings.database, names=("ü.example.com",))
    add_used_credential(service.settings.database)
    yield service
    service.settings.database.close()


def ban(database, name):
    Bans(database).add(Ban(kind="name", value=name, since=utc_now(), reason="ü"))


def rows_of(path):
    """All rows of a SQLite file, by table."""
    with sqlite3.connect(path) as connection:
        rows = {name: sorted(connection.execute(f"SELECT * FROM {name}")) for name in TABLES}
    connection.close()
    return rows


# Names of indexes and sequences contain no schema; everything else has to be equal.
_COLUMNS = """
SELECT table_name, column_name, ordinal_position, is_nullable, data_type,
       character_maximum_length, collation_name,
       replace(column_default, table_schema || '.', '')
FROM information_schema.columns
WHERE table_schema = :name AND table_name != 'alembic_version' ORDER BY 1, 3
"""
_INDEXES = """
SELECT replace(indexdef, :name || '.', '') FROM pg_indexes
WHERE schemaname = :name AND tablename != 'alembic_version' ORDER BY 1
"""
_CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, replace(pg_get_constraintdef(oid), :name || '.', '')
FROM pg_constraint
WHERE connamespace = CAST(:name AS regnamespace) AND conname !~ '^alembic' ORDER BY 1, 2
"""


def test_the_migrations_make_the_tables_of_the_program(database, location):
    with inspect_database(location) as connection:
        assert schema_differences(connection) == []


@pytest.mark.parametrize("query", [_COLUMNS, _INDEXES, _CONSTRAINTS])
def test_the_migrations_make_the_same_columns_indexes_and_constraints(database, location, query):
    engine = create_engine(location.url)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA direct"))
        migrated = connection.execute(text(query), {"name": "public"}).all()
        connection.execute(text("SET LOCAL search_path = direct"))
        METADATA.create_all(connection, checkfirst=False)
        direct = connection.execute(text(query), {"name": "direct"}).all()
    engine.dispose()

    assert migrated
    assert direct == migrated


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (f"{int(schema.HEAD) + 2:04}", "works with .* and the next one"),
        ("ae1027a6acf", "belongs to another program"),
    ],
)
def test_an_unknown_version_is_refused(database, version, reason):
    with database.write() as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{version}'"))
    database.close()

    with pytest.raises(StorageError, match=reason):
        database.prepare()


def test_the_next_version_is_accepted(database):
    with database.write() as connection:
        version = f"{int(schema.HEAD) + 1:04}"
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{version}'"))
    database.close()

    database.prepare()
    database.ready()


def test_the_server_plans_the_statements_of_requests_once(database):
    find = Statement(select(FAILURES.c.total).where(FAILURES.c.key == bindparam("key")))
    prepared = Statement(text("SELECT statement FROM pg_prepared_statements"))
    for _ in range(10):
        with database.transaction(writes=False) as transaction:
            transaction.rows(find, {"key": "unknown"})
            statements = transaction.rows(prepared, {})

    assert any("failures" in statement for (statement,) in statements)


def test_nodes_that_start_at_once_all_get_the_tables(location):
    databases = [Database(location) for _ in range(5)]
    results = []

    def prepare(database):
        database.prepare()
        results.append("prepared")

    threads = [threading.Thread(target=prepare, args=(each,)) for each in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in databases:
        each.close()

    assert results == ["prepared"] * 5


def test_a_copy_to_postgresql_and_back_has_the_same_rows(filled, url, command, capsys, tmp_path):
    with sqlite3.connect(tmp_path / "anchor.db") as connection:
        # As an imported certificate.
        connection.execute("UPDATE certificates SET groups = NULL, requester = NULL WHERE id = 2")
    connection.close()

    assert command("copy", url) == 0
    assert '"database": {"url": "postgresql://' in capsys.readouterr().out

    configuration = json.loads((tmp_path / "config.json").read_text())
    configuration["database"] = {"url": url}
    (tmp_path / "config.json").write_text(json.dumps(configuration))
    assert command("copy", f"sqlite:///{tmp_path}/back.db") == 0
    assert rows_of(tmp_path / "back.db") == rows_of(tmp_path / "anchor.db")


def test_the_service_continues_on_the_copy(filled, url, command, serve, document, location):
    assert command("copy", url) == 0
    document["database"] = {"url": url}

    service = serve(document)
    service.issue(make_csr("d.example.com", "d.example.com"))
    ban(service.settings.database, "z.example.com")

    assert service.sign(make_csr("x.example.com", "x.example.com")).status_int == 400
    service.settings.database.close()
    with inspect_database(location) as connection:
        assert connection.execute(text("SELECT max(id) FROM certificates")).scalar() == 4
        assert connection.execute(text("SELECT max(id) FROM bans")).scalar() == 3


def test_a_copy_into_a_server_with_rows_is_refused(filled, url, database, command, capsys):
    ban(database, "kept.example.com")

    assert command("copy", url) == 1

    assert "has rows in the table bans" in capsys.readouterr().err
    assert [each.value for each in Bans(database).all()] == ["kept.example.com"]


def test_nothing_is_copied_if_the_source_changes(
    filled, url, database, command, capsys, monkeypatch
):
    continue_identifiers = copying._continue_identifiers

    def change_source(connection):
        ban(filled.settings.database, "late.example.com")
        continue_identifiers(connection)

    monkeypatch.setattr(copying, "_continue_identifiers", change_source)
    assert command("copy", url) == 1

    assert "changed while it was copied, so nothing was copied" in capsys.readouterr().err
    assert Bans(database).all() == []


def test_info_and_check_describe_a_server(url, command, capsys, serve, document, tmp_path):
    document["database"] = {"url": url}
    private, _ = checkpoints.make_key()
    (tmp_path / "audit.key").write_bytes(private)
    (tmp_path / "audit.key").chmod(0o400)
    document["audit"] = {
        "target": "file",
        "path": "audit.log",
        "checkpoint_key_path": "audit.key",
    }
    service = serve(document)
    service.issue()

    assert command("info", "--json") == 0
    info = json.loads(capsys.readouterr().out)
    assert info["server"].startswith("PostgreSQL ")
    assert info["rows"]["certificates"] == 1
    assert info["bytes"] > 10_000

    assert command("check", "--json") == 0
    assert json.loads(capsys.readouterr().out)["forgotten"] == []
    with service.settings.database.write() as connection:
        connection.execute(text("DELETE FROM certificates"))
    service.settings.database.close()
    assert command("check", "--json") == 1
    assert len(json.loads(capsys.readouterr().out)["forgotten"]) == 1


def test_a_password_is_not_printed(filled, tmp_path, monkeypatch, capsys, command):
    def copied(_source, target, _progress):
        assert target.location.url.password == "hidden"
        return {"certificates": 3}

    monkeypatch.setattr("anchor.cli.database_copy.copy_database", copied)
    (tmp_path / "password").write_text("hidden\n")
    (tmp_path / "password").chmod(0o600)

    assert command("copy", "postgresql://anchor:hidden@db/anchor") == 0
    output = capsys.readouterr().out
    assert '{"url": "postgresql://anchor@db/anchor", "password_file": "FILE"}' in output
    assert "hidden" not in output

    path = f"{tmp_path}/password"
    assert command("copy", "postgresql://anchor@db/anchor", "--password-file", path) == 0
    output = capsys.readouterr().out
    assert f'"password_file": "{tmp_path}/password"' in output
    assert "hidden" not in output


def test_the_backup_of_a_server_is_made_by_its_own_program(document, tmp_path, command, capsys):
    document["database"] = {"url": "postgresql://anchor:hidden@/x?host=a:5432&host=b:5433"}
    (tmp_path / "config.json").write_text(json.dumps(document))

    assert command("backup", "anchor.dump") == 1

    error = capsys.readouterr().err
    assert "pg_dump --format=custom --file=anchor.dump --exclude-table-data=shared_keys" in error
    assert "umask 077" in error
    assert "--dbname='" in error
    assert "host=a,b port=5432,5433" in error
    assert "hidden" not in error
