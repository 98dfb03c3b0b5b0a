"""Copying a database into an empty one, in one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Row,
    Table,
    func,
    insert,
    select,
    text,
)

from anchor.errors import AnchorError
from anchor.store.database import postgresql
from anchor.store.database.acme_tables import (
    ACME_ACCOUNTS,
    ACME_AUTHORIZATIONS,
    ACME_ORDERS,
    METADATA,
)
from anchor.store.database.engine import Database
from anchor.store.database.errors import database_errors
from anchor.store.database.inspection import inspect_database, require_current
from anchor.store.database.settings import DatabaseLocation
from anchor.store.database.tables import (
    BANS,
    CERTIFICATES,
    FAILURES,
    IMPORTS,
    SHARED_KEYS,
    TOKENS,
    USED_CREDENTIALS,
)

# Rows that are read and written at once.
_BATCH = 500

# Tables with a primary key; the others contain rows of these.
_KEYED = (
    CERTIFICATES,
    BANS,
    FAILURES,
    IMPORTS,
    TOKENS,
    USED_CREDENTIALS,
    SHARED_KEYS,
    ACME_ACCOUNTS,
    ACME_ORDERS,
    ACME_AUTHORIZATIONS,
)

Progress = Callable[[str, int], None]


class CopyRefused(AnchorError):
    """Nothing was copied; the message says why."""


def copy_database(
    source: DatabaseLocation,
    target: Database,
    progress: Progress = lambda _table, _rows: None,
) -> Mapping[str, int]:
    """Copy all rows, verify them, and return the number of rows of each table.

    Either all rows are copied or none.

    Args:
        source: the database to read.
        target: an empty database, which gets its tables if it has none.
        progress: called with the name of a table and the number of its rows so far.

    Raises:
        CopyRefused: the target has rows, or the source changed meanwhile.
        ConfigurationError: a file cannot be used.
        DatabaseUnavailable: a database is away, locked or full.
        StorageError: a database has another schema, or refuses a row.
    """
    with inspect_database(source) as reading:
        require_current(source, reading)
        before = _mark(reading)
        target.prepare()
        with target.write() as writing:
            with database_errors(str(target)):
                _lock(writing)
            require_current(target.location, writing)
            _require_empty(target, writing)
            copied = _Digest()
            for table, rows in _rows_in_order(reading, str(source)):
                writing.execute(insert(table), [row._asdict() for row in rows])
                copied.add(table, rows)
                progress(table.name, copied.rows[table.name])
            _continue_identifiers(writing)
            written = _Digest()
            for table, rows in _rows_in_order(writing, str(target)):
                written.add(table, rows)
            if written != copied:
                raise CopyRefused(
                    f"{target} returned other rows than {source}, so nothing was copied"
                )
            _require_unchanged(source, before)
    return copied.rows


class _Digest:
    """The number of rows of each table, and the SHA-256 over all values."""

    def __init__(self) -> None:
        self.rows = {table.name: 0 for table in METADATA.sorted_tables}
        self._hash = hashlib.sha256()

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Digest)
            and self.rows == other.rows
            and self._hash.digest() == other._hash.digest()
        )

    __hash__ = None  # type: ignore[assignment]  # it changes

    def add(self, table: Table, rows: Sequence[Row[Any]]) -> None:
        self.rows[table.name] += len(rows)
        for row in rows:
            self._hash.update(f"{table.name} {tuple(row)!a}\n".encode("ascii"))


def _rows_in_order(connection: Connection, name: str) -> Iterator[tuple[Table, Sequence[Row[Any]]]]:
    """All rows in batches, in an order that does not depend on the database."""
    with database_errors(name):
        for table in _KEYED:
            [key] = table.primary_key.columns
            query = select(table).order_by(key).limit(_BATCH)
            rows = connection.execute(query).all()
            while rows:
                yield table, rows
                first, last = (getattr(row, key.name) for row in (rows[0], rows[-1]))
                for inner, reference in _references(key):
                    found = connection.execute(
                        select(inner).where(reference.between(first, last))
                    ).all()
                    if found:
                        yield inner, sorted(found, key=tuple)
                rows = connection.execute(query.where(key > last)).all()


def _references(key: Column[Any]) -> Iterator[tuple[Table, Column[Any]]]:
    for table in METADATA.sorted_tables:
        for column in table.columns:
            if column.references(key):
                yield table, column


def _lock(connection: Connection) -> None:
    """Lock all tables of a server; a SQLite file is locked already."""
    if connection.dialect.name == "postgresql":
        postgresql.lift_limits(connection)
        names = ", ".join(table.name for table in METADATA.sorted_tables)
        connection.execute(text(f"LOCK TABLE {names} IN EXCLUSIVE MODE"))


def _require_empty(target: Database, connection: Connection) -> None:
    for table in METADATA.sorted_tables:
        if connection.execute(select(table).limit(1)).first() is not None:
            raise CopyRefused(
                f"{target} has rows in the table {table.name}: the target of a copy has to be empty"
            )


def _continue_identifiers(connection: Connection) -> None:
    """Let the server number new rows after the copied ones; SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in (CERTIFICATES, BANS):
        last = connection.execute(select(func.max(table.c.id))).scalar()
        if last is not None:
            query = text("SELECT setval(pg_get_serial_sequence(:name, 'id'), :last)")
            connection.execute(query, {"name": table.name, "last": last})


def _mark(connection: Connection) -> tuple[int, object]:
    """The number of certificates, and a value that changes with the rows that must not be lost."""
    identifier = CERTIFICATES.c.id
    count, last = connection.execute(select(func.count(), func.max(identifier))).one()
    newest = select(CERTIFICATES.c.fingerprint).where(identifier == last)
    return count, (
        last,
        connection.execute(newest).scalar(),
        [
            connection.execute(select(table).order_by(*table.primary_key)).all()
            for table in (BANS, IMPORTS, TOKENS)
        ],
        [
            connection.execute(select(func.count()).select_from(table)).scalar()
            for table in (ACME_ACCOUNTS, ACME_ORDERS, USED_CREDENTIALS)
        ],
    )


def _require_unchanged(source: DatabaseLocation, before: tuple[int, object]) -> None:
    with inspect_database(source) as connection:
        after = _mark(connection)
    if after == before:
        return
    what = "certificates, bans, tokens or ACME accounts changed"
    if after[0] > before[0]:
        what = f"{after[0] - before[0]} certificates were added"
    raise CopyRefused(
        f"{source} is in use: {what} while it was copied, so nothing was copied; stop the service "
        "on all nodes, then copy again"
    )
