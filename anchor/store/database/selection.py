"""Which certificates of the inventory are meant."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, or_

from anchor.store.database.certificate_rows import seconds
from anchor.store.database.tables import CERTIFICATES
from anchor.store.records import requester_key
from anchor.X509.name_search import NameQuery

_COLUMNS = CERTIFICATES.c
_KEY_DIGITS = 64


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which certificates are meant; without values, all of them.

    Attributes:
        names: a query for a name.
        requester: a user name or a backend's identifier of the user.
        authority: a registration authority.
        key: the SHA-256 of a SubjectPublicKeyInfo in hexadecimal, or its start.
        fingerprint: the SHA-256 of a certificate, in hexadecimal.
        serial: a serial number in hexadecimal.
        token_id: the token that was used.
        acme_account: the ACME account that ordered it.
        renewed_from: the fingerprint of the certificate that was the credential, or its start.
        ends_from: only certificates that expire at this time or later, in UTC.
        ends_before: only certificates that expire before this time, in UTC.
        issued_since: only certificates that were issued at this time or later, in UTC; for an
            imported one, the start of its validity counts.
    """

    names: NameQuery | None = None
    requester: str | None = None
    authority: str | None = None
    key: str | None = None
    fingerprint: str | None = None
    serial: str | None = None
    token_id: str | None = None
    acme_account: str | None = None
    renewed_from: str | None = None
    ends_from: datetime.datetime | None = None
    ends_before: datetime.datetime | None = None
    issued_since: datetime.datetime | None = None

    def alternatives(self) -> list[list[ColumnElement[bool]]]:
        """Lists of conditions on certificates, without their ends; each one meets one list at most.

        An ``OR`` in one query would keep the databases from reading an index in its order.
        """
        conditions: list[ColumnElement[bool]] = []
        if self.authority is not None:
            conditions.append(_COLUMNS.authority == self.authority)
        if self.key is not None and len(self.key) == _KEY_DIGITS:
            conditions.append(_COLUMNS.key == self.key)
        elif self.key is not None:
            conditions.append(_COLUMNS.key.between(self.key, f"{self.key}g"))
        if self.renewed_from is not None:
            start = self.renewed_from
            conditions.append(_COLUMNS.renewed_from.between(start, f"{start}g"))
        if self.fingerprint is not None:
            conditions.append(_COLUMNS.fingerprint == self.fingerprint)
        if self.serial is not None:
            conditions.append(_COLUMNS.serial == self.serial)
        if self.token_id is not None:
            conditions.append(_COLUMNS.token_id == self.token_id)
        if self.acme_account is not None:
            conditions.append(_COLUMNS.acme_account == self.acme_account)
        if self.issued_since is not None:
            since = seconds(self.issued_since)
            conditions.append(func.coalesce(_COLUMNS.issued_at, _COLUMNS.not_before) >= since)
            # It follows from the condition above, and has an index.
            conditions.append(_COLUMNS.not_after >= since)
        if self.requester is None:
            return [conditions]
        value = requester_key(self.requester)
        other = or_(_COLUMNS.requester_key.is_(None), _COLUMNS.requester_key != value)
        return [
            [_COLUMNS.requester_key == value, *conditions],
            [_COLUMNS.user_id_key == value, other, *conditions],
        ]

    def ends(self, not_after: ColumnElement[int]) -> list[ColumnElement[bool]]:
        """The conditions on the end of the validity."""
        conditions: list[ColumnElement[bool]] = []
        if self.ends_from is not None:
            conditions.append(not_after >= seconds(self.ends_from))
        if self.ends_before is not None:
            conditions.append(not_after < seconds(self.ends_before))
        return conditions
