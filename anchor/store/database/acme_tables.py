"""The tables of ACME; after an import of this module, ``METADATA`` has all tables."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from anchor.store.database.tables import HASH, KEY, METADATA, TOKEN_ID

__all__ = ["ACME_ACCOUNTS", "ACME_AUTHORIZATIONS", "ACME_ORDERS", "IS_UNFINISHED", "METADATA"]

ACME_ACCOUNTS = Table(
    "acme_accounts",
    METADATA,
    Column("id", TOKEN_ID, primary_key=True),
    Column("authority", String(64), nullable=False),
    Column("key_thumbprint", HASH, nullable=False),
    Column("jwk", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("contact", Text, nullable=False),
    Column("requester", Text, nullable=False),
    Column("groups", Text, nullable=False),
    Column("allowed_names", Text),
    Column("token_id", TOKEN_ID),
    Column("binding", Text),
    Column("user_agent", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("refused", Integer, nullable=False),
    UniqueConstraint("authority", "key_thumbprint"),
    Index("acme_accounts_token_id", "token_id"),
)
"""The accounts of ACME clients, which are never deleted.

``contact``, ``groups`` and ``allowed_names`` are lists in JSON; ``jwk`` and ``binding`` (the
externalAccountBinding of RFC 8555 section 7.3.4) are objects in JSON.  ``key_thumbprint`` is the
thumbprint of RFC 7638 in hexadecimal.  ``refused`` counts orders that came too often.
"""

IS_UNFINISHED = text("status IN ('pending', 'ready')")
"""The condition of an index on orders, with literals: queries that repeat it can use the index."""

ACME_ORDERS = Table(
    "acme_orders",
    METADATA,
    Column("id", TOKEN_ID, primary_key=True),
    Column("account_id", TOKEN_ID, nullable=False),
    Column("status", String(16), nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("identifiers", Text, nullable=False),
    Column("names_key", HASH, nullable=False),
    Column("profile", String(64)),
    Column("error", Text),
    Column("replaces", KEY),
    Column("created", BigInteger, nullable=False),
    Column("finalized", BigInteger),
    Column("certificate", HASH),
    Column("delete_after", BigInteger, nullable=False),
    Index("acme_orders_account", "account_id", "created", "id"),
    Index("acme_orders_names", "account_id", "names_key", "finalized"),
    Index("acme_orders_delete_after", "delete_after"),
)
Index(
    "acme_orders_replaces",
    ACME_ORDERS.c.replaces,
    sqlite_where=ACME_ORDERS.c.replaces.is_not(None),
    postgresql_where=ACME_ORDERS.c.replaces.is_not(None),
)
Index(
    "acme_orders_unfinished",
    ACME_ORDERS.c.account_id,
    ACME_ORDERS.c.expires,
    sqlite_where=IS_UNFINISHED,
    postgresql_where=IS_UNFINISHED,
)
Index(
    "acme_orders_uncertified",
    ACME_ORDERS.c.account_id,
    ACME_ORDERS.c.created,
    sqlite_where=ACME_ORDERS.c.certificate.is_(None),
    postgresql_where=ACME_ORDERS.c.certificate.is_(None),
)
"""The orders of ACME clients, which are deleted some time after their end.

``identifiers`` is a list of pairs of a type and a value in JSON, and ``names_key`` the SHA-256 of
the sorted list.  ``error`` is a problem document in JSON.  ``certificate`` is the fingerprint of
the certificate.
"""

ACME_AUTHORIZATIONS = Table(
    "acme_authorizations",
    METADATA,
    Column("id", TOKEN_ID, primary_key=True),
    Column("order_id", TOKEN_ID, nullable=False),
    Column("account_id", TOKEN_ID, nullable=False),
    Column("identifier_type", String(8), nullable=False),
    Column("identifier", KEY, nullable=False),
    Column("wildcard", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("challenges", Text, nullable=False),
    Index("acme_authorizations_order", "order_id"),
    Index("acme_authorizations_account", "account_id", "identifier"),
)
"""The authorizations of each order, one for each identifier.

``identifier`` of a wildcard is the name without ``*.``, and ``wildcard`` is 1 then.  ``challenges``
is a list of objects in JSON; it is empty if the account is trusted for the name.
"""
