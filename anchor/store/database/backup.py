"""A consistent copy of a SQLite database, made while the service runs."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from anchor.errors import StorageError
from anchor.store.database import sqlite
from anchor.store.database.errors import database_errors
from anchor.store.database.settings import DatabaseLocation
from anchor.store.database.tables import SHARED_KEYS


def back_up(location: DatabaseLocation, path: Path) -> int:
    """Write a copy to a new file that only its owner can read; return its size in bytes.

    It has all rows but the shared keys.  Writers do not wait for it.  A plain copy of the file
    would lack the commits that are still in its write-ahead log, and could be torn.

    Args:
        location: a SQLite database, which has to exist.
        path: the new file.

    Raises:
        OSError: the file exists or cannot be written.
        DatabaseUnavailable: the database is away, or a disk is full.
        StorageError: the database is damaged.
    """
    # VACUUM INTO accepts an empty file, and keeps its mode.
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        engine = sqlite.make_engine(location)
        try:
            with database_errors(f"{location} to {path}"), engine.connect() as connection:
                connection.exec_driver_sql("VACUUM INTO ?", (str(path),))
        finally:
            engine.dispose()
        _require_intact(path)
        _forget_shared_keys(path)
        _sync(path)
        _sync(path.parent)
    except BaseException:
        path.unlink()
        raise
    return path.stat().st_size


def _forget_shared_keys(path: Path) -> None:
    # The copy does not have the nonces that are used after it was made: with the old key, a
    # database that is restored from it would accept these again.  It makes a new key.
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
            # A database of an earlier version has no such table.
            if connection.execute(table, (SHARED_KEYS.name,)).fetchone():
                connection.execute("PRAGMA secure_delete = ON")
                connection.execute(f"DELETE FROM {SHARED_KEYS.name}")  # noqa: S608  # a constant
    except sqlite3.Error as error:
        raise StorageError(f"{path} cannot be written, so there is no backup: {error}") from error


def _require_intact(path: Path) -> None:
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
        [first, *_] = connection.execute("PRAGMA quick_check(1)").fetchone()
    if first != "ok":
        raise StorageError(f"{path} is damaged, so there is no backup: {first}")


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
