"""The connection to the database, opened by each process after the fork."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from anchor.errors import AnchorError
from anchor.store.database import postgresql, sqlite
from anchor.store.database.errors import database_errors, is_disconnect, must_reconnect
from anchor.store.database.schema import ensure_schema
from anchor.store.database.settings import DatabaseLocation
from anchor.store.database.statements import Transaction


class Database:
    """A database; nothing connects before its first use.

    Args:
        location: the validated section of the configuration.
    """

    def __init__(self, location: DatabaseLocation):
        self.location = location
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._process = 0
        self._file: tuple[int, int] | None = None
        self._has_tables = False
        self._timeout = location.settings.timeout_seconds

    def __str__(self) -> str:
        return str(self.location)

    def exists(self) -> bool:
        """Whether the file of a SQLite database exists; True for a server."""
        return self.location.path is None or self.location.path.exists()

    def require_usable(self) -> None:
        """Require that this process can write to the file of a SQLite database, or create it.

        Raises:
            ConfigurationError: it cannot.
        """
        if self.location.path is not None:
            sqlite.require_usable(self.location.path)

    def prepare(self) -> None:
        """Create or migrate the tables.

        Before a fork, call :meth:`close` too.

        Raises:
            ConfigurationError: the file of the database cannot be used.
            DatabaseUnavailable: the database is away.
            StorageError: the schema is too new, or the database refuses a statement.
        """
        with database_errors(str(self)):
            self._current_engine()

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        with self._lock:
            engine, self._engine = self._engine, None
            if engine is not None:
                _dispose(engine, self._process)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for statements that only read.

        Raises:
            DatabaseUnavailable: the database is away.
            StorageError: the database refuses a statement.
        """
        with database_errors(str(self)), self._current_engine().connect() as connection:
            yield connection

    @contextmanager
    def write(self, *, reads_first: bool = False) -> Iterator[Connection]:
        """A transaction, which is committed durably at the end of the block.

        Args:
            reads_first: True if it reads before it writes, and no other transaction may change
                what it read.

        Raises:
            DatabaseUnavailable: the database is away, locked or full, or a replica did not confirm.
            StorageError: the database refuses a statement.
        """
        with database_errors(str(self)), self._current_engine().connect() as connection:
            try:
                with connection.begin():
                    self._begin(connection, reads_first=reads_first)
                    yield connection
            except DBAPIError as error:
                if must_reconnect(error.orig):
                    connection.invalidate()
                raise
            if connection.dialect.name == "postgresql":
                postgresql.require_replicated(connection.info)

    @contextmanager
    def transaction(self, *, writes: bool = True) -> Iterator[Transaction]:
        """A transaction for the statements of each request, committed durably at its end.

        Args:
            writes: False if it only reads.

        Raises:
            DatabaseUnavailable: the database is away, locked or full, or a replica did not confirm.
            StorageError: the database refuses a statement.
        """
        with database_errors(str(self)):
            engine = self._current_engine()
            connection = engine.raw_connection()
            try:
                if writes and engine.dialect.name == "sqlite":
                    sqlite.begin(connection.driver_connection, self._timeout)
                yield Transaction(connection.cursor(), engine.dialect)
                if writes:
                    connection.commit()
                    if engine.dialect.name == "postgresql":
                        postgresql.require_replicated(connection.info)
            except engine.dialect.loaded_dbapi.Error as error:
                if is_disconnect(error, engine.dialect, connection.driver_connection):
                    connection.invalidate()
                raise
            finally:
                # This also rolls back what is not committed.
                connection.close()

    def is_up(self) -> bool:
        """Whether the database can be read now."""
        try:
            with self.read() as connection:
                connection.execute(text("SELECT 1"))
        except AnchorError:
            return False
        return True

    def ready(self) -> None:
        """Check that a row could be written now.

        Raises:
            DatabaseUnavailable: the database is away, locked or full.
            StorageError: the database cannot be used.
        """
        with self.write() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = version_num"))

    def _current_engine(self) -> Engine:
        """The engine of this process, with its tables."""
        engine = self._engine
        if engine is None or self._process != os.getpid():
            engine = self._engine_of_process()
        if self.location.path is not None:
            sqlite.require_same_file(self.location.path, self._file)
        if not self._has_tables:
            ensure_schema(engine, self._begin)
            self._has_tables = True
        return engine

    def _engine_of_process(self) -> Engine:
        with self._lock:
            if self._engine is not None and self._process != os.getpid():
                # A connection of the parent process must not be used or closed here.
                self._engine.dispose(close=False)
                self._engine = None
            if self._engine is None:
                self._engine, self._process = self._make_engine(), os.getpid()
                self._has_tables = False
                weakref.finalize(self, _dispose, self._engine, self._process)
            return self._engine

    def _make_engine(self) -> Engine:
        path = self.location.path
        if path is None:
            return postgresql.make_engine(self.location)
        if self._file is None:
            # A process that is forked later must not replace a file that has disappeared.
            sqlite.create_file(path)
            self._file = sqlite.file_identity(path)
        return sqlite.make_engine(self.location)

    def _begin(self, connection: Connection, *, reads_first: bool = True) -> None:
        """Wait for other transactions that would change what this one reads."""
        if connection.dialect.name == "sqlite":
            sqlite.begin(connection.connection.driver_connection, self._timeout)
        elif reads_first:
            postgresql.lock(connection)


def _dispose(engine: Engine, process: int) -> None:
    """Close the connections, unless they belong to another process."""
    engine.dispose(close=process == os.getpid())
