"""The tokens, whose uses all processes and nodes count together."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from anchor.auth.token import Token
from anchor.store.acme_records import AccountStatus
from anchor.store.database.acme_tables import ACME_ACCOUNTS
from anchor.store.database.certificate_rows import moment, seconds
from anchor.store.database.engine import Database
from anchor.store.database.statements import Statement, Transaction
from anchor.store.database.tables import CERTIFICATES, TOKENS
from anchor.timestamps import utc_now
from anchor.X509.storable_text import storable

SINCE_SCHEMA = "0002"
"""The version of the schema that first had tokens."""

# Rows that are read at once.
_PAGE = 500

_COLUMNS = TOKENS.c
_NAMES = tuple(_COLUMNS.keys())
_VALID = AccountStatus.VALID.value
_FIND = Statement(select(TOKENS).where(_COLUMNS.id == bindparam("id")))
_IN_FORCE = and_(
    _COLUMNS.revoked.is_(None),
    or_(_COLUMNS.expires.is_(None), _COLUMNS.expires > bindparam("now")),
    _COLUMNS.used < _COLUMNS.uses,
)
_TAKE = Statement(
    update(TOKENS)
    .where(_COLUMNS.id == bindparam("token_id"), _IN_FORCE)
    .values(used=_COLUMNS.used + 1)
    .returning(_COLUMNS.id)
)
# It changes nothing but locks the row, so that a revocation comes either before it or after the
# certificate was stored.
_HOLD = Statement(
    update(TOKENS)
    .where(_COLUMNS.id == bindparam("token_id"), _COLUMNS.revoked.is_(None))
    .values(used=_COLUMNS.used)
    .returning(_COLUMNS.id)
)
_GIVE_BACK = (
    update(TOKENS)
    .where(_COLUMNS.id == bindparam("token_id"), _COLUMNS.used > 0)
    .values(used=_COLUMNS.used - 1)
)
# Not with the last use, which may be given back.
_FORGET_MAC_KEYS = (
    update(TOKENS)
    .where(_COLUMNS.mac_key.is_not(None), _COLUMNS.expires < bindparam("now"))
    .values(mac_key=None)
)


class Tokens:
    """The tokens in the database.

    Args:
        database: the database.
        clock: the time, in UTC, which has to be the same on all nodes.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime.datetime] = utc_now):
        self.database = database
        self._clock = clock

    def now(self) -> datetime.datetime:
        """The current time, in UTC."""
        return self._clock()

    def find(self, token_id: str) -> Token | None:
        """The token with an identifier; None if there is none.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        rows = self.database.rows(_FIND, {"id": token_id})
        return _token(rows[0]) if rows else None

    def select(self, *, usable_at: datetime.datetime | None = None) -> Iterator[Token]:
        """The tokens in the order of their creation, read in pages.

        Args:
            usable_at: only those that are valid for another certificate at this time, in UTC.
        """
        order = (_COLUMNS.created, _COLUMNS.id)
        query = select(TOKENS).order_by(*order).limit(_PAGE)
        values = {}
        if usable_at is not None:
            query = query.where(_IN_FORCE)
            values = {"now": seconds(usable_at)}
        page = query
        while True:
            with self.database.read() as connection:
                rows = connection.execute(page, values).all()
            yield from map(_token, rows)
            if len(rows) < _PAGE:
                return
            page = query.where(tuple_(*order) > (rows[-1].created, rows[-1].id))

    def add(self, token: Token) -> None:
        """Store a new token durably.

        Raises:
            DatabaseUnavailable: the database is away, locked or full.
            StorageError: there is a token with that identifier, or the database refuses it.
        """
        values = {
            "id": token.id,
            "authority": token.authority,
            "requester": storable(token.requester),
            "groups": json.dumps(token.groups),
            "names": None if token.names is None else json.dumps(token.names),
            "secret_hash": token.secret_hash,
            "uses": token.uses,
            "used": token.used,
            "created": seconds(token.created),
            # Rounded down: a token never lives longer than it says.
            "expires": None if token.expires is None else math.floor(token.expires.timestamp()),
            "revoked": None,
            "mac_key": token.mac_key,
        }
        with self.database.write() as connection:
            connection.execute(insert(TOKENS), values)

    def revoke(self, token_id: str) -> bool:
        """Revoke a token; return False if there is none, or if it was revoked already.

        No certificate takes a use after that, and none that was issued with the token is renewed.
        The ACME accounts that are bound to it end.

        Raises:
            DatabaseUnavailable: the database is away, locked or full.
        """
        query = (
            update(TOKENS)
            .where(_COLUMNS.id == token_id, _COLUMNS.revoked.is_(None))
            .values(revoked=seconds(self._clock()), mac_key=None)
        )
        accounts = (
            update(ACME_ACCOUNTS)
            .where(ACME_ACCOUNTS.c.token_id == token_id, ACME_ACCOUNTS.c.status == _VALID)
            .values(status=AccountStatus.REVOKED.value)
        )
        with self.database.write() as connection:
            # The token first: an account that is made meanwhile takes a use of it.
            is_new = bool(connection.execute(query).rowcount)
            connection.execute(accounts)
        return is_new

    def prune(self, before: datetime.datetime) -> int:
        """Delete the tokens that ended before a time; return their number.

        A token has ended if it has expired or was revoked, and the last certificate that was
        issued with it has expired, because renewals need the token. So do ACME accounts.  What
        stays of an expired token has no secret.
        """
        with self.database.write() as connection:
            deleted = connection.execute(delete(TOKENS).where(_ended_before(before))).rowcount
            connection.execute(_FORGET_MAC_KEYS, {"now": seconds(self._clock())})
        return deleted

    def count_ended(self, before: datetime.datetime) -> int:
        """How many tokens :meth:`prune` would delete."""
        query = select(func.count()).where(_ended_before(before))
        with self.database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def give_back(self, token_id: str) -> None:
        """Undo :func:`take_use`, because the certificate was not answered.

        Raises:
            DatabaseUnavailable: the database is away, locked or full.
        """
        with self.database.write() as connection:
            connection.execute(_GIVE_BACK, {"token_id": token_id})


def count_without_end(connection: Connection) -> int:
    """How many tokens are valid for another certificate and never expire."""
    query = select(func.count()).where(_IN_FORCE, _COLUMNS.expires.is_(None))
    return int(connection.execute(query, {"now": 0}).scalar_one())


def take_use(transaction: Transaction, token_id: str, now: datetime.datetime) -> bool:
    """Count a certificate of a token; return False if the token is not valid for another one.

    Other transactions that use the token wait until this one ends.
    """
    return bool(transaction.rows(_TAKE, {"token_id": token_id, "now": seconds(now)}))


def hold(transaction: Transaction, token_id: str) -> bool:
    """Keep a token from being revoked or deleted until the end of a transaction that renews.

    Returns:
        False if the token was revoked or deleted before.
    """
    return bool(transaction.rows(_HOLD, {"token_id": token_id}))


def _ended_before(time: datetime.datetime) -> ColumnElement[bool]:
    # Renewals have the token of the first certificate.
    later = (
        select(CERTIFICATES.c.id)
        .where(CERTIFICATES.c.token_id == _COLUMNS.id, CERTIFICATES.c.not_after >= seconds(time))
        .correlate(TOKENS)
        .exists()
    )
    accounts = (
        select(ACME_ACCOUNTS.c.id)
        .where(ACME_ACCOUNTS.c.token_id == _COLUMNS.id, ACME_ACCOUNTS.c.status == _VALID)
        .correlate(TOKENS)
        .exists()
    )
    ended = or_(_COLUMNS.expires < seconds(time), _COLUMNS.revoked < seconds(time))
    return and_(ended, ~later, ~accounts)


def _token(row: Sequence[Any]) -> Token:
    values = dict(zip(_NAMES, row, strict=True))
    return Token(
        **values
        | {
            "groups": tuple(json.loads(values["groups"])),
            "names": None if values["names"] is None else tuple(json.loads(values["names"])),
        }
        | {
            key: None if values[key] is None else moment(values[key])
            for key in ("created", "expires", "revoked")
        }
    )
