"""The inventory: all issued certificates."""

from __future__ import annotations

import datetime
import heapq
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Row,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    true,
    tuple_,
)

from anchor.auth.results import AcmeOrder, SingleUse
from anchor.store.database.certificate_bans import remove_certificate_bans
from anchor.store.database.certificate_rows import insert_certificate, moment, record_of, seconds
from anchor.store.database.credential_uses import give_back_uses, require_unused, take_uses
from anchor.store.database.engine import Database
from anchor.store.database.selection import Selection
from anchor.store.database.statements import Statement
from anchor.store.database.tables import CERTIFICATE_NAMES, CERTIFICATES
from anchor.store.records import CertificateRecord
from anchor.X509.name_search import NameQuery

__all__ = ["Inventory", "Selection"]

# Rows that are read at once; fewer at first, so that somebody who looks at them waits less.
_FIRST_PAGE, _PAGE = 50, 1000
# Rows that are deleted at once; more if that takes less than the time.
_BATCH, _MAX_BATCH = 50, 1000
_SECONDS = 0.2

_COLUMNS = CERTIFICATES.c
_KNOWN = Statement(select(_COLUMNS.id).where(_COLUMNS.fingerprint == bindparam("fingerprint")))


class Inventory:
    """The issued certificates in the database."""

    def __init__(self, database: Database):
        self.database = database

    def add(
        self,
        record: CertificateRecord,
        names: Mapping[str, str],
        *,
        single_use: SingleUse | None = None,
        order: AcmeOrder | None = None,
    ) -> None:
        """Store a certificate durably, and take the use of the credential that it costs.

        Both or neither is stored.

        Args:
            record: the certificate; it takes a use of its token, if it has one and is neither a
                renewal nor for an order.
            names: its names with their search keys.
            single_use: a credential that is valid for this certificate only.
            order: the order of an ACME account that the certificate is for.

        Raises:
            OrderNotReady: the order has a certificate already, or has ended.
            NotAuthenticated: the credential was used up, revoked or expired meanwhile.
            DatabaseUnavailable: the database is away, locked or full.
            StorageError: the database refuses the certificate.
        """
        with self.database.transaction() as transaction:
            if issuance := record.issuance:
                take_uses(
                    transaction,
                    issuance.token_id,
                    single_use,
                    issuance.issued_at,
                    is_renewal=issuance.renewed_from is not None,
                    order=order,
                    fingerprint=record.fingerprint,
                )
            insert_certificate(transaction, record, names)

    def require_unused(self, single_use: SingleUse, now: datetime.datetime) -> None:
        """Reject a credential that was used before; :meth:`add` decides if several race.

        Raises:
            NotAuthenticated: it was used before.
            DatabaseUnavailable: the database is away.
        """
        require_unused(self.database, single_use, now)

    def give_back(
        self,
        token_id: str | None,
        single_use: SingleUse | None,
        now: datetime.datetime,
        order: AcmeOrder | None = None,
    ) -> None:
        """Give the use of a credential back, because its certificate is not answered.

        The certificate stays stored: somebody might have seen it.

        Args:
            token_id: the token, if a use of it was taken.
            single_use: the credential, if it is valid for one certificate only.
            now: the time, in UTC.
            order: the order of an ACME account.

        Raises:
            DatabaseUnavailable: the database is away, locked or full.
        """
        give_back_uses(self.database, token_id, single_use, now, order)

    def add_all(self, records: Iterable[tuple[CertificateRecord, Mapping[str, str]]]) -> int:
        """Store certificates that are not stored yet, in one transaction; return their number."""
        added = 0
        with self.database.transaction() as transaction:
            for record, names in records:
                if not transaction.rows(_KNOWN, {"fingerprint": record.fingerprint}):
                    insert_certificate(transaction, record, names)
                    added += 1
        return added

    def find(self, fingerprint: str) -> CertificateRecord | None:
        """The certificate with a fingerprint, in hexadecimal."""
        query = select(CERTIFICATES).where(_COLUMNS.fingerprint == fingerprint)
        with self.database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else record_of(row)

    def find_serial(self, serial: str, ca_key_id: str) -> CertificateRecord | None:
        """The certificate with a serial number and an authorityKeyIdentifier, in hexadecimal.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        query = select(CERTIFICATES).where(
            _COLUMNS.serial == serial, _COLUMNS.ca_key_id == ca_key_id
        )
        with self.database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else record_of(row)

    def starting_with(self, prefix: str, limit: int) -> list[CertificateRecord]:
        """Certificates whose fingerprint starts with these hexadecimal digits."""
        query = (
            select(CERTIFICATES)
            .where(_COLUMNS.fingerprint.between(prefix, f"{prefix}g"))
            .order_by(_COLUMNS.fingerprint)
            .limit(limit)
        )
        with self.database.read() as connection:
            return [record_of(row) for row in connection.execute(query)]

    def select(self, selection: Selection) -> Iterator[CertificateRecord]:
        """The certificates of a selection, in the order of their end, or for names of the names."""
        if selection.names is not None:
            return self._by_name(selection.names, selection)
        ends = selection.ends(_COLUMNS.not_after)
        rows = [self._by_end([*each, *ends]) for each in selection.alternatives()]
        return map(record_of, heapq.merge(*rows, key=_end_and_id))

    def last_end(self, selection: Selection) -> datetime.datetime | None:
        """When the last certificate of a selection expires; None if there is none."""
        return self.summarize(selection)[1]

    def count(self, selection: Selection) -> int:
        """How many certificates a selection has."""
        return self.summarize(selection)[0]

    def summarize(self, selection: Selection) -> tuple[int, datetime.datetime | None]:
        """How many certificates a selection has, and when the last one expires."""
        ends: dict[int, int]
        if selection.names is not None:
            rows = self._name_rows(selection.names, selection)
            ends = {row.certificate_id: row.end for row in rows}
            return len(ends), moment(max(ends.values())) if ends else None
        last, total = None, 0
        query = select(func.count(), func.max(_COLUMNS.not_after)).where(
            *selection.ends(_COLUMNS.not_after)
        )
        with self.database.read() as connection:
            for conditions in selection.alternatives():
                count, end = connection.execute(query.where(*conditions)).one()
                total += count
                last = end if last is None else max(last, end or last)
        return total, None if last is None else moment(last)

    def prune(self, before: datetime.datetime) -> Iterator[int]:
        """Delete the certificates that expired before a time, in short transactions.

        Their bans of the kind ``certificate`` go with them: nothing looks for those any more.

        Yields:
            the number of certificates that each transaction deleted.
        """
        expired = (
            select(_COLUMNS.id, _COLUMNS.fingerprint)
            .where(_COLUMNS.not_after < seconds(before))
            .order_by(_COLUMNS.not_after)
        )
        size = _BATCH
        while True:
            started = time.monotonic()
            with self.database.write() as connection:
                batch = dict(map(tuple, connection.execute(expired.limit(size))))
                remove_certificate_bans(connection, batch.values())
                names = CERTIFICATE_NAMES.c.certificate_id
                connection.execute(delete(CERTIFICATE_NAMES).where(names.in_(list(batch))))
                connection.execute(delete(CERTIFICATES).where(_COLUMNS.id.in_(list(batch))))
            if batch:
                yield len(batch)
            if len(batch) < size:
                return
            # Writers of SQLite wait for the end of the transaction.
            took = time.monotonic() - started
            size = max(_BATCH, size // 2) if took > _SECONDS else min(2 * size, _MAX_BATCH)

    def _by_end(self, conditions: list[ColumnElement[bool]]) -> Iterator[Row[Any]]:
        """Pages, so that a slow reader keeps no transaction open."""
        order = (_COLUMNS.not_after, _COLUMNS.id)
        after: list[ColumnElement[bool]] = []
        size = _FIRST_PAGE
        while True:
            query = select(CERTIFICATES).where(*conditions, *after).order_by(*order).limit(size)
            with self.database.read() as connection:
                rows = connection.execute(query).all()
            yield from rows
            if len(rows) < size:
                return
            size = _PAGE
            after = [tuple_(*order) > _end_and_id(rows[-1])]

    def _by_name(self, names: NameQuery, selection: Selection) -> Iterator[CertificateRecord]:
        # A certificate may have several of the names.
        seen: set[int] = set()
        for row in self._name_rows(names, selection, *CERTIFICATES.c):
            if row.certificate_id not in seen:
                seen.add(row.certificate_id)
                yield record_of(row)

    def _name_rows(
        self, names: NameQuery, selection: Selection, *columns: Column[Any]
    ) -> Iterator[Row[Any]]:
        """The accepted names: each with ``certificate_id``, ``end`` and the columns."""
        name = CERTIFICATE_NAMES.c
        end = name.not_after.label("end")
        order = (name.search_key, name.not_after, name.certificate_id)
        query = select(name.search_key, name.name, name.certificate_id, end, *columns)
        query = query.where(*selection.ends(name.not_after)).order_by(*order).limit(_PAGE)
        alternatives = selection.alternatives()
        if columns or alternatives != [[]]:
            query = query.join(CERTIFICATES, name.certificate_id == _COLUMNS.id)
            query = query.where(or_(*(and_(true(), *each) for each in alternatives)))
        for first, last in names.ranges:
            after: list[ColumnElement[bool]] = []
            while True:
                page = query.where(name.search_key.between(first, last), *after)
                with self.database.read() as connection:
                    rows = connection.execute(page).all()
                yield from (row for row in rows if names.accepts(row.name))
                if len(rows) < _PAGE:
                    break
                row = rows[-1]
                after = [tuple_(*order) > (row.search_key, row.end, row.certificate_id)]


def _end_and_id(row: Row[Any]) -> tuple[int, int]:
    return row.not_after, row.id
