"""Errors of the database, as Anchor's errors."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Dialect, exc

from anchor.errors import AnchorError, DatabaseUnavailable, StorageError

# PostgreSQL's read_only_sql_transaction: the server has become a replica.
_READ_ONLY = "25006"
_MISSING_TABLE = "42P01"
# psycopg's text has it when the host is not found.
_ERROR_NUMBER = re.compile(r"\[Errno -?\d+\] ")


@contextmanager
def database_errors(name: str) -> Iterator[None]:
    """Replace the errors of SQLAlchemy and of drivers, whose texts may contain values.

    Args:
        name: the database, for the messages.

    Raises:
        DatabaseUnavailable: the database is away, locked or full; the request may be sent again.
        StorageError: the database refused a statement.
    """
    try:
        yield
    except Exception as error:
        replacement = replacement_of(error, name)
        if replacement is None:
            raise
        raise replacement from error


def replacement_of(error: Exception, name: str) -> AnchorError | None:
    """The error of Anchor for one of SQLAlchemy or of a driver; None for any other error."""
    if isinstance(error, exc.TimeoutError):
        return DatabaseUnavailable(f"{name}: all connections are in use")
    if isinstance(error, UnicodeEncodeError):
        return StorageError(f"{name}: a text is not valid Unicode")
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    if not _is_of_driver(cause):
        return None
    text = _ERROR_NUMBER.sub("", " ".join(str(cause).split()))
    return (DatabaseUnavailable if _may_pass(cause) else StorageError)(f"{name}: {text}")


def _is_of_driver(error: object) -> bool:
    return any(
        kind.__name__ == "Error" and kind.__module__ in ("sqlite3", "psycopg", "psycopg.errors")
        for kind in type(error).__mro__
    )


def _may_pass(error: Any) -> bool:
    """True if a driver's error is about the database's state, and not about the statement."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if is_missing_table(error) or "IntegrityError" in names:
        return False
    return bool(names & {"OperationalError", "InterfaceError"}) or must_reconnect(error)


def is_missing_table(error: Any) -> bool:
    """True if a driver's error means that a table does not exist."""
    if isinstance(error, sqlite3.OperationalError):
        return str(error).startswith("no such table")
    return getattr(error, "sqlstate", None) == _MISSING_TABLE


def must_reconnect(error: Any) -> bool:
    """True if another connection may succeed, although this one is intact."""
    return getattr(error, "sqlstate", None) == _READ_ONLY


def is_disconnect(error: Any, dialect: Dialect, connection: Any) -> bool:
    """True if the connection of a driver's error is of no use any more."""
    return must_reconnect(error) or dialect.is_disconnect(error, connection, None)
