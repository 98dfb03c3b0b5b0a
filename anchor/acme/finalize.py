"""Finalizing an order: the request for its certificate (RFC 8555 section 7.4)."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import NamedTuple

from cryptography import x509

from anchor.acme import limits
from anchor.acme.authorizations import require_authorized
from anchor.acme.identifiers import fold, general_name
from anchor.acme.identity import recorded_identity
from anchor.acme.orders import KEPT, find_order, require_profile
from anchor.acme.problems import AcmeProblem, ProblemType, malformed
from anchor.acme.requests import SignedRequest
from anchor.acme.services import AcmeServices
from anchor.acme.settings import AcmeSettings
from anchor.auth.presented import AccountKey, Origin
from anchor.auth.results import AuthDetails
from anchor.ca.issued import IssuedCertificate
from anchor.errors import MAX_SHOWN, OrderNotReady, RequestError, UnreadableRequest
from anchor.jose.compact import decode_base64url
from anchor.jose.public_keys import PublicJwk, public_jwk_of
from anchor.store.acme_records import Account, Identifier, Order, OrderStatus
from anchor.X509.general_name_text import describe
from anchor.X509.name_patterns import parse_address
from anchor.X509.requested_names import ip_address_of
from anchor.X509.signing_request import X509Csr

_MAX_LISTED = 5


class Finalized(NamedTuple):
    """The result of finalizing an order.

    Attributes:
        certificate: the certificate.
        order: the order after that.
    """

    certificate: IssuedCertificate
    order: Order


def authenticate(
    services: AcmeServices, account: Account, order: Order, origin: Origin
) -> AuthDetails:
    """The requester, for an order that is ready.

    Args:
        services: the authority.
        account: the account, whose key has signed the request.
        order: its order, with the status at this time.
        origin: where the request came from.

    Raises:
        OrderNotReady: the order has a certificate already, or has ended, or its names need a
            challenge now.
        NotAuthenticated: the token of the account was revoked, or it has none and needs one.
        DatabaseUnavailable: the database is away.
    """
    if order.status is not OrderStatus.READY:
        raise OrderNotReady(f"the order is {order.status.value}, and should be ready")
    require_authorized(services, account, order)
    presented = AccountKey(recorded=recorded_identity(services, account, order.id), origin=origin)
    return services.authority.authenticate(presented)


def issue(
    services: AcmeServices,
    identity: AuthDetails,
    order: Order,
    request: SignedRequest,
    origin: Origin,
) -> Finalized:
    """The certificate for an order, stored and recorded; the order is valid then.

    Args:
        services: the authority.
        identity: the requester.
        order: the order.
        request: the request to finalize the order.
        origin: where it came from.

    Raises:
        RequestError: the CSR does not fit the order, the account has too many certificates, or the
            order is not ready any more.
        ValidationFailed: the policy rejects the CSR; the order stays ready.
        DatabaseUnavailable: the database is away, locked or full.
        AnchorError: Anchor is at fault; the text is for the log.
    """
    try:
        validity = _validity(services.settings, order)
        csr = _read_csr(request.members().get("csr"))
        _require_names(csr, order)
        _require_other_key(services, csr, request.key)
        # The client may have created many orders before it got the first certificate.
        limits.require_due(services, request.require_account(), order.identifiers, order.replaces)
    except RequestError as error:
        services.authority.record_unreadable(identity, origin, error)
        raise
    complete = _with_alternative_names(csr, order)
    issued = services.authority.issue(identity, complete, origin, validity=validity)
    completed = services.orders.complete(order.id, issued.not_after + KEPT)
    return Finalized(issued, completed or find_order(services, request.require_account(), order.id))


def _validity(settings: AcmeSettings, order: Order) -> datetime.timedelta | None:
    """The validity of the order's profile; None for that of the CA."""
    if order.profile is None:
        return None
    profile = require_profile(settings, order.profile)
    return None if profile.valid_hours is None else datetime.timedelta(hours=profile.valid_hours)


def _require_other_key(services: AcmeServices, csr: X509Csr, account_key: PublicJwk) -> None:
    """Require a key that no account of the authority has (RFC 8555 section 11.1).

    Raises:
        AcmeProblem: an account has it.
        DatabaseUnavailable: the database is away.
    """
    if csr.key_fingerprint == account_key.fingerprint:
        raise _bad_csr("the key belongs to the account: use another one for the certificate")
    key = public_jwk_of(csr.public_key)
    # Only the holder of a key learns that it has an account.
    if key is None or not csr.submitted.signature_is_valid:
        return
    if services.accounts.find_key(services.authority.name, key.thumbprint.hex()) is not None:
        raise _bad_csr("the key belongs to another account: use another one for the certificate")


def _bad_csr(detail: str) -> AcmeProblem:
    return AcmeProblem(ProblemType.BAD_CSR, detail)


def _read_csr(value: object) -> X509Csr:
    if not isinstance(value, str):
        raise malformed("'csr' should be a string: the request in DER, in base64url")
    try:
        return X509Csr.from_der(decode_base64url(value, "'csr'"))
    except ValueError as error:
        raise malformed(str(error)) from None
    except UnreadableRequest as error:
        raise _bad_csr(f"the request is not accepted: {error}") from None


def _require_names(csr: X509Csr, order: Order) -> None:
    """Require exactly the names of the order.

    Raises:
        AcmeProblem: a name is missing, or is not in the order.
    """
    requested = dict([*_alternative_names(csr), *_common_names(csr)])
    missing = [str(each) for each in order.identifiers if each not in requested]
    unexpected = [text for name, text in requested.items() if name not in order.identifiers]
    wrong = [
        f"{what}: {_listed(names)}"
        for what, names in (
            ("names of the order are missing", missing),
            ("names are not in the order", unexpected),
        )
        if names
    ]
    if wrong:
        raise _bad_csr(
            f"the request should have exactly the names of the order; {'; '.join(wrong)}"
        )


def _with_alternative_names(csr: X509Csr, order: Order) -> X509Csr:
    """The request with each name of the order in subjectAltName.

    Some clients send a name as the common name only, where TLS clients do not look (RFC 9525
    section 2).
    """
    present = sorted(identifier for identifier, _ in _alternative_names(csr))
    if present == sorted(order.identifiers):
        return csr
    return csr.with_alternative_names(map(general_name, order.identifiers))


def _alternative_names(csr: X509Csr) -> Iterator[tuple[Identifier, str]]:
    """The entries of subjectAltName, each as an identifier and as a text for messages."""
    for name in csr.alternative_names:
        text = describe(name)
        address = ip_address_of(name)
        if address is not None:
            yield Identifier("ip", str(name.value)), text
        elif isinstance(name, x509.DNSName):
            yield Identifier("dns", fold(name.value)), text
        else:
            # No identifier has this type.
            yield Identifier("", text), text


def _common_names(csr: X509Csr) -> Iterator[tuple[Identifier, str]]:
    for common_name in csr.common_names:
        kind = "dns" if parse_address(common_name) is None else "ip"
        value = fold(common_name) if kind == "dns" else str(parse_address(common_name))
        yield Identifier(kind, value), f"CN:{common_name}"


def _listed(names: list[str]) -> str:
    listed = ", ".join(f"{name[:MAX_SHOWN]!a}" for name in names[:_MAX_LISTED])
    more = len(names) - _MAX_LISTED
    return f"{listed} and {more} more" if more > 0 else listed
