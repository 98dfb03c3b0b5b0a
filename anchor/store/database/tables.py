"""The tables of the database.

``migrations/`` creates them; a test compares both.  Times are seconds since 1970 in UTC.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

METADATA = MetaData()

# SQLite numbers rows by itself only if the column's type is INTEGER.
IDENTIFIER: TypeEngine[int] = BigInteger().with_variant(Integer, "sqlite")

# Ranges of keys need the order of bytes, which is SQLite's default.
KEY: TypeEngine[str] = String(255).with_variant(String(255, collation="C"), "postgresql")
HASH: TypeEngine[str] = String(64).with_variant(String(64, collation="C"), "postgresql")
TOKEN_ID: TypeEngine[str] = String(32).with_variant(String(32, collation="C"), "postgresql")

CERTIFICATES = Table(
    "certificates",
    METADATA,
    Column("id", IDENTIFIER, primary_key=True),
    Column("fingerprint", HASH, nullable=False, unique=True),
    Column("serial", String(40), nullable=False),
    Column("ca_key_id", String(64), nullable=False),
    Column("key", HASH, nullable=False),
    Column("subject", Text, nullable=False),
    Column("names", Text, nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("not_after", BigInteger, nullable=False),
    Column("issued_at", BigInteger),
    Column("authority", String(64)),
    Column("signing_ca", String(64)),
    Column("door", String(16)),
    Column("requester", Text),
    Column("user_id", Text),
    Column("project_id", Text),
    Column("groups", Text),
    Column("requester_key", KEY),
    Column("user_id_key", KEY),
    Column("address", Text),
    Column("request_id", String(64)),
    Column("der", LargeBinary, nullable=False),
    # Columns of later versions come last, where a migration adds them.
    Column("authentication", String(64)),
    Column("credential", String(16)),
    Column("token_id", TOKEN_ID),
    Column("claims", Text),
    Column("allowed_names", Text),
    Column("renewed_from", HASH),
    Column("lineage_since", BigInteger),
    Column("renewals", Integer),
    Column("acme_account", TOKEN_ID),
    # Also the index to look up a serial number.
    UniqueConstraint("serial", "ca_key_id"),
    # The end is in each index, because lists are in its order.
    Index("certificates_not_after", "not_after"),
    Index("certificates_key", "key", "not_after"),
    Index("certificates_authority", "authority", "not_after"),
    Index("certificates_requester", "requester_key", "not_after"),
    Index("certificates_user_id", "user_id_key", "not_after"),
)
Index(
    "certificates_token_id",
    CERTIFICATES.c.token_id,
    CERTIFICATES.c.not_after,
    sqlite_where=CERTIFICATES.c.token_id.is_not(None),
    postgresql_where=CERTIFICATES.c.token_id.is_not(None),
)
Index(
    "certificates_renewed_from",
    CERTIFICATES.c.renewed_from,
    CERTIFICATES.c.not_after,
    sqlite_where=CERTIFICATES.c.renewed_from.is_not(None),
    postgresql_where=CERTIFICATES.c.renewed_from.is_not(None),
)
Index(
    "certificates_acme_account",
    CERTIFICATES.c.acme_account,
    CERTIFICATES.c.not_after,
    sqlite_where=CERTIFICATES.c.acme_account.is_not(None),
    postgresql_where=CERTIFICATES.c.acme_account.is_not(None),
)
"""Issued certificates.

``names``, ``groups`` and ``allowed_names`` are lists in JSON, ``claims`` is an object in JSON.
``renewed_from`` is the fingerprint of the old certificate.  The key of a requester is
:func:`anchor.store.bans.normalize` of the name, and ``key`` is the SHA-256 of the
SubjectPublicKeyInfo in hexadecimal.  An imported certificate has no requester, no authority and no
door.
"""

CERTIFICATE_NAMES = Table(
    "certificate_names",
    METADATA,
    Column(
        "certificate_id",
        IDENTIFIER,
        ForeignKey(CERTIFICATES.c.id, ondelete="CASCADE"),
        nullable=False,
    ),
    Column("search_key", KEY, nullable=False),
    Column("name", Text, nullable=False),
    Column("not_after", BigInteger, nullable=False),
    Index("certificate_names_search_key", "search_key", "not_after", "certificate_id"),
    Index("certificate_names_certificate", "certificate_id"),
)
"""The names of each certificate, by :func:`anchor.X509.name_search.search_key`."""

BANS = Table(
    "bans",
    METADATA,
    Column("id", IDENTIFIER, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("value", Text, nullable=False),
    Column("value_hash", String(64), nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger),
    Column("reason", Text, nullable=False),
    UniqueConstraint("kind", "value_hash"),
)
"""The bans; ``until`` is null for a ban without an end.

The unique constraint has the SHA-256 of the value, because PostgreSQL indexes no long text.
"""

BAN_KEYS = Table(
    "ban_keys",
    METADATA,
    Column("ban_id", IDENTIFIER, ForeignKey(BANS.c.id, ondelete="CASCADE"), nullable=False),
    Column("key", KEY, nullable=False),
    Index("ban_keys_key", "key"),
    Index("ban_keys_ban", "ban_id"),
)
"""The keys under which a request finds a ban, by :func:`anchor.store.bans.ban_keys`."""

FAILURES = Table(
    "failures",
    METADATA,
    Column("key", String(64), primary_key=True),
    Column("total", Integer, nullable=False),
    Column("expires", Float(53), nullable=False),
    Index("failures_expires", "expires"),
)
"""Failed authentications.

The key is a SHA-256, because people type their secrets into the field of the user name.
"""

IMPORTS = Table(
    "imports",
    METADATA,
    Column("content_hash", String(64), primary_key=True),
    Column("imported_at", BigInteger, nullable=False),
)
"""The ban files that were imported, by the SHA-256 of their contents."""

TOKENS = Table(
    "tokens",
    METADATA,
    Column("id", TOKEN_ID, primary_key=True),
    Column("authority", String(64), nullable=False),
    Column("requester", Text, nullable=False),
    Column("groups", Text, nullable=False),
    Column("names", Text),
    Column("secret_hash", String(64), nullable=False),
    Column("uses", Integer, nullable=False),
    Column("used", Integer, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),
    Column("revoked", BigInteger),
    Column("mac_key", LargeBinary),
    Index("tokens_created", "created", "id"),
)
"""The tokens, which are deleted some time after they expired or were revoked.

``groups`` and ``names`` are lists in JSON; ``names`` is null if the token is not limited to names.
``secret_hash`` is the SHA-256 of the secret in hexadecimal.  ``expires`` is null for a token
without an end.  ``mac_key`` is the secret itself, as bytes, if the token can bind an ACME account;
null for tokens of authorities without ACME, of those that were revoked, and of some that expired.
"""

USED_CREDENTIALS = Table(
    "used_credentials",
    METADATA,
    Column("key", HASH, primary_key=True),
    Column("expires", BigInteger, nullable=False),
    Index("used_credentials_expires", "expires"),
)
"""Credentials that are valid for one certificate only and were used.

The key is a SHA-256 that no other credential has.
"""

SHARED_KEYS = Table(
    "shared_keys",
    METADATA,
    Column("name", String(32), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
"""Random keys that all nodes share, such as that of the nonces of ACME."""
