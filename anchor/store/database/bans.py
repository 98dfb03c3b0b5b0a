"""The bans, which hold on every node from the next request on."""

from __future__ import annotations

import datetime
import hashlib
import math
from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import Connection, Float, bindparam, delete, insert, or_, select

from anchor.store.bans import Ban, Kind, ban_keys, normalize
from anchor.store.database.engine import Database
from anchor.store.database.statements import Lookup
from anchor.store.database.tables import BAN_KEYS, BANS, IMPORTS
from anchor.timestamps import utc_now
from anchor.X509.storable_text import storable

_IN_FORCE = or_(BANS.c.until.is_(None), BANS.c.until > bindparam("now", type_=Float))
_BANS = select(BANS.c.kind, BANS.c.value, BANS.c.since, BANS.c.until, BANS.c.reason)
_FIND = Lookup(
    _BANS.join(BAN_KEYS, BAN_KEYS.c.ban_id == BANS.c.id).where(_IN_FORCE), BAN_KEYS.c.key
)


class Bans:
    """The bans in the database."""

    def __init__(self, database: Database):
        self.database = database

    def find(self, keys: Collection[str], now: datetime.datetime) -> Sequence[Ban]:
        """The bans in force under any of these keys.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        with self.database.transaction(writes=False) as transaction:
            rows = set(_FIND.rows(transaction, sorted(keys), {"now": now.timestamp()}))
        return [_ban(*row) for row in rows]

    def bans_names(self, now: datetime.datetime) -> bool:
        """Whether a ban of any name is in force."""
        query = select(BANS.c.id).where(BANS.c.kind == "name", _IN_FORCE).limit(1)
        with self.database.read() as connection:
            return connection.execute(query, {"now": now.timestamp()}).first() is not None

    def bans_key(self, fingerprint: str, now: datetime.datetime) -> bool:
        """Whether a ban of a key is in force.

        Args:
            fingerprint: the SHA-256 of its SubjectPublicKeyInfo, in hexadecimal.
            now: the time, in UTC.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        query = select(BANS.c.id).where(
            BANS.c.kind == "key", BANS.c.value_hash == _hash(fingerprint), _IN_FORCE
        )
        with self.database.read() as connection:
            return connection.execute(query, {"now": now.timestamp()}).first() is not None

    def all(self) -> list[Ban]:
        """All bans, including those that have ended, in the order of their start."""
        query = _BANS.order_by(BANS.c.since, BANS.c.id)
        with self.database.read() as connection:
            return [_ban(*row) for row in connection.execute(query)]

    def add(self, ban: Ban) -> None:
        """Add a ban of a value, in any spelling; it replaces a ban of the same value."""
        normalized = _normalized(ban)
        with self.database.write(reads_first=True) as connection:
            _remove(connection, ban.kind, normalized.value)
            _insert(connection, normalized)

    def add_for_good(self, ban: Ban) -> bool:
        """Add a ban without an end; return False if there is one of the same value already.

        A ban with an end gets none: its reason stays in front of the new one, and its begin stays
        if it is in force.
        """
        normalized = _normalized(ban)
        with self.database.write(reads_first=True) as connection:
            earlier = _find(connection, ban.kind, normalized.value)
            if earlier is not None:
                if earlier.until is None:
                    return False
                _remove(connection, ban.kind, normalized.value)
                normalized = _lengthened(earlier, normalized)
            _insert(connection, normalized)
        return True

    def remove(self, kind: Kind, value: str) -> bool:
        """Lift a ban; return False if there is none."""
        with self.database.write() as connection:
            return _remove(connection, kind, normalize(kind, value))

    def import_once(self, content_hash: str, bans: Iterable[Ban]) -> int:
        """Add the bans of a file that the database does not have yet; return their number.

        A ban in the database whose end is earlier than that in the file gets the later one.

        Args:
            content_hash: the SHA-256 of the file; the same contents are imported once only, so
                that a ban that was lifted since does not return.
            bans: the bans in the file.
        """
        added = 0
        with self.database.read() as connection:
            if _was_imported(connection, content_hash):
                return 0
        with self.database.write(reads_first=True) as connection:
            if _was_imported(connection, content_hash):
                return 0
            for ban in bans:
                normalized = _normalized(ban)
                earlier = _find(connection, ban.kind, normalized.value)
                if earlier is not None:
                    if not _ends_later(normalized, earlier):
                        continue
                    _remove(connection, ban.kind, normalized.value)
                    normalized = _lengthened(earlier, normalized)
                _insert(connection, normalized)
                added += 1
            now = int(utc_now().timestamp())
            connection.execute(insert(IMPORTS), {"content_hash": content_hash, "imported_at": now})
        return added


def _normalized(ban: Ban) -> Ban:
    return ban.model_copy(update={"value": normalize(ban.kind, ban.value)})


def _lengthened(earlier: Ban, ban: Ban) -> Ban:
    """A ban with what an earlier one of the same value says."""
    reason = "; ".join(text for text in (earlier.reason, ban.reason) if text)
    since = earlier.since if earlier.is_in_force(ban.since) else ban.since
    return ban.model_copy(update={"reason": reason, "since": since})


def _was_imported(connection: Connection, content_hash: str) -> bool:
    query = select(IMPORTS.c.content_hash).where(IMPORTS.c.content_hash == content_hash)
    return connection.execute(query).first() is not None


def _find(connection: Connection, kind: Kind, value: str) -> Ban | None:
    query = _BANS.where(BANS.c.kind == kind, BANS.c.value_hash == _hash(value))
    row = connection.execute(query).first()
    return None if row is None else _ban(*row)


def _ends_later(ban: Ban, other: Ban) -> bool:
    if other.until is None:
        return False
    return ban.until is None or ban.until > other.until


def _identifier(connection: Connection, kind: Kind, value: str) -> int | None:
    query = select(BANS.c.id).where(BANS.c.kind == kind, BANS.c.value_hash == _hash(value))
    return connection.execute(query).scalar()


def _remove(connection: Connection, kind: Kind, value: str) -> bool:
    found = _identifier(connection, kind, value)
    if found is None:
        return False
    connection.execute(delete(BAN_KEYS).where(BAN_KEYS.c.ban_id == found))
    connection.execute(delete(BANS).where(BANS.c.id == found))
    return True


def _insert(connection: Connection, ban: Ban) -> None:
    values = {
        "kind": ban.kind,
        "value": storable(ban.value),
        "value_hash": _hash(ban.value),
        "since": int(ban.since.timestamp()),
        # Rounded up: a ban never ends early.
        "until": None if ban.until is None else math.ceil(ban.until.timestamp()),
        "reason": storable(ban.reason),
    }
    identifier = connection.execute(insert(BANS).returning(BANS.c.id), values).scalar_one()
    keys = [{"ban_id": identifier, "key": key} for key in sorted(ban_keys(ban))]
    connection.execute(insert(BAN_KEYS), keys)


def _ban(kind: Kind, value: str, since: int, until: int | None, reason: str) -> Ban:
    return Ban(
        kind=kind,
        value=value,
        since=_moment(since),
        until=None if until is None else _moment(until),
        reason=reason,
    )


def _moment(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _hash(value: str) -> str:
    # Values can be lone surrogates of names that are no text.
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
