"""Creating and migrating the tables, also when several processes start at once."""

from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys

import pytest
from alembic import op

from anchor.errors import StorageError
from anchor.store.database import schema
from anchor.store.database.engine import Database
from anchor.store.database.settings import locate_database

pytestmark = pytest.mark.usefixtures("real_databases")


def open_database(directory):
    return Database(locate_database({}, directory))


def execute(directory, statement, *values):
    """Execute a statement with SQLite alone, and return the rows."""
    with sqlite3.connect(directory / "anchor.db") as connection:
        rows = connection.execute(statement, values).fetchall()
    connection.close()
    return rows


def set_version(directory, version):
    execute(directory, "UPDATE alembic_version SET version_num = ?", version)


@pytest.fixture
def database(tmp_path):
    """A database with its tables, which no connection uses."""
    made = open_database(tmp_path)
    made.prepare()
    made.close()
    return made


def later(number):
    """The version that comes this many versions after the newest one."""
    return f"{int(schema.HEAD) + number:04}"


def test_a_new_database_gets_the_newest_version(database, tmp_path):
    assert execute(tmp_path, "SELECT version_num FROM alembic_version") == [(schema.HEAD,)]


def test_the_next_version_is_accepted(database, tmp_path):
    set_version(tmp_path, later(1))

    database.prepare()
    database.ready()

    database.close()
    assert execute(tmp_path, "SELECT version_num FROM alembic_version") == [(later(1),)]


def test_a_version_after_the_next_one_is_refused(database, tmp_path):
    set_version(tmp_path, later(2))

    for use in (database.prepare, database.ready):
        with pytest.raises(
            StorageError,
            match=f"has version {later(2)} of the schema; this version of Anchor works with "
            f"{schema.HEAD} and the next one",
        ):
            use()
    database.close()


@pytest.mark.parametrize("version", ["ae1027a6acf", "1f3b", "", "0000", "00010", "१२३४"])
def test_the_tables_of_another_program_are_refused(database, tmp_path, version):
    set_version(tmp_path, version)

    with pytest.raises(StorageError, match="the database belongs to another program"):
        database.prepare()
    database.close()


def prepare_in_child(directory, results):
    try:
        open_database(directory).prepare()
    except Exception as error:
        results.put(repr(error))
        raise
    results.put("prepared")


@pytest.mark.slow
def test_processes_that_start_at_once_all_get_the_tables(tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [
        context.Process(target=prepare_in_child, args=(tmp_path, results)) for _ in range(4)
    ]
    for process in processes:
        process.start()

    assert [results.get(timeout=60) for _ in processes] == ["prepared"] * 4
    for process in processes:
        process.join()


def test_a_migration_that_fails_leaves_no_table(tmp_path, monkeypatch):
    create_table = op.create_table

    def fail(name, *columns):
        if name == "bans":
            raise OSError("no space")
        return create_table(name, *columns)

    monkeypatch.setattr(op, "create_table", fail)
    database = open_database(tmp_path)
    with pytest.raises(OSError, match="no space"):
        database.prepare()
    assert execute(tmp_path, "SELECT name FROM sqlite_master") == []

    monkeypatch.undo()
    database.prepare()
    database.ready()
    database.close()


# Ends the process without any clean-up in the middle of the migration.
_CRASH = """
import os, pathlib, sys
from alembic import op
from anchor.store.database.engine import Database
from anchor.store.database.settings import locate_database
op.create_index = lambda *_: None
create_table = op.create_table
op.create_table = lambda name, *columns: (
    os._exit(9) if name == "bans" else create_table(name, *columns)
)
Database(locate_database({}, pathlib.Path(sys.argv[1]))).prepare()
"""


@pytest.mark.slow
def test_a_crash_during_a_migration_leaves_no_table(tmp_path):
    crashed = subprocess.run([sys.executable, "-c", _CRASH, tmp_path], check=False)

    assert crashed.returncode == 9
    assert (tmp_path / "anchor.db").exists()
    assert execute(tmp_path, "SELECT name FROM sqlite_master") == []
    open_database(tmp_path).prepare()
    assert execute(tmp_path, "SELECT version_num FROM alembic_version") == [(schema.HEAD,)]
