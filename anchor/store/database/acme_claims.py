"""Giving an order of an ACME client its certificate, exactly once.

The order is claimed in the transaction that stores the certificate, and completed when the
certificate is recorded too.
"""

from __future__ import annotations

import datetime

from sqlalchemy import bindparam, select, update

from anchor.auth.results import AcmeOrder
from anchor.store.acme_records import Order, OrderStatus
from anchor.store.database.acme_order_rows import order_of
from anchor.store.database.acme_tables import ACME_ACCOUNTS, ACME_ORDERS
from anchor.store.database.certificate_rows import seconds
from anchor.store.database.engine import Database
from anchor.store.database.statements import Statement, Transaction

MAX_PROCESSING = datetime.timedelta(minutes=2)
"""For how long an order can be processing; after that the process was killed."""
INVALID_KEPT = datetime.timedelta(days=1)
"""How long an order is kept after it has become invalid."""

_ORDERS = ACME_ORDERS.c
_ACCOUNT_IS_VALID = (
    select(ACME_ACCOUNTS.c.id)
    .where(ACME_ACCOUNTS.c.id == bindparam("account"), ACME_ACCOUNTS.c.status == "valid")
    .exists()
)
_CLAIM = Statement(
    update(ACME_ORDERS)
    .where(
        _ORDERS.id == bindparam("order"),
        _ORDERS.status == OrderStatus.READY.value,
        _ORDERS.expires > bindparam("now"),
        _ACCOUNT_IS_VALID,
    )
    .values(
        status=OrderStatus.PROCESSING.value,
        finalized=bindparam("now"),
        certificate=bindparam("fingerprint"),
    )
    .returning(_ORDERS.id)
)
_IS_PROCESSING = (
    _ORDERS.id == bindparam("order"),
    _ORDERS.status == OrderStatus.PROCESSING.value,
    # Clients may have seen it as invalid after that.
    _ORDERS.finalized > bindparam("interrupted"),
)
_COMPLETE = Statement(
    update(ACME_ORDERS)
    .where(*_IS_PROCESSING)
    .values(status=OrderStatus.VALID.value, delete_after=bindparam("until"))
    .returning(*_ORDERS)
)
_GIVE_BACK = (
    update(ACME_ORDERS)
    .where(*_IS_PROCESSING)
    .values(status=OrderStatus.READY.value, finalized=None, certificate=None)
)


def claim(
    transaction: Transaction, order: AcmeOrder, fingerprint: str, now: datetime.datetime
) -> bool:
    """Give an order its certificate in the transaction that stores the certificate.

    Returns:
        False if the order is not ready: another request was faster, or the order or its account
        has ended.
    """
    values = {
        "order": order.order_id,
        "account": order.account_id,
        "fingerprint": fingerprint,
        "now": seconds(now),
    }
    return bool(transaction.rows(_CLAIM, values))


def give_back(database: Database, order: AcmeOrder, now: datetime.datetime) -> None:
    """Undo :func:`claim`, because the certificate is not answered.

    An order that is processing for longer than :data:`MAX_PROCESSING` stays so: it is invalid.

    Raises:
        DatabaseUnavailable: the database is away, locked or full.
    """
    values = {"order": order.order_id, "interrupted": seconds(now - MAX_PROCESSING)}
    with database.write() as connection:
        connection.execute(_GIVE_BACK, values)


def complete(
    database: Database, order_id: str, now: datetime.datetime, until: datetime.datetime
) -> Order | None:
    """Make an order valid, because its certificate is stored and recorded; return it.

    Args:
        database: the database.
        order_id: the order.
        now: the time, in UTC.
        until: when it can be deleted, in UTC.

    Returns:
        None if that took longer than :data:`MAX_PROCESSING`.

    Raises:
        DatabaseUnavailable: the database is away, locked or full.
    """
    values = {
        "order": order_id,
        "until": seconds(until),
        "interrupted": seconds(now - MAX_PROCESSING),
    }
    # A crash that undoes this leaves the order processing, and so invalid.
    with database.transaction(durable=False) as transaction:
        rows = transaction.rows(_COMPLETE, values)
    return order_of(rows[0]) if rows else None
