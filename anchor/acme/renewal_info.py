"""When clients should renew their certificates (RFC 9773)."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from anchor.acme.certificate_ids import CertificateId
from anchor.acme.problems import AcmeProblem, ProblemType, malformed
from anchor.acme.renewal_windows import Window, window_of
from anchor.acme.services import AcmeServices
from anchor.store.database.certificate_bans import CertificateBan, find_certificate_bans
from anchor.store.records import CertificateRecord

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
    try:
        parsed = CertificateId.parse(certificate_id)
    except ValueError as error:
        raise malformed(str(error)) from None
    record = parsed.find(services.authority.inventory)
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


def is_of_authority(services: AcmeServices, record: CertificateRecord) -> bool:
    """True if the registration authority has issued a certificate."""
    return record.issuance is not None and record.issuance.authority == services.authority.name
