"""The state of a database: its version, the numbers of rows, its size and its defects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, text

from anchor.errors import ConfigurationError, StorageError
from anchor.store.database import postgresql, sqlite
from anchor.store.database.acme_tables import METADATA
from anchor.store.database.errors import database_errors
from anchor.store.database.schema import HEAD, is_usable, schema_version
from anchor.store.database.settings import DatabaseLocation


@dataclass(frozen=True, kw_only=True)
class DatabaseInfo:
    """What a database contains.

    Attributes:
        server: the program that manages the database, with its version.
        version: the version of the schema; None if there are no tables yet.
        rows: the number of rows of each table.
        size: the bytes of the file and of its log, or of the server's tables with their indexes.
    """

    server: str
    version: str | None
    rows: Mapping[str, int]
    size: int


@contextmanager
def inspect_database(location: DatabaseLocation) -> Iterator[Connection]:
    """A connection that creates and migrates nothing, without a limit for its statements.

    All statements in the block see the same state of the database.

    Raises:
        ConfigurationError: there is no file.
        DatabaseUnavailable: the database is away.
        StorageError: the database refuses a statement.
    """
    if location.path is None:
        engine = postgresql.make_engine(location)
    else:
        sqlite.require_usable(location.path)
        if not location.path.exists():
            raise ConfigurationError.about(
                "url",
                f"{location.path} does not exist yet: the service creates it when it starts, and "
                "so does `anchor database upgrade`",
            )
        engine = sqlite.make_engine(location)
    try:
        with database_errors(str(location)), engine.connect() as connection:
            begin_snapshot(connection)
            yield connection
    finally:
        engine.dispose()


def begin_snapshot(connection: Connection) -> None:
    """Begin a transaction that only reads, sees one state, and may take long."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        postgresql.lift_limits(connection)
    else:
        connection.exec_driver_sql("BEGIN")


def describe_database(connection: Connection) -> DatabaseInfo:
    """The version, the numbers of rows and the size of a database."""
    present = _tables(connection)
    rows = {
        table.name: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
        for table in METADATA.sorted_tables
        if table.name in present
    }
    return DatabaseInfo(
        server=f"{_PRODUCTS[connection.dialect.name]} "
        f"{'.'.join(map(str, connection.dialect.server_version_info or ()))}",
        version=schema_of(connection),
        rows=rows,
        size=_size(connection, list(rows)),
    )


def schema_of(connection: Connection) -> str | None:
    """The version of the schema; None if there are no tables yet."""
    # PostgreSQL would end the transaction after the error of a missing table.
    return schema_version(connection) if "alembic_version" in _tables(connection) else None


_PRODUCTS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def _tables(connection: Connection) -> set[str]:
    return set(connection.dialect.get_table_names(connection))


def _size(connection: Connection, tables: Sequence[str]) -> int:
    if connection.dialect.name == "postgresql":
        query = text("SELECT pg_total_relation_size(CAST(:name AS regclass))")
        return sum(int(connection.execute(query, {"name": name}).scalar_one()) for name in tables)
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    return int(pages) * int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())


def schema_differences(connection: Connection) -> list[str]:
    """The differences from the tables of this program, for operators; empty if there are none."""
    # Imported here, because only `anchor database check` needs it.
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415
    from alembic.migration import MigrationContext  # noqa: PLC0415

    differences = compare_metadata(MigrationContext.configure(connection), METADATA)
    return [_describe_difference(difference) for difference in differences]


def _describe_difference(difference: Any) -> str:
    if isinstance(difference, list):
        # All differences of one column.
        return "; ".join(map(_describe_difference, difference))
    kind, *values = difference
    action, _, what = kind.partition("_")
    if action in {"add", "remove"}:
        item = values[-1]
        name = f"{values[1]}.{item.name}" if what == "column" else item.name
        if action == "add":
            return f"the {what} {name} is missing"
        article = "an" if what.startswith("i") else "a"
        return f"there is {article} {what} {name} that should not be there"
    _, table, column, _, before, after = values
    return f"the {what} of the column {table}.{column} is {before!r} instead of {after!r}"


def file_defects(connection: Connection) -> list[str]:
    """The defects of a SQLite file, for operators; nothing for a server."""
    if connection.dialect.name != "sqlite":
        return []
    defects = [str(line) for line in connection.exec_driver_sql("PRAGMA quick_check(10)").scalars()]
    if defects != ["ok"]:
        return defects
    return [
        f"row {row[1]} of {row[0]} refers to a row of {row[2]} that does not exist"
        for row in connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(10)
    ]


def require_current(location: DatabaseLocation, connection: Connection) -> None:
    """Require that a database has exactly the schema of this program.

    Raises:
        StorageError: it has no tables, or those of another version.
    """
    version = schema_of(connection)
    if version == HEAD:
        return
    what = "`anchor database upgrade` migrates it"
    if is_usable(version):
        what = "run this command with the newer version of Anchor that migrated it"
    raise StorageError(
        f"{location} has {f'version {version}' if version else 'no version'} of the schema "
        f"instead of {HEAD}: {what}"
    )
