"""Counts of failed authentications, shared by all processes and nodes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from itertools import count
from types import ModuleType

from sqlalchemy import ColumnElement, Float, Integer, bindparam, case, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from anchor.auth.failure_counts import FailureCount
from anchor.store.database.engine import Database
from anchor.store.database.statements import Lookup, Statement
from anchor.store.database.tables import FAILURES

MAX_COUNTS = 100_000
"""How many counts are kept; more need that many failures within a window."""

# The counts are limited after so many failures in a process.
_FAILURES_PER_LIMIT = 500

# How many seconds the clock of another node may be ahead.  Failures that count for longer were
# counted with a wrong clock; they would lock users out until that time.
_AHEAD = 600.0

_COLUMNS = FAILURES.c
_READ = Lookup(select(_COLUMNS.key, _COLUMNS.total, _COLUMNS.expires), _COLUMNS.key)


def _addition(dialect: ModuleType) -> Statement:
    """Count one more failure, or the first one of a new window."""
    now, end = bindparam("now", type_=Float), bindparam("end", type_=Float)
    is_over = or_(_COLUMNS.expires <= now, _COLUMNS.expires > bindparam("latest", type_=Float))
    return Statement(
        dialect.insert(FAILURES)
        .values(key=bindparam("new_key"), total=1, expires=end)
        .on_conflict_do_update(
            index_elements=[_COLUMNS.key],
            set_={
                "total": case((is_over, 1), else_=_COLUMNS.total + 1),
                "expires": case((is_over, end), else_=_COLUMNS.expires),
            },
        )
        .returning(_COLUMNS.total, _COLUMNS.expires)
    )


_ADD = {"postgresql": _addition(postgresql), "sqlite": _addition(sqlite)}


def _deletion(condition: ColumnElement[bool]) -> Statement:
    """Delete counts, except those that another transaction uses: it could wait for this one."""
    found = select(_COLUMNS.key).where(condition).with_for_update(skip_locked=True)
    return Statement(delete(FAILURES).where(_COLUMNS.key.in_(found)))


_DELETE_EXPIRED = _deletion(_COLUMNS.expires <= bindparam("now"))
# The counts that expire first, if there are too many.
_DELETE_EXCESS = _deletion(
    _COLUMNS.expires
    <= select(_COLUMNS.expires)
    .order_by(_COLUMNS.expires.desc())
    .offset(bindparam("size", type_=Integer))
    .limit(1)
    .scalar_subquery()
)


class Failures:
    """The counts in the database.

    Args:
        database: the database.
        clock: the time in seconds, which has to be the same on all nodes.
        size: how many counts are kept.
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float] = time.time,
        size: int = MAX_COUNTS,
    ):
        self.database = database
        self._clock = clock
        self._size = size
        self._per_limit = min(_FAILURES_PER_LIMIT, size)
        self._additions = count(1)

    def read(self, windows: Mapping[str, float]) -> Mapping[str, FailureCount]:
        """The counts of those keys that have one.

        Args:
            windows: for how many seconds the failures under each key count, from the first one on.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        now = self._clock()
        with self.database.transaction(writes=False) as transaction:
            return {
                key: FailureCount(total, expires - now)
                for key, total, expires in _READ.rows(transaction, list(windows))
                if now < expires <= now + windows[key] + _AHEAD
            }

    def add(self, windows: Mapping[str, float]) -> Mapping[str, FailureCount]:
        """Count a failure under each key, and return the new counts.

        Args:
            windows: for how many seconds the failures under each key count, from the first one on.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        now = self._clock()
        counts = {}
        with self.database.transaction() as transaction:
            add = _ADD[transaction.dialect]
            # In one order, so that two transactions do not wait for each other.
            for key, window in sorted(windows.items()):
                values = {"new_key": key, "now": now, "end": now + window}
                values["latest"] = now + window + _AHEAD
                [(total, expires)] = transaction.rows(add, values)
                counts[key] = FailureCount(total, expires - now)
            # Last: no transaction waits for another one after it has deleted something.
            transaction.execute(_DELETE_EXPIRED, {"now": now})
            if next(self._additions) % self._per_limit == 0:
                transaction.execute(_DELETE_EXCESS, {"size": self._size})
        return counts

    def remove(self, keys: Collection[str]) -> None:
        """Forget the counts of keys.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        with self.database.write() as connection:
            connection.execute(delete(FAILURES).where(_COLUMNS.key.in_(sorted(keys))))
