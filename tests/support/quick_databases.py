"""SQLite databases of tests: they are copies of one, and nothing is forced to the disk.

Alembic takes 60 ms to make the tables, and a commit waits milliseconds for the disk.  Thousands of
tests want a new database.  The processes that tests start do neither, and so do tests with the
fixture ``real_databases``.
"""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
import uuid
from pathlib import Path

import sqlalchemy
from sqlalchemy import event

from anchor.store.database import schema, sqlite

create_file = sqlite.create_file
make_engine = sqlite.make_engine
connect = sqlite.Connections._connect
_HEAD = schema.HEAD


def enter():
    """Make databases quick from now on, in this process."""
    sqlite.create_file = create_file_with_tables
    sqlite.make_engine = make_engine_without_fsync
    sqlite.Connections._connect = connect_without_fsync


def make_engine_without_fsync(location):
    made = make_engine(location)
    # Before and after the function of the program: its first statement writes to the file.
    event.listen(made, "connect", _never_wait, insert=True)
    event.listen(made, "connect", _never_wait)
    return made


def connect_without_fsync(connections, *, writes):
    # A connection for commits that need not be durable sets the pragma itself.
    made = connect(connections, writes=writes)
    _never_wait(made, None)
    return made


def _never_wait(connection, _record):
    connection.execute("PRAGMA synchronous = OFF")


def create_file_with_tables(path):
    """Create the file if it does not exist; it has the tables of this version."""
    # Tests of older versions set schema.HEAD.  The program refuses a file's log without the file.
    is_new = not path.exists() and not path.with_name(f"{path.name}-wal").exists()
    if is_new and schema.HEAD == _HEAD and os.access(path.parent, os.W_OK):
        copy = path.with_name(f".{uuid.uuid4().hex}")
        create_file(copy)
        copy.write_bytes(_empty_database())
        # Several threads may make the same database: the first file stays.
        with contextlib.suppress(FileExistsError):
            os.link(copy, path)
        copy.unlink()
    create_file(path)


@functools.cache
def _empty_database():
    """The file of a database that has its tables and no rows."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "anchor.db")
        made = sqlalchemy.create_engine(f"sqlite:///{path}")
        schema.ensure_schema(made, lambda _connection: None)
        with made.connect() as connection:
            connection.execute(sqlalchemy.text("PRAGMA journal_mode = WAL"))
        made.dispose()
        return path.read_bytes()
