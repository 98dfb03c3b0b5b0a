"""Statements that each request executes, compiled once and executed by the driver.

SQLAlchemy's own execution of a statement takes longer than SQLite's: doc/adr/0059 has the figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Dialect, Select, bindparam
from sqlalchemy.sql.expression import ClauseElement

Values = Mapping[str, object]


class Statement:
    """A statement with named values.

    Args:
        clause: the statement; values have to be of types that drivers accept.
        columns: the columns to insert; empty for another statement.
    """

    def __init__(self, clause: ClauseElement, columns: Sequence[str] = ()):
        self._clause = clause
        self._columns = list(columns) or None
        self._compiled: dict[str, _Compiled] = {}

    def compile(self, dialect: Dialect) -> _Compiled:
        """The statement for a database."""
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = _Compiled(self._clause, self._columns, dialect)
            self._compiled[dialect.name] = compiled
        return compiled


class _Compiled:
    """The text of a statement, which has names for its values."""

    def __init__(self, clause: ClauseElement, columns: list[str] | None, dialect: Dialect):
        compiled: Any = clause.compile(dialect=dialect, column_keys=columns)
        self.text = str(compiled)
        self._constants = {
            name: value for name, value in compiled.params.items() if value is not None
        }

    def arguments(self, values: Values) -> Values:
        """The values by name, with those that the statement itself contains."""
        return {**self._constants, **values} if self._constants else values


class Transaction:
    """A transaction of the driver.

    Args:
        cursor: the driver's cursor.
        dialect: the kind of database.
    """

    def __init__(self, cursor: Any, dialect: Dialect):
        self.dialect = dialect.name
        self._cursor = cursor
        self._dialect = dialect

    def execute(self, statement: Statement, values: Values) -> None:
        """Execute a statement that returns no rows."""
        compiled = statement.compile(self._dialect)
        self._cursor.execute(compiled.text, compiled.arguments(values))

    def execute_all(self, statement: Statement, values: Iterable[Values]) -> None:
        """Execute a statement for each set of values."""
        compiled = statement.compile(self._dialect)
        self._cursor.executemany(compiled.text, [compiled.arguments(each) for each in values])

    def rows(self, statement: Statement, values: Values) -> list[tuple[Any, ...]]:
        """The rows that a statement returns, as tuples in the order of its columns."""
        self.execute(statement, values)
        rows: list[tuple[Any, ...]] = self._cursor.fetchall()
        return rows


# SQLite allows 32,766 values in a statement.
_SIZES = (4, 8, 16, 64, 1000)
_NAMES = [f"key{number}" for number in range(_SIZES[-1])]


class Lookup:
    """A query for the rows with any of some keys.

    Args:
        query: the query, without the condition on the keys.
        column: the column of the keys.
    """

    def __init__(self, query: Select[Any], column: ColumnElement[str]):
        self._statements = {
            size: Statement(query.where(column.in_(list(map(bindparam, _NAMES[:size])))))
            for size in _SIZES
        }

    def rows(
        self, transaction: Transaction, keys: Sequence[str], values: Values = MappingProxyType({})
    ) -> list[tuple[Any, ...]]:
        """The rows; one that has several of the keys may come several times."""
        rows = []
        for start in range(0, len(keys), _SIZES[-1]):
            some = keys[start : start + _SIZES[-1]]
            size = next(size for size in _SIZES if size >= len(some))
            # A key that is repeated finds nothing more.
            given = dict.fromkeys(_NAMES[:size], some[0])
            given.update(zip(_NAMES, some, strict=False))
            rows += transaction.rows(self._statements[size], {**values, **given})
        return rows
