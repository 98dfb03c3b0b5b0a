"""The certificate that an order replaces (RFC 9773 section 5)."""

from __future__ import annotations

from collections.abc import Iterable

from anchor.acme.certificate_ids import CertificateId
from anchor.acme.problems import AcmeProblem, ProblemType, malformed
from anchor.acme.services import AcmeServices
from anchor.store.acme_records import Account, Identifier


def check_replaces(
    services: AcmeServices,
    account: Account,
    identifiers: Iterable[Identifier],
    certificate_id: str,
) -> None:
    """Require that an order may replace a certificate (RFC 9773 section 5).

    The type is alreadyReplaced for all reasons but a wrong form: lego and cert-manager repeat the
    order without ``replaces`` after this type only, for example after they changed the CA.

    Args:
        services: the authority.
        account: the account that orders.
        identifiers: the names in the order.
        certificate_id: the member ``replaces`` of the order.

    Raises:
        AcmeProblem: it may not.
        DatabaseUnavailable: the database is away.
    """
    try:
        parsed = CertificateId.parse(certificate_id)
    except ValueError as error:
        raise malformed(f"'replaces' is malformed: {error}") from None
    record = parsed.find(services.authority.inventory)
    issuance = record.issuance if record else None
    if record is None or issuance is None or issuance.acme_account != account.id:
        raise _refused(
            "'replaces' should identify a certificate of this account; leave it out if there is "
            "none"
        )
    names = {name.lower() for name in record.names}
    if not any(f"{each.type}:{each.value}".lower() in names for each in identifiers):
        raise _refused(
            "the certificate in 'replaces' has none of the order's names: "
            f"it is for {', '.join(record.names)}"
        )
    if services.orders.is_replaced(certificate_id):
        raise already_replaced()


def already_replaced() -> AcmeProblem:
    """The problem of a second order that replaces the same certificate."""
    return _refused(
        "another order already replaces that certificate; leave 'replaces' out of a further order"
    )


def _refused(detail: str) -> AcmeProblem:
    return AcmeProblem(ProblemType.ALREADY_REPLACED, detail)
