"""SQLite: durable commits, and writers that wait for each other."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event

from anchor.errors import ConfigurationError, DatabaseUnavailable
from anchor.store.database.settings import DatabaseLocation

# Seconds between two attempts to begin a transaction.
_PAUSE = (0.0005, 0.004)


def make_engine(location: DatabaseLocation) -> Engine:
    """An engine for a file, which is created on the first connection."""
    path, settings = location.path, location.settings
    assert path is not None
    engine = create_engine(
        location.url.set(database=str(path)),
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=settings.timeout_seconds,
        connect_args={
            "timeout": settings.timeout_seconds,
            "check_same_thread": False,
            # The driver must not begin transactions: begin() does.
            "isolation_level": None,
        },
        hide_parameters=True,
        # As psycopg does.
        paramstyle="named",
    )

    def connect(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    event.listen(engine, "connect", connect)
    return engine


class Connections:
    """Connections of the driver, for the transactions of requests.

    Nothing limits their number but the number of threads.  SQLAlchemy's pool takes longer for a
    connection than SQLite for a lookup: doc/adr/0059 has the figures.

    Args:
        engine: opens the connections.
        seconds: how long a transaction waits for others at most.
        path: the file.
        identity: the file's :func:`file_identity`.
        durable: False if commits need not wait for the disk.
    """

    def __init__(
        self,
        engine: Engine,
        seconds: float,
        path: Path,
        identity: tuple[int, int] | None,
        *,
        durable: bool = True,
    ):
        self._engine = engine
        self._seconds = seconds
        self._path = path
        self._identity = identity
        self._durable = durable
        self._idle: dict[bool, list[Any]] = {True: [], False: []}

    def begin(self, *, writes: bool) -> Any:
        """A connection in a transaction; pass it to :meth:`commit` or to :meth:`abandon`.

        Raises:
            sqlite3.Error: other writers took too long, or the file cannot be opened.
            DatabaseUnavailable: the file was removed or replaced.
        """
        if writes:
            # Reading the file that was opened does no harm: nothing can be written after it.
            require_same_file(self._path, self._identity)
        try:
            connection = self._idle[writes].pop()
        except IndexError:
            # Not asked before: another thread may have taken the last one meanwhile.
            connection = self._connect(writes=writes)
        if writes:
            try:
                _lock(connection, self._seconds)
            except BaseException:
                connection.close()
                raise
        return connection

    def commit(self, connection: Any, *, writes: bool) -> None:
        """Commit the transaction.

        Raises:
            sqlite3.Error: nothing was committed.
        """
        if writes:
            connection.commit()
        self._idle[writes].append(connection)

    def abandon(self, connection: Any, _error: BaseException) -> None:
        """Roll the transaction back, and close the connection."""
        try:
            # Closing does not roll back as long as a cursor exists, for example in a traceback.
            connection.rollback()
        finally:
            connection.close()

    def close(self) -> None:
        """Close the idle connections."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _connect(self, *, writes: bool) -> Any:
        require_same_file(self._path, self._identity)
        pooled = self._engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()
        if writes:
            connection.execute("PRAGMA busy_timeout = 0")
        if not self._durable:
            # The next commit of another connection, or the checkpoint, syncs this one's too.
            connection.execute("PRAGMA synchronous = NORMAL")
        return connection


def begin(connection: Any, seconds: float) -> None:
    """Begin a transaction that writes, after the transactions of other writers.

    Args:
        connection: the driver's connection.
        seconds: how long to wait at most.

    Raises:
        sqlite3.OperationalError: other writers took too long.
    """
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        _lock(connection, seconds)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")


def _lock(connection: Any, seconds: float) -> None:
    """Begin a transaction on a connection without a timeout of SQLite.

    SQLite's own wait sleeps up to 0.1 s between attempts, so that with many writers some of them
    time out while others overtake them.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            # Lock at once: a transaction that reads first cannot wait for another writer.
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() >= end:
                raise
        time.sleep(random.uniform(*_PAUSE))  # noqa: S311  # not a secret


def create_file(path: Path) -> None:
    """Create the file if it does not exist, for its owner alone.

    A file that root creates belongs to the owner of the directory, who runs the service.

    Raises:
        ConfigurationError: the file cannot be created or used.
    """
    try:
        # Before the file is looked for: another process may be creating both now.
        has_log = _log_size(path) > 0
        if has_log and not path.exists():
            # SQLite would delete the log, with the last commits of the lost file.
            raise ConfigurationError.about(
                "url",
                f"{path} does not exist, but its log {path}-wal does: move the database back, "
                "or delete the log if the database is lost",
            )
        directory = path.parent.stat()
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            require_usable(path)
            return
        try:
            if os.geteuid() == 0:
                os.fchown(file, directory.st_uid, directory.st_gid)
        finally:
            os.close(file)
    except OSError as error:
        raise ConfigurationError.about("url", f"{path}: {error.strerror}") from None


def _log_size(path: Path) -> int:
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except FileNotFoundError:
        return 0


def file_identity(path: Path) -> tuple[int, int] | None:
    """The device and the inode of a file; None if it does not exist."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def require_same_file(path: Path, identity: tuple[int, int] | None) -> None:
    """Require that the file is the one that was opened.

    Commits to another file at its path would be damaged, and commits to a deleted file lost.

    Raises:
        DatabaseUnavailable: the file was removed or replaced.
    """
    if file_identity(path) != identity:
        raise DatabaseUnavailable(
            f"{path} was removed or replaced while it was in use: restart the service"
        )


def require_usable(path: Path) -> None:
    """Require that the file, if it exists, and its directory can be written by the service only.

    Raises:
        ConfigurationError: they cannot be used.
    """
    directory = path.parent
    if not directory.is_dir():
        raise ConfigurationError.about("url", f"{directory} is no directory")
    # SQLite creates files beside the database.
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ConfigurationError.about("url", f"{directory} is not writable")
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError.about("url", f"{path}: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError.about("url", f"{path} is no regular file")
    if not os.access(path, os.R_OK | os.W_OK):
        raise ConfigurationError.about("url", f"{path} is not writable")
    if status.st_mode & (stat.S_IWGRP | stat.S_IRWXO):
        raise ConfigurationError.about("url", f"{path} is open to other users: chmod 600 {path}")
