"""Uses of credentials, taken in the transaction that stores the certificate."""

from __future__ import annotations

import datetime

from anchor.auth.results import AcmeOrder, SingleUse
from anchor.errors import NotAuthenticated, OrderNotReady, RequesterGone
from anchor.store.database import acme_claims, used_credentials
from anchor.store.database.engine import Database
from anchor.store.database.statements import Transaction
from anchor.store.database.tokens import Tokens, hold, take_use

_USED_BEFORE = "the credential is valid for one certificate only, and was used before"


def take_uses(
    transaction: Transaction,
    token_id: str | None,
    single_use: SingleUse | None,
    now: datetime.datetime,
    *,
    is_renewal: bool = False,
    order: AcmeOrder | None = None,
    fingerprint: str = "",
) -> None:
    """Take the use that a certificate costs.

    Args:
        transaction: it stores the certificate too, so that either both happen or neither.
        token_id: the token, if one was used.
        single_use: the credential, if it is valid for one certificate only.
        now: the time, in UTC.
        is_renewal: True for a renewal, which needs the token but takes no use of it.
        order: the order of an ACME account, which needs the token of the account in the same way.
        fingerprint: the SHA-256 of the certificate, in hexadecimal, for the order.

    Raises:
        NotAuthenticated: the credential is not valid for a certificate any more.
    """
    # All transactions lock in this order, so that no two wait for each other.
    if token_id is not None and (is_renewal or order is not None):
        if not hold(transaction, token_id):
            which = "first certificate" if order is None else "account"
            raise RequesterGone(f"the token of the {which} was revoked")
    elif token_id is not None and not take_use(transaction, token_id, now):
        raise NotAuthenticated("the token was used up, revoked or expired meanwhile")
    if single_use is not None and not used_credentials.take(transaction, single_use, now):
        raise NotAuthenticated(_USED_BEFORE)
    if order is not None and not acme_claims.claim(transaction, order, fingerprint, now):
        raise OrderNotReady("the order is not ready any more")


def require_unused(database: Database, single_use: SingleUse, now: datetime.datetime) -> None:
    """Reject a credential that was used before; :func:`take_uses` decides if several race.

    Raises:
        NotAuthenticated: it was used before.
        DatabaseUnavailable: the database is away.
    """
    if used_credentials.is_used(database, single_use, now):
        raise NotAuthenticated(_USED_BEFORE)


def give_back_uses(
    database: Database,
    token_id: str | None,
    single_use: SingleUse | None,
    now: datetime.datetime,
    order: AcmeOrder | None = None,
) -> None:
    """Undo :func:`take_uses`, because the certificate was not answered.

    Args:
        database: the database.
        token_id: the token, if a use of it was taken.
        single_use: the credential, if it is valid for one certificate only.
        now: the time, in UTC.
        order: the order of an ACME account.

    Raises:
        DatabaseUnavailable: the database is away, locked or full.
    """
    if token_id is not None:
        Tokens(database).give_back(token_id)
    if single_use is not None:
        used_credentials.give_back(database, single_use)
    if order is not None:
        acme_claims.give_back(database, order, now)
