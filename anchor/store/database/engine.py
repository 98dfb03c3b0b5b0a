"""The connection to the database, opened by each process after the fork."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from anchor.errors import AnchorError
from anchor.store.database import postgresql, sqlite
from anchor.store.database.errors import database_errors, must_reconnect, replacement_of
from anchor.store.database.schema import ensure_schema
from anchor.store.database.settings import DatabaseLocation
from anchor.store.database.statements import Statement, Transaction, Values


class Database:
    """A database; nothing connects before its first use.

    Args:
        location: the validated section of the configuration.
    """

    def __init__(self, location: DatabaseLocation):
        self.location = location
        self._lock = threading.Lock()
        self._name = str(location)
        self._open: _Open | None = None
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
        with database_errors(self._name):
            self._current_engine()

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        with self._lock:
            opened, self._open = self._open, None
            if opened is not None:
                opened.close()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for statements that only read.

        Raises:
            DatabaseUnavailable: the database is away.
            StorageError: the database refuses a statement.
        """
        with database_errors(self._name), self._current_engine().connect() as connection:
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
        with database_errors(self._name), self._current_engine().connect() as connection:
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
    def transaction(self, *, writes: bool = True, durable: bool = True) -> Iterator[Transaction]:
        """A transaction for the statements of each request, committed at its end.

        Args:
            writes: False if it only reads.
            durable: False if a crash of the machine may undo it until the next durable commit;
                all processes and nodes see it at once all the same.

        Raises:
            DatabaseUnavailable: the database is away, locked or full, or a replica did not confirm.
            StorageError: the database refuses a statement.
        """
        try:
            opened = self._open_with_tables()
            engine = opened.engine
            connections = opened.connections if durable else opened.relaxed
            connection = connections.begin(writes=writes)
            try:
                yield Transaction(connection.cursor(), engine.dialect)
                connections.commit(connection, writes=writes)
            except BaseException as error:
                connections.abandon(connection, error)
                raise
        except Exception as error:
            replacement = replacement_of(error, self._name)
            if replacement is None:
                raise
            raise replacement from error

    def rows(self, query: Statement, values: Values) -> list[tuple[Any, ...]]:
        """The rows that a query finds, in a separate transaction.

        Raises:
            DatabaseUnavailable: the database is away.
            StorageError: the database refuses the query.
        """
        with self.transaction(writes=False) as transaction:
            return transaction.rows(query, values)

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
        """The engine of this process, with its tables in the file that it opened."""
        engine = self._open_with_tables().engine
        self._require_same_file()
        return engine

    def _require_same_file(self) -> None:
        if self.location.path is not None:
            sqlite.require_same_file(self.location.path, self._file)

    def _open_with_tables(self) -> _Open:
        opened = self._open
        if opened is None or opened.process != os.getpid():
            opened = self._open_in_process()
        if not self._has_tables:
            self._require_same_file()
            ensure_schema(opened.engine, self._begin)
            self._has_tables = True
        return opened

    def _open_in_process(self) -> _Open:
        with self._lock:
            opened = self._open
            if opened is not None and opened.process != os.getpid():
                # A connection of the parent process must not be used or closed here.
                opened.engine.dispose(close=False)
                opened = None
            if opened is None:
                self._has_tables = False
                self._open = opened = self._make_engine()
                weakref.finalize(self, opened.close)
            return opened

    def _make_engine(self) -> _Open:
        path = self.location.path
        if path is None:
            engine = postgresql.make_engine(self.location)
            return _Open(
                engine,
                os.getpid(),
                connections=postgresql.Connections(engine),
                relaxed=postgresql.Connections(engine, durable=False),
            )
        if self._file is None:
            # A process that is forked later must not replace a file that has disappeared.
            sqlite.create_file(path)
            self._file = sqlite.file_identity(path)
        engine = sqlite.make_engine(self.location)
        connections, relaxed = (
            sqlite.Connections(engine, self._timeout, path, self._file, durable=durable)
            for durable in (True, False)
        )
        return _Open(engine, os.getpid(), connections, relaxed)

    def _begin(self, connection: Connection, *, reads_first: bool = True) -> None:
        """Wait for other transactions that would change what this one reads."""
        if connection.dialect.name == "sqlite":
            sqlite.begin(connection.connection.driver_connection, self._timeout)
        elif reads_first:
            postgresql.lock(connection)


class _Open(NamedTuple):
    """The connections of one process.

    Attributes:
        connections: the connections for transactions of requests.
        relaxed: those for transactions that need not be durable at once.
    """

    engine: Engine
    process: int
    connections: sqlite.Connections | postgresql.Connections
    relaxed: sqlite.Connections | postgresql.Connections

    def close(self) -> None:
        """Close the connections, unless they belong to another process."""
        is_own = self.process == os.getpid()
        if is_own:
            self.connections.close()
            self.relaxed.close()
        self.engine.dispose(close=is_own)
