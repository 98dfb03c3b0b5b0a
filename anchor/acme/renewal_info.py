"""When clients should renew their certificates (RFC 9773)."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from anchor.acme.certificate_ids import CertificateId
from anchor.acme.problems import AcmeProblem, ProblemType
from anchor.acme.services import AcmeServices
from anchor.store.acme_records import Account, Identifier
from anchor.store.bans import Ban, lookup_key
from anchor.store.records import CertificateRecord
from anchor.timestamps import timestamp

_HOUR = datetime.timedelta(hours=1)
_MIN_POLL, _MAX_POLL = datetime.timedelta(seconds=60), 6 * _HOUR
# Times in the response have whole seconds, and Caddy ignores a window of a second.
_MIN_WIDTH = datetime.timedelta(seconds=2)


@dataclass(frozen=True)
class Window:
    """The time in which a client should renew a certificate.

    Attributes:
        start: its first second, in UTC.
        end: its last second, in UTC.
    """

    start: datetime.datetime
    end: datetime.datetime


@dataclass(frozen=True)
class RenewalInfo:
    """What a client learns about a certificate.

    Attributes:
        record: the certificate.
        window: when to renew it.
        revocation: the ban that makes it useless; None if there is none.
    """

    record: CertificateRecord
    window: Window
    revocation: Ban | None

    @property
    def retry_after(self) -> int:
        """After how many seconds the client should ask again."""
        # certbot does not ask before that, so it has to be short compared with the life.
        life = self.record.not_after - self.record.not_before
        return int(max(_MIN_POLL, min(_MAX_POLL, life / 24)).total_seconds())


def renewal_window(since: datetime.datetime, until: datetime.datetime, serial: str) -> Window:
    """The time to renew a certificate that is not revoked.

    It starts between a half and two thirds of the life, which depends on the serial number only:
    some clients renew in its first second, and not all machines may do so at once.  It ends before
    five sixths of the life.

    Args:
        since: when the certificate was issued, in UTC.
        until: the last second of its validity, in UTC.
        serial: its serial number in hexadecimal.
    """
    life = until - since
    digest = hashlib.sha256(serial.encode("ascii")).digest()
    fraction = int.from_bytes(digest[:6], "big") / (1 << 48)
    start = (since + life * (1 / 2 + fraction / 6)).replace(microsecond=0)
    width = datetime.timedelta(seconds=life // datetime.timedelta(seconds=12))
    return Window(start, start + max(width, _MIN_WIDTH))


def window_of(record: CertificateRecord) -> Window:
    """The time to renew a certificate of the inventory that is not revoked."""
    # notBefore is set back for clocks that lag.
    issued = record.issuance.issued_at if record.issuance else record.not_before
    return renewal_window(max(issued, record.not_before), record.not_after, record.serial)


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


def revocation(services: AcmeServices, record: CertificateRecord) -> Ban | None:
    """The ban of a certificate or its key that is in force; None if there is none.

    Raises:
        DatabaseUnavailable: the database is away.
    """
    keys = [lookup_key("certificate", record.fingerprint), lookup_key("key", record.key)]
    bans = services.bans.find(keys, services.clock())
    return min(bans, key=lambda ban: ban.since, default=None)


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
        raise AcmeProblem(
            ProblemType.ALREADY_REPLACED,
            "another order replaces that certificate already; leave 'replaces' out for one more",
        )


def _parse(certificate_id: str, prefix: str = "") -> CertificateId:
    try:
        return CertificateId.parse(certificate_id)
    except ValueError as error:
        raise AcmeProblem(ProblemType.MALFORMED, f"{prefix}{error}") from None
