"""Certificates as rows of the database."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, insert

from anchor.store.database.statements import Statement, Transaction
from anchor.store.database.tables import CERTIFICATE_NAMES, CERTIFICATES
from anchor.store.records import CertificateRecord, Issuance, requester_key
from anchor.X509.storable_text import storable

_INSERTED = [column.name for column in CERTIFICATES.columns if column.name != "id"]
_INSERT = Statement(insert(CERTIFICATES).returning(CERTIFICATES.c.id), _INSERTED)
_INSERT_NAME = Statement(
    insert(CERTIFICATE_NAMES), [column.name for column in CERTIFICATE_NAMES.columns]
)


def insert_certificate(
    transaction: Transaction, record: CertificateRecord, names: Mapping[str, str]
) -> None:
    """Insert a certificate, and its names with their search keys."""
    values: dict[str, object] = dict.fromkeys(_INSERTED) | {
        "fingerprint": record.fingerprint,
        "serial": record.serial,
        "ca_key_id": record.ca_key_id,
        "key": record.key,
        "subject": storable(record.subject),
        "names": json.dumps(record.names),
        "not_before": seconds(record.not_before),
        "not_after": seconds(record.not_after),
        "der": record.der,
    }
    if issuance := record.issuance:
        values |= {
            "issued_at": seconds(issuance.issued_at),
            "authority": issuance.authority,
            "signing_ca": issuance.signing_ca,
            "door": issuance.door,
            "requester": storable(issuance.requester),
            "user_id": _storable(issuance.user_id),
            "project_id": _storable(issuance.project_id),
            "groups": json.dumps(issuance.groups),
            "requester_key": requester_key(issuance.requester),
            "user_id_key": requester_key(issuance.user_id) if issuance.user_id else None,
            "address": storable(issuance.address),
            "request_id": issuance.request_id,
            "authentication": issuance.authentication,
            "credential": issuance.credential,
            "token_id": issuance.token_id,
            "claims": json.dumps(dict(issuance.claims)) if issuance.claims else None,
            "allowed_names": (
                None if issuance.allowed_names is None else json.dumps(issuance.allowed_names)
            ),
            "renewed_from": issuance.renewed_from,
            "lineage_since": seconds(issuance.lineage_since) if issuance.lineage_since else None,
            "renewals": issuance.renewals or None,
            "acme_account": issuance.acme_account,
        }
    [(identifier,)] = transaction.rows(_INSERT, values)
    transaction.execute_all(
        _INSERT_NAME,
        [
            {
                "certificate_id": identifier,
                "search_key": key,
                "name": storable(name),
                "not_after": values["not_after"],
            }
            for name, key in names.items()
        ],
    )


def _storable(text: str | None) -> str | None:
    return None if text is None else storable(text)


def record_of(row: Row[Any]) -> CertificateRecord:
    """The certificate in a row."""
    issuance = None
    if row.issued_at is not None:
        issuance = Issuance(
            issued_at=moment(row.issued_at),
            authority=row.authority,
            signing_ca=row.signing_ca,
            door=row.door,
            requester=row.requester,
            user_id=row.user_id,
            project_id=row.project_id,
            groups=tuple(json.loads(row.groups)),
            address=row.address,
            request_id=row.request_id,
            authentication=row.authentication,
            credential=row.credential,
            token_id=row.token_id,
            claims=json.loads(row.claims) if row.claims else None,
            allowed_names=tuple(json.loads(row.allowed_names)) if row.allowed_names else None,
            renewed_from=row.renewed_from,
            lineage_since=None if row.lineage_since is None else moment(row.lineage_since),
            renewals=row.renewals or 0,
            acme_account=row.acme_account,
        )
    return CertificateRecord(
        fingerprint=row.fingerprint,
        serial=row.serial,
        ca_key_id=row.ca_key_id,
        key=row.key,
        subject=row.subject,
        names=tuple(json.loads(row.names)),
        not_before=moment(row.not_before),
        not_after=moment(row.not_after),
        der=row.der,
        issuance=issuance,
    )


def seconds(time: datetime.datetime) -> int:
    """A time as it is stored, in whole seconds."""
    return int(time.timestamp())


def moment(stored: int) -> datetime.datetime:
    """A stored time, in UTC."""
    return datetime.datetime.fromtimestamp(stored, datetime.UTC)
