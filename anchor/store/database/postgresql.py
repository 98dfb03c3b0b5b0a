"""PostgreSQL: durable commits, also on a replica, with a limit for each wait."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text

from anchor.errors import DatabaseUnavailable
from anchor.store.database.errors import is_disconnect
from anchor.store.database.settings import DatabaseLocation, without_secrets

# Weaker settings acknowledge a commit that a fail-over loses.
_DURABLE = ("on", "remote_apply")
_CANCELLED = "anchor_commit_cancelled"
# Chosen at random, so that no other program uses it in this database.
_LOCK = 4_730_148_113


def make_engine(location: DatabaseLocation) -> Engine:
    """An engine for a server; it connects on first use."""
    # psycopg is an optional package.
    from anchor.store.database.bounded_connection import BoundedConnection  # noqa: PLC0415

    settings = location.settings
    milliseconds = int(settings.timeout_seconds * 1000)
    engine = create_engine(
        location.url,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=settings.timeout_seconds,
        # A restarted or replaced server is then noticed before a request fails.
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": settings.connect_timeout_seconds,
            "tcp_user_timeout": milliseconds,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 2,
            "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}",
            "application_name": "anchor",
        },
        hide_parameters=True,
    )

    def open_connection(
        _dialect: object, _record: object, arguments: list[Any], options: dict[str, Any]
    ) -> BoundedConnection:
        if "," in str(options.get("host", "")):
            # By default libpq keeps to the first host, even if that is a replica.
            options.setdefault("target_session_attrs", "read-write")
        connection = BoundedConnection.connect(*arguments, **options)
        connection.limit = settings.timeout_seconds
        return connection

    def connect(connection: Any, record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SHOW synchronous_commit")
            if cursor.fetchone()[0] not in _DURABLE:
                cursor.execute("SET SESSION synchronous_commit = on")
        connection.commit()

        def notice(diagnostic: Any) -> None:
            if gave_up_replica(diagnostic):
                record.info[_CANCELLED] = True

        connection.add_notice_handler(notice)

    event.listen(engine, "do_connect", open_connection)
    event.listen(engine, "connect", connect)
    return engine


class Connections:
    """Connections of the pool, for the transactions of requests.

    Args:
        engine: has the pool.
        durable: False if commits need not wait for the disk or a replica.
    """

    def __init__(self, engine: Engine, *, durable: bool = True):
        self._engine = engine
        self._durable = durable

    def begin(self, *, writes: bool) -> Any:
        """A connection in a transaction; pass it to :meth:`commit` or to :meth:`abandon`.

        Raises:
            psycopg.Error: the server is away.
            sqlalchemy.exc.TimeoutError: all connections are in use.
        """
        connection = self._engine.raw_connection()
        if writes and not self._durable:
            try:
                connection.cursor().execute("SET LOCAL synchronous_commit = off")
            except BaseException as error:
                self.abandon(connection, error)
                raise
        return connection

    def commit(self, connection: Any, *, writes: bool) -> None:
        """Commit the transaction.

        Raises:
            psycopg.Error: the server is away, or refuses the commit.
            DatabaseUnavailable: a replica did not confirm the commit.
        """
        # After reading too: at a ROLLBACK psycopg forgets the statements that it has prepared.
        connection.commit()
        if writes:
            require_replicated(connection.info)
        connection.close()

    def abandon(self, connection: Any, error: BaseException) -> None:
        """Roll the transaction back."""
        dialect = self._engine.dialect
        if isinstance(error, dialect.loaded_dbapi.Error) and is_disconnect(
            error, dialect, connection.driver_connection
        ):
            connection.invalidate()
        connection.close()

    def close(self) -> None:
        """Do nothing: the pool closes its connections."""


def lock(connection: Connection) -> None:
    """Wait for other transactions of Anchor that call this function."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def connection_string(location: DatabaseLocation) -> str:
    """How PostgreSQL's own programs connect to the server, without secrets."""
    # It is an optional package.
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415

    _, options = location.url.get_dialect()().create_connect_args(without_secrets(location.url))
    return make_conninfo("", **options)


def gave_up_replica(diagnostic: Any) -> bool:
    """True if a notice says that the wait for a replica was cancelled.

    The server then reports success all the same.  It translates the text of the notice, but not
    the name of its function.
    """
    return bool(diagnostic.source_function == "SyncRepWaitForLSN")


def lift_limits(connection: Connection) -> None:
    """Let the statements of this transaction take any time, as those of a migration do."""
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    driver: Any = connection.connection.driver_connection
    driver.lift_limit()


def require_replicated(info: MutableMapping[Any, Any]) -> None:
    """Require that the commit just made did not give up the wait for a replica.

    Args:
        info: what SQLAlchemy's pool keeps beside the connection.

    Raises:
        DatabaseUnavailable: it did; the row may get lost.
    """
    if info.pop(_CANCELLED, False):
        raise DatabaseUnavailable("the database's replica did not confirm the commit")
