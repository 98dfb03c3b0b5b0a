"""The accounts of ACME clients, which all processes and nodes share."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from anchor.errors import NotAuthenticated, StorageError
from anchor.store.acme_records import Account, AccountStatus, OrderStatus
from anchor.store.database.acme_claims import INVALID_KEPT
from anchor.store.database.acme_tables import ACME_ACCOUNTS, ACME_ORDERS
from anchor.store.database.certificate_rows import moment, seconds
from anchor.store.database.engine import Database
from anchor.store.database.statements import Statement
from anchor.store.database.tokens import take_use
from anchor.X509.storable_text import storable

_COLUMNS = ACME_ACCOUNTS.c
_NAMES = tuple(_COLUMNS.keys())
# Rows that are read at once.
_PAGE = 500

_INSERT = {
    dialect.dialect.name: Statement(
        dialect.insert(ACME_ACCOUNTS).on_conflict_do_nothing().returning(_COLUMNS.id),
        _NAMES,
    )
    for dialect in (postgresql, sqlite)
}
_FIND = Statement(select(ACME_ACCOUNTS).where(_COLUMNS.id == bindparam("account")))
_FIND_KEY = Statement(
    select(ACME_ACCOUNTS).where(
        _COLUMNS.authority == bindparam("ra"),
        _COLUMNS.key_thumbprint == bindparam("thumbprint"),
    )
)
_FIND_BINDING = Statement(
    select(_COLUMNS.id)
    .where(_COLUMNS.token_id == bindparam("token"), _COLUMNS.binding == bindparam("jws"))
    .limit(1)
)
_IS_VALID = (_COLUMNS.id == bindparam("account"), _COLUMNS.status == AccountStatus.VALID.value)
_CHANGE_CONTACT = update(ACME_ACCOUNTS).where(*_IS_VALID).values(contact=bindparam("new_contact"))
_CHANGE_USER_AGENT = (
    update(ACME_ACCOUNTS)
    .where(_COLUMNS.id == bindparam("account"))
    .values(user_agent=bindparam("new_user_agent"))
)
_CHANGE_KEY = (
    update(ACME_ACCOUNTS)
    .where(*_IS_VALID, _COLUMNS.key_thumbprint == bindparam("old_thumbprint"))
    .values(key_thumbprint=bindparam("new_thumbprint"), jwk=bindparam("new_jwk"))
)
_DEACTIVATE = update(ACME_ACCOUNTS).where(*_IS_VALID).values(status=AccountStatus.DEACTIVATED.value)
_END_ORDERS = (
    update(ACME_ORDERS)
    .where(
        ACME_ORDERS.c.account_id == bindparam("account"),
        ACME_ORDERS.c.status.in_([OrderStatus.PENDING.value, OrderStatus.READY.value]),
    )
    .values(
        status=OrderStatus.INVALID.value,
        error=bindparam("new_error"),
        delete_after=bindparam("until"),
    )
)
_COUNT_REFUSED = Statement(
    update(ACME_ACCOUNTS)
    .where(_COLUMNS.id == bindparam("account"))
    .values(refused=_COLUMNS.refused + 1)
)


class _Exists(Exception):
    """There is an account with that key."""


class AcmeAccounts:
    """The accounts in the database."""

    def __init__(self, database: Database):
        self.database = database

    def add(self, account: Account) -> Account:
        """Store a new account durably, and take the use of its token that it costs.

        Both or neither is stored.

        Returns:
            the account with that key at the authority: another request may have been faster.

        Raises:
            NotAuthenticated: the token was used up, revoked or expired meanwhile.
            DatabaseUnavailable: the database is away, locked or full.
        """
        values = {
            "id": account.id,
            "authority": account.authority,
            "key_thumbprint": account.key_thumbprint,
            "jwk": json.dumps(dict(account.jwk)),
            "status": account.status.value,
            "contact": json.dumps(account.contact),
            "requester": storable(account.requester),
            "groups": json.dumps(account.groups),
            "allowed_names": (
                None if account.allowed_names is None else json.dumps(account.allowed_names)
            ),
            "token_id": account.token_id,
            "binding": None if account.binding is None else _binding_text(account.binding),
            "user_agent": storable(account.user_agent),
            "created": seconds(account.created),
            "refused": account.refused,
        }
        try:
            with self.database.transaction() as transaction:
                if account.token_id is not None and not take_use(
                    transaction, account.token_id, account.created
                ):
                    raise NotAuthenticated("the token was used up, revoked or expired meanwhile")
                if not transaction.rows(_INSERT[transaction.dialect], values):
                    raise _Exists
        except (_Exists, NotAuthenticated):
            # The client may have sent its request twice at once.
            existing = self.find_key(account.authority, account.key_thumbprint)
            if existing is None:
                raise
            return existing
        return account

    def find(self, account_id: str) -> Account | None:
        """The account with an identifier; None if there is none.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        rows = self.database.rows(_FIND, {"account": account_id})
        return _account(rows[0]) if rows else None

    def find_key(self, authority: str, key_thumbprint: str) -> Account | None:
        """The account with a key at an authority; None if there is none.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        key = {"ra": authority, "thumbprint": key_thumbprint}
        rows = self.database.rows(_FIND_KEY, key)
        return _account(rows[0]) if rows else None

    def has_binding(self, token_id: str, binding: Mapping[str, str]) -> bool:
        """Whether an account is bound to a token with an externalAccountBinding.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        values = {"token": token_id, "jws": _binding_text(binding)}
        return bool(self.database.rows(_FIND_BINDING, values))

    def change_contact(self, account: Account, contact: Sequence[str]) -> Account:
        """Store other contacts of an account; return it with them.

        Raises:
            DatabaseUnavailable: the database is away, locked or full.
        """
        values = {"account": account.id, "new_contact": json.dumps(contact)}
        with self.database.write() as connection:
            connection.execute(_CHANGE_CONTACT, values)
        return dataclasses.replace(account, contact=tuple(contact))

    def seen(self, account: Account, user_agent: str) -> None:
        """Store what the client calls itself, if that has changed.

        Raises:
            DatabaseUnavailable: the database is away, locked or full.
        """
        user_agent = storable(user_agent)
        if user_agent != account.user_agent:
            values = {"account": account.id, "new_user_agent": user_agent}
            with self.database.write() as connection:
                connection.execute(_CHANGE_USER_AGENT, values)

    def change_key(
        self, account: Account, key_thumbprint: str, jwk: Mapping[str, str]
    ) -> Account | None:
        """Give an account another key; its orders stay.

        Returns:
            None if the account has ended or got another key meanwhile; the other account if the key
            has one at the authority; else the account with the key.

        Raises:
            DatabaseUnavailable: the database is away, locked or full.
        """
        values = {
            "account": account.id,
            "old_thumbprint": account.key_thumbprint,
            "new_thumbprint": key_thumbprint,
            "new_jwk": json.dumps(dict(jwk)),
        }
        try:
            with self.database.write() as connection:
                changed = connection.execute(_CHANGE_KEY, values).rowcount
        except StorageError:
            # The database allows one account for a key at an authority.
            other = self.find_key(account.authority, key_thumbprint)
            if other is None:
                raise
            return other
        if not changed:
            return None
        return dataclasses.replace(account, key_thumbprint=key_thumbprint, jwk=jwk)

    def deactivate(
        self, account: Account, problem: Mapping[str, Any], now: datetime.datetime
    ) -> Account:
        """End an account, with its orders that are not finalized; return it.

        Args:
            account: the account.
            problem: the problem document of the orders.
            now: the time, in UTC.

        Raises:
            DatabaseUnavailable: the database is away, locked or full.
        """
        with self.database.write() as connection:
            connection.execute(_DEACTIVATE, {"account": account.id})
            values = {
                "account": account.id,
                "new_error": json.dumps(problem),
                "until": seconds(now + INVALID_KEPT),
            }
            connection.execute(_END_ORDERS, values)
        return dataclasses.replace(account, status=AccountStatus.DEACTIVATED)

    def count_refused(self, account_id: str) -> None:
        """Count an order that was refused because the client orders too often.

        Raises:
            DatabaseUnavailable: the database is away, locked or full.
        """
        with self.database.transaction() as transaction:
            transaction.execute(_COUNT_REFUSED, {"account": account_id})

    def of_token(self, token_id: str) -> list[Account]:
        """The accounts that are bound to a token."""
        query = select(ACME_ACCOUNTS).where(_COLUMNS.token_id == token_id).order_by(_COLUMNS.id)
        with self.database.read() as connection:
            return list(map(_account, connection.execute(query).all()))

    def all(self) -> Iterator[Account]:
        """All accounts, read in pages."""
        query = select(ACME_ACCOUNTS).order_by(_COLUMNS.id).limit(_PAGE)
        page = query
        while True:
            with self.database.read() as connection:
                rows = connection.execute(page).all()
            yield from map(_account, rows)
            if len(rows) < _PAGE:
                return
            page = query.where(_COLUMNS.id > rows[-1].id)


def _binding_text(binding: Mapping[str, str]) -> str:
    # In one order, so that equal bindings have equal texts.
    return json.dumps(dict(binding), sort_keys=True)


def _account(row: Sequence[Any]) -> Account:
    values: Mapping[str, Any] = dict(zip(_NAMES, row, strict=True))
    names, binding = values["allowed_names"], values["binding"]
    return Account(
        id=values["id"],
        authority=values["authority"],
        key_thumbprint=values["key_thumbprint"],
        jwk=json.loads(values["jwk"]),
        status=AccountStatus(values["status"]),
        contact=tuple(json.loads(values["contact"])),
        requester=values["requester"],
        groups=tuple(json.loads(values["groups"])),
        allowed_names=None if names is None else tuple(json.loads(names)),
        token_id=values["token_id"],
        binding=None if binding is None else json.loads(binding),
        user_agent=values["user_agent"],
        created=moment(values["created"]),
        refused=values["refused"],
    )
