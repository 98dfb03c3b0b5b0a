"""Revocation (RFC 8555 section 7.6): a ban without an end, as relying parties are told nothing."""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography import x509

from anchor.acme.problems import AcmeProblem, ProblemType, malformed
from anchor.acme.renewal_info import is_of_authority
from anchor.acme.requests import SignedRequest
from anchor.acme.services import AcmeServices
from anchor.audit import events
from anchor.audit.events import REVOCATION, Event
from anchor.auth.presented import Origin
from anchor.auth.results import CredentialKind
from anchor.errors import UnreadableRequest
from anchor.jose.compact import decode_base64url
from anchor.store.acme_records import Account, Identifier
from anchor.store.bans import Ban, Kind
from anchor.store.database.certificate_bans import find_certificate_bans
from anchor.store.records import CertificateRecord
from anchor.X509.parse_errors import translate_parse_errors

KEY_COMPROMISE = 1
# RFC 5280 section 5.3.1.  The others are for CAs and for certificates on hold.
REASONS = {
    0: "unspecified",
    KEY_COMPROMISE: "keyCompromise",
    3: "affiliationChanged",
    4: "superseded",
    5: "cessationOfOperation",
    9: "privilegeWithdrawn",
}


def revoke(services: AcmeServices, request: SignedRequest, origin: Origin) -> None:
    """Revoke a certificate, and record that.

    The key is banned, and never certified again, if it has signed the request, or if the account
    that ordered the certificate says that it is compromised.  Otherwise only the certificate is
    banned, and cannot be renewed without a secret.  An expired certificate is revoked in the same
    way.

    Args:
        services: the authority.
        request: the request, which an account or the key of the certificate has signed.
        origin: where it came from.

    Raises:
        AcmeProblem: the certificate is unknown or revoked already, or the signer may not do it.
        DatabaseUnavailable: the database is away, locked or full.
        AuditError: the revocation holds, but could not be recorded.
    """
    members = request.members()
    record = _find(services, members.get("certificate"))
    reason = _reason(members)
    holder = record.issuance.requester if record.issuance else ""
    user = request.account.requester if request.account else holder
    details = _details(request, record, reason)
    try:
        _require_permission(services, request, record)
        details["banned"] = _ban(services, request, record, reason)
    except BaseException as error:
        _record(services, user, origin, details, error)
        raise
    # The ban stays if this fails: the client may have said that somebody else has the key.
    _record(services, user, origin, details)


def _find(services: AcmeServices, text: object) -> CertificateRecord:
    wrong = malformed("'certificate' should be the certificate in DER, in base64url")
    if not isinstance(text, str):
        raise wrong
    try:
        der = decode_base64url(text)
    except ValueError:
        raise wrong from None
    record = services.authority.inventory.find(hashlib.sha256(der).hexdigest())
    if record is not None and is_of_authority(services, record):
        return record
    try:
        with translate_parse_errors("certificate"):
            x509.load_der_x509_certificate(der)
    except UnreadableRequest:
        raise wrong from None
    raise AcmeProblem(
        ProblemType.NOT_FOUND, "this registration authority has not issued the certificate"
    )


def _reason(members: dict[str, Any]) -> int:
    reason = members.get("reason")
    if reason is None:
        return 0
    if not isinstance(reason, int) or isinstance(reason, bool):
        raise malformed("'reason' should be a number")
    if reason not in REASONS:
        allowed = ", ".join(f"{number} ({name})" for number, name in REASONS.items())
        raise AcmeProblem(
            ProblemType.BAD_REVOCATION_REASON,
            f"'reason' is {reason}, and should be one of {allowed}",
        )
    return reason


def _require_permission(
    services: AcmeServices, request: SignedRequest, record: CertificateRecord
) -> None:
    account = request.account
    if account is None:
        if request.key.fingerprint != record.key:
            raise AcmeProblem(
                ProblemType.UNAUTHORIZED,
                "the key in 'jwk' is not the certificate's; sign with the certificate's key, or "
                "with an account",
            )
    elif not _is_of_account(record, account) and not _is_authorized(services, record, account):
        raise AcmeProblem(
            ProblemType.UNAUTHORIZED,
            "the account has neither ordered the certificate nor valid authorizations for all of "
            f"its names: {', '.join(record.names)}",
        )


def _is_of_account(record: CertificateRecord, account: Account) -> bool:
    return record.issuance is not None and record.issuance.acme_account == account.id


def _is_authorized(services: AcmeServices, record: CertificateRecord, account: Account) -> bool:
    pairs = [name.lower().split(":", 1) for name in record.names]
    identifiers = {Identifier(*pair) for pair in pairs if pair[0] in ("dns", "ip")}
    values = {each.value for each in identifiers}
    # A common name has to be one of the others, too.
    return all(value in values for _, value in pairs) and services.orders.has_authorizations(
        account.id, identifiers
    )


def _ban(
    services: AcmeServices, request: SignedRequest, record: CertificateRecord, reason: int
) -> Kind:
    """Ban the key or the certificate without an end; return which of them."""
    now = services.clock().replace(microsecond=0)
    bans_key = _bans_key(request, record, reason)
    kind: Kind = "key" if bans_key else "certificate"
    value = record.key if bans_key else record.fingerprint
    # A ban of the key makes one of the certificate needless.
    is_banned = not bans_key and any(
        ban.kind == "key" and ban.until is None
        for ban in find_certificate_bans(services.bans.database, record, now)
    )
    who = f"account {request.account.id}" if request.account else "the certificate's key"
    text = f"revoked over ACME by {who}; reason {reason} ({REASONS[reason]})"
    if is_banned or not services.bans.add_for_good(
        Ban(kind=kind, value=value, since=now, reason=text)
    ):
        raise AcmeProblem(ProblemType.ALREADY_REVOKED, "the certificate is revoked already")
    return kind


def _bans_key(request: SignedRequest, record: CertificateRecord, reason: int) -> bool:
    if request.account is None:
        return True
    # Without challenges, every account that may have the names is authorized: one machine of a
    # fleet could ban the keys of all others.
    return reason == KEY_COMPROMISE and _is_of_account(record, request.account)


def _details(request: SignedRequest, record: CertificateRecord, reason: int) -> dict[str, Any]:
    issuance, account = record.issuance, request.account
    credential = CredentialKind.CERTIFICATE if account is None else CredentialKind.ACME
    details = events.describe_method((issuance and issuance.authentication) or "", credential)
    if account is not None:
        details["acme_account"] = account.id
    return details | {
        "subject": record.subject,
        "names": record.names,
        "serial": record.serial,
        "fingerprint": record.fingerprint,
        "not_before": record.not_before.isoformat(),
        "not_after": record.not_after.isoformat(),
        "revocation_reason": REASONS[reason],
    }


def _record(
    services: AcmeServices,
    user: str,
    origin: Origin,
    details: dict[str, Any],
    error: BaseException | None = None,
) -> None:
    services.authority.audit.record(
        Event(
            kind=REVOCATION,
            time=services.clock(),
            authority=services.authority.name,
            user=user,
            address=origin.address,
            request_id=origin.request_id,
            reasons=() if error is None else events.reasons(error),
            details=details,
        )
    )
