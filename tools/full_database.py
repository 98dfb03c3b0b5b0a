"""A SQLite database with the rows of a large fleet, for benchmarks."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

from anchor.store.bans import Ban, ban_keys
from anchor.store.database.certificates import Inventory
from anchor.store.database.engine import Database
from anchor.store.database.settings import locate_database
from anchor.timestamps import utc_now
from anchor.X509.name_search import search_key

_NUMBERS = """
WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers LIMIT :count)
"""
_HOST = "'host' || n || '.example.com'"
_RANDOM = "lower(hex(randomblob(32)))"
# As for requests by a form: all columns that are indexed have a value.
_CERTIFICATES = f"""
INSERT INTO certificates (
    id, fingerprint, serial, ca_key_id, key, subject, names, not_before, not_after, issued_at,
    authority, signing_ca, door, requester, groups, requester_key, address, request_id, der
)
{_NUMBERS}
SELECT
    n + 1, sha256({_HOST}), substr({_RANDOM}, 1, 40), :ca, {_RANDOM}, 'CN=' || {_HOST},
    '["CN:' || {_HOST} || '", "DNS:' || {_HOST} || '"]', :now, :now + 86400 + n % 86400, :now,
    'default', 'local', 'sign', 'user' || n, '[]', 'user' || n, '192.0.2.7', {_RANDOM},
    randomblob(480)
FROM numbers
"""
_CERTIFICATE_NAMES = """
INSERT INTO certificate_names (certificate_id, search_key, name, not_after)
SELECT id, search_key(substr(subject, 4)), substr(subject, 4), not_after FROM certificates
"""
_BANS = f"""
INSERT INTO bans (id, kind, value, value_hash, since, reason)
{_NUMBERS}
SELECT n + 1, 'name', 'banned-' || {_HOST}, sha256('banned-' || {_HOST}), :now, '' FROM numbers
"""
_BAN_KEYS = "INSERT INTO ban_keys (ban_id, key) VALUES (?, ?)"
_TOKENS = f"""
INSERT INTO tokens (id, authority, requester, groups, secret_hash, uses, used, created, expires)
{_NUMBERS}
SELECT
    substr({_RANDOM}, 1, 32), 'default', {_HOST}, '[]', {_RANDOM}, 1, 0, :now, :now + 86400
FROM numbers
"""


def fill(path: Path, certificates: int, *, bans: int = 0, tokens: int = 0) -> Inventory:
    """Make a database with rows that differ in all values that are indexed.

    Args:
        path: the file, which does not exist yet.
        certificates: how many certificates are in force, for the host of each number; the
            fingerprint is the SHA-256 of the host's name.
        bans: how many names are banned; no host is.
        tokens: how many tokens are unused.
    """
    database = Database(locate_database({"url": f"sqlite:///{path}"}, path.parent))
    database.prepare()
    database.close()
    connection = sqlite3.connect(path)
    # Anchor's own connections are durable.  This one is not, and its cache holds all indexes.
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -2000000")
    connection.create_function("sha256", 1, _sha256)
    connection.create_function("search_key", 1, search_key)
    common = {"now": int(utc_now().timestamp()), "ca": "00" * 20}
    for statement, count in (
        (_CERTIFICATES, certificates),
        (_CERTIFICATE_NAMES, certificates),
        (_BANS, bans),
        (_TOKENS, tokens),
    ):
        if count:
            connection.execute(statement, common | {"count": count})
    for identifier, value in connection.execute("SELECT id, value FROM bans").fetchall():
        keys = ban_keys(Ban(kind="name", value=value, since=utc_now()))
        connection.executemany(_BAN_KEYS, [(identifier, key) for key in keys])
    connection.commit()
    connection.close()
    return Inventory(database)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
