"""What is stored about a certificate."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anchor.store.requesters import normalize_requester
from anchor.timestamps import timestamp
from anchor.X509 import name_search
from anchor.X509.storable_text import storable


@dataclass(frozen=True, kw_only=True, slots=True)
class Issuance:
    """How a certificate came to be.

    Attributes:
        issued_at: when it was issued, in UTC.
        authority: the registration authority.
        signing_ca: the name of the CA in the configuration.
        door: the protocol of the request, such as ``sign``.
        requester: the user name of the requester.
        user_id: the backend's identifier of the requester.
        project_id: the project that the requester's credential was scoped to.
        groups: the requester's groups.
        address: the client's address.
        request_id: the request's id in logs and audit events.
        authentication: the section of the configuration that accepted the credential.
        credential: the kind of the credential, such as ``token``.
        token_id: the token that was used.
        claims: statements of the credential about the requester; None if there are none.
        allowed_names: the names that the credential was limited to; None if it had no limit.
        renewed_from: the fingerprint of the certificate that was renewed without a secret; None if
            the requester showed a secret, a token or a JWT.
        lineage_since: when the first certificate of the lineage was issued, in UTC; None if this
            is the first.
        renewals: how many renewals lie between that certificate and this one.
        acme_account: the ACME account that ordered it; None for another protocol.
    """

    issued_at: datetime.datetime
    authority: str
    signing_ca: str
    door: str
    requester: str
    user_id: str | None
    project_id: str | None
    groups: tuple[str, ...]
    address: str
    request_id: str
    authentication: str | None = None
    credential: str | None = None
    token_id: str | None = None
    claims: Mapping[str, str] | None = None
    allowed_names: tuple[str, ...] | None = None
    renewed_from: str | None = None
    lineage_since: datetime.datetime | None = None
    renewals: int = 0
    acme_account: str | None = None


@dataclass(frozen=True, kw_only=True)
class CertificateRecord:
    """A certificate of the inventory.

    Attributes:
        fingerprint: the SHA-256 over the DER encoding, in hexadecimal.
        serial: the serial number, in hexadecimal.
        ca_key_id: the authorityKeyIdentifier, in hexadecimal; empty if there is none.
        key: the SHA-256 over the SubjectPublicKeyInfo, in hexadecimal.
        subject: the subject, as RFC 4514 text.
        names: the entries of subjectAltName and the common names, such as ``DNS:a.example.com``.
        not_before: the first second of the validity, in UTC.
        not_after: the last second of the validity, in UTC.
        der: the certificate in DER.
        issuance: how it came to be; None if it was imported.
    """

    fingerprint: str
    serial: str
    ca_key_id: str
    key: str
    subject: str
    names: tuple[str, ...]
    not_before: datetime.datetime
    not_after: datetime.datetime
    der: bytes = field(repr=False)
    issuance: Issuance | None = None

    def as_json(self) -> dict[str, Any]:
        """The values for a line of JSON, without the certificate itself."""
        issuance = self.issuance
        return {
            "fingerprint": self.fingerprint,
            "serial": self.serial,
            "not_before": timestamp(self.not_before),
            "not_after": timestamp(self.not_after),
            "subject": self.subject,
            "names": list(self.names),
            "key": self.key,
            "requester": issuance.requester if issuance else None,
            "authority": issuance.authority if issuance else None,
            "door": issuance.door if issuance else None,
        }


def requester_key(name: str) -> str:
    """The form of a requester's name or identifier by which certificates are found."""
    return storable(normalize_requester(name))[: name_search.MAX_KEY]
