"""Databases as older versions of Anchor left them."""

from __future__ import annotations

from alembic import command
from sqlalchemy import text

from anchor.store.database import schema
from anchor.store.database.engine import Database

# As version 0001 writes it.
ROW_1 = {
    "serial": "01",
    "ca_key_id": "aa",
    "key": "ab",
    "subject": "CN=a",
    "names": '["DNS:a"]',
    "not_before": 1,
    "not_after": 4_000_000_000,
    "issued_at": 2,
    "authority": "default",
    "signing_ca": "local",
    "door": "sign",
    "requester": "alice",
    "groups": '["staff"]',
    "requester_key": "alice",
    "address": "192.0.2.7",
    "request_id": "1",
    "der": b"0",
}
# As version 0002 writes it.
ROW_2 = ROW_1 | {
    "authentication": "static",
    "credential": "jwt",
    "token_id": "tk_" + "a" * 16,
    "claims": '{"x": "y"}',
}


def make_old(location, version, monkeypatch):
    """Make a database of a version, and return it open."""
    upgrade = command.upgrade
    with monkeypatch.context() as patched:
        patched.setattr(schema, "HEAD", version)
        patched.setattr(command, "upgrade", lambda config, _: upgrade(config, version))
        database = Database(location)
        database.prepare()
    return database


def insert_row(database, fingerprint, row):
    """Insert a certificate with the columns that a version knows."""
    values = row | {"fingerprint": fingerprint, "serial": fingerprint[:40]}
    names = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join(f":{name}" for name in values)
    with database.write() as connection:
        connection.execute(text(f"INSERT INTO certificates ({names}) VALUES ({marks})"), values)


def insert_as_node(location, version, fingerprint, row, monkeypatch):
    """Insert a certificate as a node of a version does, which finds newer tables."""
    with monkeypatch.context() as patched:
        patched.setattr(schema, "HEAD", version)
        node = Database(location)
        node.ready()
        insert_row(node, fingerprint, row)
        node.close()
