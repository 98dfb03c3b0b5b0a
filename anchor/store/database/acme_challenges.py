"""The results of challenges, with what follows for their authorizations and orders."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import bindparam, select, update

from anchor.store.acme_records import Authorization, AuthorizationStatus, Challenge, OrderStatus
from anchor.store.database.acme_claims import INVALID_KEPT
from anchor.store.database.acme_order_rows import challenges_text
from anchor.store.database.acme_tables import ACME_AUTHORIZATIONS, ACME_ORDERS
from anchor.store.database.certificate_rows import seconds
from anchor.store.database.engine import Database
from anchor.store.database.statements import Statement, Transaction

_ORDERS = ACME_ORDERS.c
_AUTHORIZATIONS = ACME_AUTHORIZATIONS.c

# Results of two authorizations of an order wait for each other: otherwise neither would see that
# the other one is valid, and the order would never be ready.
_LOCK_ORDER = Statement(
    select(_ORDERS.id).where(_ORDERS.id == bindparam("order")).with_for_update()
)
_SETTLE = Statement(
    update(ACME_AUTHORIZATIONS)
    .where(
        _AUTHORIZATIONS.id == bindparam("authorization"),
        _AUTHORIZATIONS.status == AuthorizationStatus.PENDING.value,
        _AUTHORIZATIONS.expires > bindparam("now"),
    )
    .values(status=bindparam("result"), challenges=bindparam("texts"))
    .returning(_AUTHORIZATIONS.id)
)
_IS_PENDING = (
    _ORDERS.id == bindparam("order"),
    _ORDERS.status == OrderStatus.PENDING.value,
)
_MAKE_READY = Statement(
    update(ACME_ORDERS)
    .where(
        *_IS_PENDING,
        ~select(_AUTHORIZATIONS.id)
        .where(
            _AUTHORIZATIONS.order_id == bindparam("order"),
            _AUTHORIZATIONS.status != AuthorizationStatus.VALID.value,
        )
        .exists(),
    )
    .values(status=OrderStatus.READY.value)
)
_MAKE_INVALID = Statement(
    update(ACME_ORDERS)
    .where(*_IS_PENDING)
    .values(
        status=OrderStatus.INVALID.value,
        error=bindparam("problem"),
        delete_after=bindparam("until"),
    )
)


def lock_order(transaction: Transaction, order_id: str) -> None:
    """Let other changes of an order and of its authorizations wait for this transaction.

    Each transaction that changes both locks the order first, so that none waits for another one
    that waits for it.
    """
    transaction.rows(_LOCK_ORDER, {"order": order_id})


def settle(
    database: Database,
    authorization: Authorization,
    challenges: Iterable[Challenge],
    *,
    order_error: Mapping[str, Any] | None,
    now: datetime.datetime,
) -> bool:
    """Store the result of a challenge: its authorization and perhaps its order change with it.

    The first result of an authorization counts, and all of it is stored or nothing.

    Args:
        database: the database.
        authorization: the authorization.
        challenges: all its challenges, with the result in one of them.
        order_error: the problem document of the order, which makes it invalid; None if the
            challenge succeeded, which makes the order ready after all others.
        now: the time, in UTC.

    Returns:
        False if the authorization was not pending any more.

    Raises:
        DatabaseUnavailable: the database is away, locked or full.
    """
    valid = order_error is None
    result = AuthorizationStatus.VALID if valid else AuthorizationStatus.INVALID
    order = {"order": authorization.order_id}
    values = {
        "authorization": authorization.id,
        "result": result.value,
        "texts": challenges_text(challenges),
        "now": seconds(now),
    }
    with database.transaction() as transaction:
        lock_order(transaction, authorization.order_id)
        if not transaction.rows(_SETTLE, values):
            return False
        if valid:
            transaction.execute(_MAKE_READY, order)
        else:
            until = seconds(now + INVALID_KEPT)
            problem = json.dumps(order_error)
            transaction.execute(_MAKE_INVALID, {**order, "problem": problem, "until": until})
    return True
