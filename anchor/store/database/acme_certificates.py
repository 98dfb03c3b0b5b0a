"""The certificates of the orders of ACME clients."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import bindparam, select

from anchor.store.acme_records import OrderStatus
from anchor.store.database.acme_tables import ACME_ORDERS
from anchor.store.database.engine import Database
from anchor.store.database.statements import Statement
from anchor.store.database.tables import CERTIFICATES

_ORDERS = ACME_ORDERS.c
_FIND = Statement(
    select(CERTIFICATES.c.der, CERTIFICATES.c.ca_key_id)
    .join(ACME_ORDERS, _ORDERS.certificate == CERTIFICATES.c.fingerprint)
    .where(
        _ORDERS.id == bindparam("order"),
        _ORDERS.account_id == bindparam("account"),
        _ORDERS.status == OrderStatus.VALID.value,
    )
)


class StoredCertificate(NamedTuple):
    """The certificate of an order.

    Attributes:
        der: the certificate in DER.
        ca_key_id: the identifier of its CA's key, in hexadecimal.
    """

    der: bytes
    ca_key_id: str


def find_certificate(
    database: Database, account_id: str, order_id: str
) -> StoredCertificate | None:
    """The certificate of an account's order; None unless the order is valid.

    Raises:
        DatabaseUnavailable: the database is away.
    """
    values = {"account": account_id, "order": order_id}
    rows = database.rows(_FIND, values)
    return StoredCertificate(bytes(rows[0][0]), rows[0][1]) if rows else None
