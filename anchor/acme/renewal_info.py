"""When clients should renew their certificates (RFC 9773)."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

from anchor.acme.certificate_ids import CertificateId
from anchor.acme.problems import AcmeProblem, ProblemType
from anchor.acme.renewal_windows import Window, window_of
from anchor.acme.services import AcmeServices
from anchor.store.acme_records import Account, Identifier
from anchor.store.database.certificate_bans import CertificateBan, find_certificate_bans
from anchor.store.records import CertificateRecord
from anchor.timestamps import timestamp

_HOUR = datetime.timedelta(hours=1)
_MIN_POLL, _MAX_POLL = datetime.timedelta(seconds=60), 6 * _HOUR


@dataclass(frozen=True)
class RenewalInfo:
    """What a client learns about a certificate.

    Attributes:
        record: the certificate.
        window: when to renew it.
        revocation: the ban that revokes it; None if there is none.
    """

    record: CertificateRecord
    window: Window
    revocation: CertificateBan | None

    @property
    def retry_after(self) -> int:
        """After how many seconds the client should ask again."""
        # certbot does not ask before that, so it has to be short compared with the life.
        life = self.record.not_after - self.record.not_before
        return int(max(_MIN_POLL, min(_MAX_POLL, life / 24)).total_seconds())


def look_up(services: AcmeServices, certificate_id: str) -> RenewalInfo:
    """What the holder of a certificate should know.

    Raises:
        AcmeProblem: the identifier is malformed, or is not of a certificate of the authority.
        DatabaseUnavailable: the database is away.
    """
    record = _parse(certificate_id).find(services.authority.inventory)
    if record is None or not is_of_authority(services, record):
        raise AcmeProblem(
            ProblemType.NOT_FOUND, "this registration authority has issued no such certificate"
        )
    ban = revocation(services, record)
    if ban is None:
        return RenewalInfo(record, window_of(record), None)
    # It has passed, so that clients renew at once.
    return RenewalInfo(record, Window(ban.since - 2 * _HOUR, ban.since - _HOUR), ban)


def revocation(services: AcmeServices, record: CertificateRecord) -> CertificateBan | None:
    """The oldest ban of a certificate or its key that is in force; None if there is none.

    Raises:
        DatabaseUnavailable: the database is away.
    """
    bans = find_certificate_bans(services.bans.database, record, services.clock())
    return bans[0] if bans else None


def explain_revocation(info: RenewalInfo) -> str:
    """A text for people: what it means that a certificate is revoked.

    Raises:
        AcmeProblem: it is not revoked.
    """
    record, ban = info.record, info.revocation
    if ban is None:
        raise AcmeProblem(ProblemType.NOT_FOUND, "the certificate is not revoked")
    effect = (
        "Its key gets no certificate any more: make a new key."
        if ban.kind == "key"
        else "No certificate is issued to those who present it instead of a secret."
    )
    return (
        f"The certificate with the serial number {record.serial} was revoked at "
        f"{timestamp(ban.since)}.\n"
        f"{effect}\n\n"
        "This authority has neither CRLs nor OCSP: nobody who trusts the certificate is told, and\n"
        f"it stays valid until {timestamp(record.not_after)}. Replace it now, and if its key is\n"
        "compromised, tell those who trust it.\n"
    )


def is_of_authority(services: AcmeServices, record: CertificateRecord) -> bool:
    """True if the registration authority has issued a certificate."""
    return record.issuance is not None and record.issuance.authority == services.authority.name


def check_replaces(
    services: AcmeServices,
    account: Account,
    identifiers: Iterable[Identifier],
    certificate_id: str,
) -> None:
    """Require that an order may replace a certificate (RFC 9773 section 5).

    Args:
        services: the authority.
        account: the account that orders.
        identifiers: the names in the order.
        certificate_id: the member ``replaces`` of the order.

    Raises:
        AcmeProblem: it may not.
        DatabaseUnavailable: the database is away.
    """
    record = _parse(certificate_id, "'replaces' is malformed: ").find(services.authority.inventory)
    issuance = record.issuance if record else None
    if record is None or issuance is None or issuance.acme_account != account.id:
        raise AcmeProblem(
            ProblemType.MALFORMED,
            "'replaces' should identify a certificate of this account; leave it out if there is "
            "none",
        )
    names = {name.lower() for name in record.names}
    if not any(f"{each.type}:{each.value}".lower() in names for each in identifiers):
        raise AcmeProblem(
            ProblemType.MALFORMED,
            "the certificate in 'replaces' has none of the order's names: "
            f"it is for {', '.join(record.names)}",
        )
    if services.orders.is_replaced(certificate_id):
        raise already_replaced()


def already_replaced() -> AcmeProblem:
    """The problem of a second order that replaces the same certificate."""
    return AcmeProblem(
        ProblemType.ALREADY_REPLACED,
        "another order replaces that certificate already; leave 'replaces' out for one more",
    )


def _parse(certificate_id: str, prefix: str = "") -> CertificateId:
    try:
        return CertificateId.parse(certificate_id)
    except ValueError as error:
        raise AcmeProblem(ProblemType.MALFORMED, f"{prefix}{error}") from None
