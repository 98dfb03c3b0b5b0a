"""Random keys that all nodes share through the database."""

from __future__ import annotations

import secrets
import threading

from sqlalchemy import bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from anchor.store.database.engine import Database
from anchor.store.database.statements import Statement
from anchor.store.database.tables import SHARED_KEYS

_BYTES = 32

_FIND = Statement(select(SHARED_KEYS.c.value).where(SHARED_KEYS.c.name == bindparam("key_name")))
_ADD = {
    dialect.dialect.name: Statement(
        dialect.insert(SHARED_KEYS)
        .values(name=bindparam("name"), value=bindparam("value"))
        .on_conflict_do_nothing()
    )
    for dialect in (postgresql, sqlite)
}


class SharedKey:
    """A key of 256 random bits, made by the node that needs it first.

    Args:
        database: the database.
        name: the name of the key.
    """

    def __init__(self, database: Database, name: str):
        self._database = database
        self._name = name
        self._value: bytes | None = None
        self._lock = threading.Lock()

    def value(self) -> bytes:
        """The key, which a process reads once.

        Raises:
            DatabaseUnavailable: the database is away, locked or full.
        """
        if self._value is None:
            with self._lock:
                if self._value is None:
                    self._value = self._read() or self._make()
        return self._value

    def _read(self) -> bytes | None:
        rows = self._database.rows(_FIND, {"key_name": self._name})
        return bytes(rows[0][0]) if rows else None

    def _make(self) -> bytes:
        with self._database.transaction() as transaction:
            values = {"name": self._name, "value": secrets.token_bytes(_BYTES)}
            transaction.execute(_ADD[transaction.dialect], values)
            # Another node may have been faster.
            [(value,)] = transaction.rows(_FIND, {"key_name": self._name})
        return bytes(value)
