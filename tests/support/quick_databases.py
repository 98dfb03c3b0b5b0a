"""SQLite databases of tests: their tables are copied, and nothing is forced to the disk.

Alembic takes 60 ms to make the tables, and a commit waits milliseconds for the disk.  Thousands of
tests want a new database.  The processes that tests start do neither, and so do tests with the
fixture ``real_databases``.
"""

from __future__ import annotations

import threading

from sqlalchemy import event, text

from anchor.store.database import engine, schema, sqlite

migrate = schema.ensure_schema
make_engine = sqlite.make_engine
_HEAD = schema.HEAD
_statements: list[str] = []
_keeping = threading.Lock()


def enter():
    """Make databases quick from now on, in this process."""
    engine.ensure_schema = copy_or_migrate
    sqlite.make_engine = make_engine_without_fsync


def make_engine_without_fsync(location):
    made = make_engine(location)
    # Before and after the function of the program: its first statement writes to the file.
    event.listen(made, "connect", _never_wait, insert=True)
    event.listen(made, "connect", _never_wait)
    return made


def _never_wait(connection, _record):
    connection.execute("PRAGMA synchronous = OFF")


def copy_or_migrate(database, lock):
    """Create the tables, or migrate them to this version."""
    # Tests of older versions set schema.HEAD.
    if database.dialect.name != "sqlite" or schema.HEAD != _HEAD or not _is_new(database):
        migrate(database, lock)
    elif _statements:
        _copy_tables(database, lock)
    else:
        migrate(database, lock)
        with _keeping:
            # Several threads may have opened the first database at once.
            _statements[:] = _tables_of(database)


def _is_new(database):
    with database.connect() as connection:
        return not connection.execute(text("SELECT count(*) FROM sqlite_master")).scalar()


def _tables_of(database):
    with database.connect() as connection:
        dump = list(connection.connection.driver_connection.iterdump())
    # Other threads may have stored rows already.
    return [each for each in dump if each.startswith("CREATE ") or "alembic_version" in each]


def _copy_tables(database, lock):
    with database.begin() as connection:
        lock(connection)
        cursor = connection.connection.driver_connection.cursor()
        # Another thread may have made them while this one waited.
        if cursor.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            for statement in _statements:
                cursor.execute(statement)
        cursor.close()
