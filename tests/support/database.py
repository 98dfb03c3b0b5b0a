"""Databases of tests, and records for them."""

from __future__ import annotations

import datetime
import itertools
import secrets

from anchor.store.bans import Ban
from anchor.store.database.bans import Bans
from anchor.store.database.engine import Database
from anchor.store.database.settings import locate_database
from anchor.store.records import CertificateRecord, Issuance
from anchor.X509.name_search import search_key

_numbers = itertools.count(1)


def make_database(directory, name="anchor.db", **options):
    """A SQLite database in a directory."""
    return Database(locate_database({"url": f"sqlite:///{name}", **options}, directory))


def server_database(url, directory, **options):
    """A database on a server, with the server's SQLAlchemy URL; it waits one second at most."""
    section = {"url": anchor_url(url), "timeout_seconds": 1, "connect_timeout_seconds": 2}
    return Database(locate_database(section | options, directory))


def anchor_url(url):
    """SQLAlchemy's URL of a server, as it is written in the configuration."""
    return url.replace("postgresql+psycopg:", "postgresql:")


def ban_names(directory, names, since):
    """The bans of a new database, in which these names are banned."""
    bans = Bans(make_database(directory, f"bans-{secrets.token_hex(4)}.db"))
    bans.import_once("names", [Ban(kind="name", value=name, since=since) for name in names])
    return bans


def make_record(*names, **values):
    """A certificate that need not be one, and its names with their search keys."""
    issuance = Issuance(
        issued_at=MOMENT,
        authority="default",
        signing_ca="local",
        door="sign",
        requester="alice",
        user_id=None,
        project_id=None,
        groups=("staff",),
        address="192.0.2.7",
        request_id="1",
    )
    record = {
        "fingerprint": secrets.token_hex(32),
        "serial": f"{next(_numbers):x}{secrets.token_hex(8)}",
        "ca_key_id": "aa",
        "key": secrets.token_hex(32),
        "subject": f"CN={names[0] if names else ''}",
        "names": tuple(f"DNS:{name}" for name in names),
        "not_before": MOMENT,
        "not_after": MOMENT + datetime.timedelta(hours=1),
        "der": b"0\x00",
        "issuance": issuance,
    }
    return CertificateRecord(**record | values), {name: search_key(name) for name in names}


MOMENT = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
