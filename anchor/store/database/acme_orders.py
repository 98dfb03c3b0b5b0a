"""The orders and authorizations of ACME clients, which all processes and nodes share."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import and_, bindparam, delete, insert, or_, select, text, tuple_, update

from anchor.store.acme_records import (
    Authorization,
    AuthorizationStatus,
    Identifier,
    Order,
    OrderStatus,
)
from anchor.store.database import acme_challenges, acme_claims
from anchor.store.database.acme_claims import INVALID_KEPT, MAX_PROCESSING
from anchor.store.database.acme_order_rows import (
    authorization_of,
    authorization_values,
    order_of,
    order_values,
)
from anchor.store.database.acme_tables import (
    ACME_ACCOUNTS,
    ACME_AUTHORIZATIONS,
    ACME_ORDERS,
    IS_UNFINISHED,
)
from anchor.store.database.certificate_rows import seconds
from anchor.store.database.engine import Database
from anchor.store.database.statements import Statement
from anchor.timestamps import utc_now

_ORDERS = ACME_ORDERS.c
_AUTHORIZATIONS = ACME_AUTHORIZATIONS.c
_INSERT_ORDER = Statement(insert(ACME_ORDERS), [column.name for column in ACME_ORDERS.columns])
_INSERT_AUTHORIZATION = Statement(
    insert(ACME_AUTHORIZATIONS), [column.name for column in ACME_AUTHORIZATIONS.columns]
)
_FIND_ORDER = Statement(select(ACME_ORDERS).where(_ORDERS.id == bindparam("order")))
_FIND_AUTHORIZATION = Statement(
    select(ACME_AUTHORIZATIONS).where(_AUTHORIZATIONS.id == bindparam("authorization"))
)
_FIND_VALID_AUTHORIZATION = Statement(
    select(_AUTHORIZATIONS.id)
    .where(
        _AUTHORIZATIONS.account_id == bindparam("account"),
        _AUTHORIZATIONS.identifier_type == bindparam("type"),
        _AUTHORIZATIONS.identifier == bindparam("base"),
        _AUTHORIZATIONS.wildcard == bindparam("wildcard"),
        _AUTHORIZATIONS.status == AuthorizationStatus.VALID.value,
        _AUTHORIZATIONS.expires > bindparam("now"),
    )
    .limit(1)
)
_FIND_AUTHORIZATIONS = Statement(
    select(ACME_AUTHORIZATIONS)
    .where(_AUTHORIZATIONS.order_id == bindparam("order"))
    .order_by(_AUTHORIZATIONS.id)
)
_DEACTIVATE = Statement(
    update(ACME_AUTHORIZATIONS)
    .where(
        _AUTHORIZATIONS.id == bindparam("authorization"),
        text("status IN ('pending', 'valid')"),
    )
    .values(status=AuthorizationStatus.DEACTIVATED.value)
    .returning(_AUTHORIZATIONS.id)
)
_INVALIDATE = Statement(
    update(ACME_ORDERS)
    .where(_ORDERS.id == bindparam("order"), IS_UNFINISHED)
    .values(
        status=OrderStatus.INVALID.value,
        error=bindparam("problem"),
        delete_after=bindparam("until"),
    )
)
# An order that has ended is still stored as pending, ready or processing.
_IS_NOT_INVALID = or_(
    _ORDERS.status == OrderStatus.VALID.value,
    and_(IS_UNFINISHED, _ORDERS.expires > bindparam("now")),
    and_(
        _ORDERS.status == OrderStatus.PROCESSING.value,
        _ORDERS.finalized > bindparam("interrupted"),
    ),
)
_FIND_REPLACING = Statement(
    select(_ORDERS.id).where(_ORDERS.replaces == bindparam("replaces"), _IS_NOT_INVALID).limit(1)
)
# It changes nothing but locks the row.
_HOLD_ACCOUNT = Statement(
    update(ACME_ACCOUNTS)
    .where(ACME_ACCOUNTS.c.id == bindparam("account"))
    .values(refused=ACME_ACCOUNTS.c.refused)
)
# Rows that another transaction uses are left: it could wait for this one.
_FIND_ENDED = Statement(
    select(_ORDERS.id)
    .where(_ORDERS.delete_after < bindparam("now"))
    .order_by(_ORDERS.delete_after)
    .limit(20)
    .with_for_update(skip_locked=True)
)
_DELETE_ORDER = Statement(delete(ACME_ORDERS).where(_ORDERS.id == bindparam("order")))
_DELETE_AUTHORIZATIONS = Statement(
    delete(ACME_AUTHORIZATIONS).where(_AUTHORIZATIONS.order_id == bindparam("order"))
)


class AcmeOrders:
    """The orders and authorizations in the database.

    Args:
        database: the database.
        clock: the time, in UTC.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime.datetime] = utc_now):
        self.database = database
        self._clock = clock

    def add(
        self,
        order: Order,
        authorizations: Iterable[Authorization],
        *,
        delete_after: datetime.datetime,
    ) -> bool:
        """Store a new order with its authorizations; delete some that ended long ago.

        Args:
            order: the order.
            authorizations: one for each identifier.
            delete_after: when the order can be deleted if it is not finalized, in UTC.

        Returns:
            False if another order replaces the same certificate; the order is not stored then.

        Raises:
            DatabaseUnavailable: the database is away, locked or full.
        """
        with self.database.transaction() as transaction:
            if order.replaces is not None:
                # Other orders of the account that replace a certificate wait.
                transaction.execute(_HOLD_ACCOUNT, {"account": order.account_id})
                values = {"replaces": order.replaces, **self._times()}
                if transaction.rows(_FIND_REPLACING, values):
                    return False
            transaction.execute(_INSERT_ORDER, order_values(order, delete_after))
            transaction.execute_all(
                _INSERT_AUTHORIZATION, map(authorization_values, authorizations)
            )
            ended = transaction.rows(_FIND_ENDED, {"now": seconds(self._clock())})
            if ended:
                keys = [{"order": identifier} for (identifier,) in ended]
                transaction.execute_all(_DELETE_AUTHORIZATIONS, keys)
                transaction.execute_all(_DELETE_ORDER, keys)
        return True

    def find(self, order_id: str) -> Order | None:
        """The order with an identifier; None if there is none.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        rows = self.database.rows(_FIND_ORDER, {"order": order_id})
        return order_of(rows[0]) if rows else None

    def find_with_authorizations(self, order_id: str) -> tuple[Order, list[Authorization]] | None:
        """The order with an identifier, and its authorizations; None if there is none.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        key = {"order": order_id}
        with self.database.transaction(writes=False) as transaction:
            rows = transaction.rows(_FIND_ORDER, key)
            authorizations = transaction.rows(_FIND_AUTHORIZATIONS, key) if rows else []
        return (order_of(rows[0]), list(map(authorization_of, authorizations))) if rows else None

    def authorizations(self, order_id: str) -> list[Authorization]:
        """The authorizations of an order, always in the same sequence."""
        rows = self.database.rows(_FIND_AUTHORIZATIONS, {"order": order_id})
        return list(map(authorization_of, rows))

    def find_authorization(self, authorization_id: str) -> Authorization | None:
        """The authorization with an identifier; None if there is none.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        rows = self.database.rows(_FIND_AUTHORIZATION, {"authorization": authorization_id})
        return authorization_of(rows[0]) if rows else None

    def has_authorizations(self, account_id: str, identifiers: Iterable[Identifier]) -> bool:
        """True if an account has a valid authorization for each of some names.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        values = {"account": account_id, "now": seconds(self._clock())}
        with self.database.transaction(writes=False) as transaction:
            return all(
                transaction.rows(
                    _FIND_VALID_AUTHORIZATION,
                    values
                    | {
                        "type": identifier.type,
                        "base": identifier.base,
                        "wildcard": int(identifier.is_wildcard),
                    },
                )
                for identifier in identifiers
            )

    def list_of(
        self, account_id: str, *, after: tuple[int, str] | None, limit: int
    ) -> Sequence[Order]:
        """The orders of an account that are not invalid, the oldest first.

        Args:
            account_id: the account.
            after: the seconds of the creation and the identifier of the last order before these.
            limit: the largest number of orders.
        """
        order = (_ORDERS.created, _ORDERS.id)
        query = select(ACME_ORDERS).where(_ORDERS.account_id == account_id, _IS_NOT_INVALID)
        query = query.order_by(*order).limit(limit)
        if after is not None:
            query = query.where(tuple_(*order) > after)
        with self.database.read() as connection:
            return list(map(order_of, connection.execute(query, self._times()).all()))

    def is_replaced(self, certificate_id: str) -> bool:
        """True if an order that is not invalid replaces a certificate.

        Args:
            certificate_id: the identifier of RFC 9773 section 4.1.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        values = {"replaces": certificate_id, **self._times()}
        return bool(self.database.rows(_FIND_REPLACING, values))

    def _times(self) -> dict[str, int]:
        now = self._clock()
        return {"now": seconds(now), "interrupted": seconds(now - MAX_PROCESSING)}

    def deactivate(self, authorization: Authorization, error: Mapping[str, Any]) -> bool:
        """Deactivate an authorization, and make its order invalid unless it is final.

        Args:
            authorization: the authorization.
            error: the problem document for the order.

        Returns:
            False if the authorization has ended already.

        Raises:
            DatabaseUnavailable: the database is away, locked or full.
        """
        with self.database.transaction() as transaction:
            acme_challenges.lock_order(transaction, authorization.order_id)
            if not transaction.rows(_DEACTIVATE, {"authorization": authorization.id}):
                return False
            values = {
                "order": authorization.order_id,
                "problem": json.dumps(dict(error)),
                "until": seconds(self._clock() + INVALID_KEPT),
            }
            transaction.execute(_INVALIDATE, values)
        return True

    def complete(self, order_id: str, until: datetime.datetime) -> Order | None:
        """Make an order valid, because its certificate is stored and recorded; return it.

        Args:
            order_id: the order.
            until: when it can be deleted, in UTC.

        Returns:
            None if that took longer than :data:`MAX_PROCESSING`.

        Raises:
            DatabaseUnavailable: the database is away, locked or full.
        """
        return acme_claims.complete(self.database, order_id, self._clock(), until)
