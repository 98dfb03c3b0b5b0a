"""A text for the holder of a revoked certificate (RFC 9773 section 4.2)."""

from __future__ import annotations

from anchor.acme.problems import AcmeProblem, ProblemType
from anchor.acme.renewal_info import RenewalInfo
from anchor.timestamps import timestamp


def explain_revocation(info: RenewalInfo) -> str:
    """A text for people: what it means that a certificate is revoked.

    Raises:
        AcmeProblem: it is not revoked.
    """
    record, ban = info.record, info.revocation
    if ban is None:
        raise AcmeProblem(ProblemType.NOT_FOUND, "the certificate is not revoked")
    effect = (
        "Its key gets no more certificates: make a new key."
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
