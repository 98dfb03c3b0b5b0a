"""The bans of a certificate that was issued, and of its key."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection, Float, and_, bindparam, delete, or_, select

from anchor.store.database.certificate_rows import moment
from anchor.store.database.engine import Database
from anchor.store.database.statements import Statement
from anchor.store.database.tables import BAN_KEYS, BANS
from anchor.store.records import CertificateRecord

_COLUMNS = BANS.c
_FIND = Statement(
    select(_COLUMNS.kind, _COLUMNS.since, _COLUMNS.until, _COLUMNS.reason)
    .where(
        or_(
            and_(_COLUMNS.kind == "certificate", _COLUMNS.value_hash == bindparam("certificate")),
            and_(_COLUMNS.kind == "key", _COLUMNS.value_hash == bindparam("key")),
        ),
        or_(_COLUMNS.until.is_(None), _COLUMNS.until > bindparam("now", type_=Float)),
    )
    .order_by(_COLUMNS.since, _COLUMNS.id)
)


class CertificateBan(NamedTuple):
    """A ban in force.

    Attributes:
        kind: ``certificate`` or ``key``.
        since: when it began, in UTC.
        until: when it ends, in UTC; None for never.
        reason: a text for operators only.
    """

    kind: str
    since: datetime.datetime
    until: datetime.datetime | None
    reason: str


def find_certificate_bans(
    database: Database, record: CertificateRecord, now: datetime.datetime
) -> list[CertificateBan]:
    """The bans of a certificate and of its key that are in force, the oldest first.

    Raises:
        DatabaseUnavailable: the database is away.
    """
    values = {
        "certificate": _hash(record.fingerprint),
        "key": _hash(record.key),
        "now": now.timestamp(),
    }
    rows = database.rows(_FIND, values)
    return [
        CertificateBan(kind, moment(since), None if until is None else moment(until), reason)
        for kind, since, until, reason in rows
    ]


def remove_certificate_bans(connection: Connection, fingerprints: Collection[str]) -> None:
    """Lift the bans of certificates; those of their keys stay."""
    query = select(_COLUMNS.id).where(
        _COLUMNS.kind == "certificate", _COLUMNS.value_hash.in_(map(_hash, fingerprints))
    )
    if found := list(connection.execute(query).scalars()):
        connection.execute(delete(BAN_KEYS).where(BAN_KEYS.c.ban_id.in_(found)))
        connection.execute(delete(BANS).where(_COLUMNS.id.in_(found)))


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode("ascii")).hexdigest()
