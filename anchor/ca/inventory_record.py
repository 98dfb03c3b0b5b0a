"""What the inventory keeps of a certificate that was issued here."""

from __future__ import annotations

import datetime

from anchor.auth.presented import Origin
from anchor.auth.results import AuthDetails
from anchor.ca.issued import IssuedCertificate
from anchor.store.record_reading import described_names, key_id_text
from anchor.store.records import CertificateRecord, Issuance
from anchor.X509.signing_request import X509Csr


def certificate_record(
    issued: IssuedCertificate,
    approved: X509Csr,
    *,
    identity: AuthDetails,
    origin: Origin,
    authority: str,
    signing_ca: str,
    now: datetime.datetime,
) -> CertificateRecord:
    """The record of a certificate.

    Args:
        issued: the certificate.
        approved: the request after the fixups.
        identity: the requester.
        origin: where the request came from.
        authority: the name of the registration authority.
        signing_ca: the name of the CA in the configuration.
        now: the time of issue, in UTC.
    """
    renewal = identity.renewal
    return CertificateRecord(
        fingerprint=issued.fingerprint,
        serial=issued.serial,
        ca_key_id=key_id_text(issued.ca.key_identifier),
        key=approved.key_fingerprint,
        subject=approved.subject_text,
        names=described_names(approved.interpreted_names),
        not_before=issued.not_before,
        not_after=issued.not_after,
        der=issued.der,
        issuance=Issuance(
            issued_at=now,
            authority=authority,
            signing_ca=signing_ca,
            door=origin.door,
            requester=identity.username,
            user_id=identity.user_id,
            project_id=identity.project_id,
            groups=identity.groups,
            address=origin.address,
            request_id=origin.request_id,
            authentication=identity.authentication or None,
            credential=identity.credential.value,
            token_id=identity.token_id,
            claims=identity.claims or None,
            allowed_names=identity.allowed_names,
            renewed_from=renewal.fingerprint if renewal else None,
            lineage_since=renewal.lineage_since if renewal else None,
            renewals=renewal.renewals if renewal else 0,
            acme_account=identity.order.account_id if identity.order else None,
        ),
    )
