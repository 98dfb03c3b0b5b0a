"""Queries about the orders of one account that limit how many more it can create."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from sqlalchemy import and_, bindparam, or_, select

from anchor.store.acme_records import OrderStatus
from anchor.store.database.acme_claims import MAX_PROCESSING
from anchor.store.database.acme_tables import ACME_ORDERS, IS_UNFINISHED
from anchor.store.database.certificate_rows import moment, seconds
from anchor.store.database.engine import Database
from anchor.store.database.statements import Statement

_ORDERS = ACME_ORDERS.c
_COUNTED = datetime.timedelta(hours=1)
_FIND_UNFINISHED = Statement(
    select(_ORDERS.expires, _ORDERS.created)
    .where(
        _ORDERS.account_id == bindparam("account"),
        _ORDERS.expires > bindparam("now"),
        IS_UNFINISHED,
    )
    .order_by(_ORDERS.expires)
    .limit(bindparam("most"))
)
_FIND_FAILED = Statement(
    select(_ORDERS.created)
    .where(
        _ORDERS.account_id == bindparam("account"),
        _ORDERS.created > bindparam("since"),
        _ORDERS.certificate.is_(None),
        or_(_ORDERS.status == OrderStatus.INVALID.value, _ORDERS.expires <= bindparam("now")),
    )
    .order_by(_ORDERS.created)
    .limit(bindparam("most"))
)
_FIND_NEWEST = Statement(
    select(_ORDERS.certificate, _ORDERS.finalized)
    .where(
        _ORDERS.account_id == bindparam("account"),
        _ORDERS.names_key == bindparam("names"),
        or_(
            _ORDERS.status == OrderStatus.VALID.value,
            # After that nobody can download it.
            and_(
                _ORDERS.status == OrderStatus.PROCESSING.value,
                _ORDERS.finalized > bindparam("interrupted"),
            ),
        ),
    )
    .order_by(_ORDERS.finalized.desc())
    .limit(bindparam("most"))
)


class OrderedCertificate(NamedTuple):
    """The certificate of an order.

    Attributes:
        fingerprint: the SHA-256 of the certificate, in hexadecimal.
        finalized: when it was stored, in UTC.
    """

    fingerprint: str
    finalized: datetime.datetime


def ends_of_uncertified(
    database: Database, account_id: str, now: datetime.datetime, limit: int
) -> list[datetime.datetime]:
    """When the orders of an account that gave no certificate count no more, the earliest first.

    Those that are pending or ready count until they expire, and all count for an hour: otherwise
    a client could fill the database with orders that it makes invalid.

    Args:
        database: the database.
        account_id: the account.
        now: the time, in UTC.
        limit: the largest number of orders of each kind.

    Raises:
        DatabaseUnavailable: the database is away.
    """
    values = {
        "account": account_id,
        "now": seconds(now),
        "since": seconds(now - _COUNTED),
        "most": limit,
    }
    with database.transaction(writes=False) as transaction:
        unfinished = transaction.rows(_FIND_UNFINISHED, values)
        failed = transaction.rows(_FIND_FAILED, values)
    ends = [max(moment(expires), moment(created) + _COUNTED) for expires, created in unfinished]
    return sorted([*ends, *(moment(created) + _COUNTED for (created,) in failed)])


def newest_certificates(
    database: Database, account_id: str, names: str, now: datetime.datetime, limit: int
) -> list[OrderedCertificate]:
    """The certificates that an account got for the same names, the newest first.

    One whose order is still processing counts, because the account may get it yet.

    Args:
        database: the database.
        account_id: the account.
        names: the :func:`names_key` of the names.
        now: the time, in UTC.
        limit: the largest number of certificates.

    Raises:
        DatabaseUnavailable: the database is away.
    """
    values = {
        "account": account_id,
        "names": names,
        "interrupted": seconds(now - MAX_PROCESSING),
        "most": limit,
    }
    rows = database.rows(_FIND_NEWEST, values)
    return [OrderedCertificate(fingerprint, moment(end)) for fingerprint, end in rows]
