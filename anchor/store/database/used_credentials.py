"""Credentials that are valid for one certificate only, remembered until they have expired."""

from __future__ import annotations

import datetime
import math
from types import ModuleType

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from anchor.auth.results import SingleUse
from anchor.store.database.certificate_rows import seconds
from anchor.store.database.engine import Database
from anchor.store.database.statements import Statement, Transaction
from anchor.store.database.tables import USED_CREDENTIALS

# A node whose clock is behind by less still rejects a used credential.
_SKEW_SECONDS = 600
# Expired rows that a transaction deletes.
_BATCH = 100
# One transaction of 16 does so: keys are hashes in hexadecimal.
_DELETING = "0"

_COLUMNS = USED_CREDENTIALS.c


def _insertion(dialect: ModuleType) -> Statement:
    """Insert a credential, or replace one that has expired."""
    end = bindparam("end", type_=_COLUMNS.expires.type)
    return Statement(
        dialect.insert(USED_CREDENTIALS)
        .values(key=bindparam("new_key"), expires=end)
        .on_conflict_do_update(
            index_elements=[_COLUMNS.key],
            set_={"expires": end},
            where=_COLUMNS.expires <= bindparam("now"),
        )
        .returning(_COLUMNS.key)
    )


_FIND = Statement(
    select(_COLUMNS.key).where(
        _COLUMNS.key == bindparam("used_key"), _COLUMNS.expires > bindparam("now")
    )
)
_TAKE = {"postgresql": _insertion(postgresql), "sqlite": _insertion(sqlite)}
# Rows that another transaction uses are left: it could wait for this one.
_DELETE_EXPIRED = Statement(
    delete(USED_CREDENTIALS).where(
        _COLUMNS.key.in_(
            select(_COLUMNS.key)
            .where(_COLUMNS.expires <= bindparam("now"))
            .limit(_BATCH)
            .with_for_update(skip_locked=True)
        )
    )
)


def take(transaction: Transaction, single_use: SingleUse, now: datetime.datetime) -> bool:
    """Remember that a credential is used; return False if it was used before.

    A transaction that takes the same credential waits until this one ends.
    """
    values = {
        "new_key": single_use.key,
        "end": math.ceil(single_use.expires.timestamp()) + _SKEW_SECONDS,
        "now": seconds(now),
    }
    if not transaction.rows(_TAKE[transaction.dialect], values):
        return False
    if single_use.key.endswith(_DELETING):
        transaction.execute(_DELETE_EXPIRED, {"now": seconds(now)})
    return True


def is_used(database: Database, single_use: SingleUse, now: datetime.datetime) -> bool:
    """True if a credential was used before.

    Raises:
        DatabaseUnavailable: the database is away.
    """
    return bool(database.rows(_FIND, {"used_key": single_use.key, "now": seconds(now)}))


def give_back(database: Database, single_use: SingleUse) -> None:
    """Undo :func:`take`, because nothing was answered.

    Raises:
        DatabaseUnavailable: the database is away, locked or full.
    """
    with database.write() as connection:
        connection.execute(delete(USED_CREDENTIALS).where(_COLUMNS.key == single_use.key))
