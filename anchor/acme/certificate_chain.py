"""The certificate of an order with its chain (RFC 8555 section 7.4.2)."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.acme.orders import find_order
from anchor.acme.problems import AcmeProblem, ProblemType
from anchor.acme.services import AcmeServices
from anchor.store.acme_records import Account, OrderStatus


def certificate_chain(services: AcmeServices, account: Account, order_id: str) -> bytes:
    """The certificate of an order, and those of its issuers, in PEM.

    The root is left out, since clients have to have it already.  If it is the issuer, it is there:
    some clients expect a file with at least one certificate of a CA.

    Raises:
        AcmeProblem: the account has no such certificate.
        DatabaseUnavailable: the database is away.
    """
    order = find_order(services, account, order_id)
    der = None
    if order.status is OrderStatus.VALID and order.certificate is not None:
        der = services.authority.inventory.der(order.certificate)
    if der is None:
        raise AcmeProblem(ProblemType.NOT_FOUND, "the order has no certificate, or no longer")
    certificate = x509.load_der_x509_certificate(der)
    chain = (certificate, *_issuers(services, certificate))
    return b"".join(each.public_bytes(Encoding.PEM) for each in chain)


def _issuers(services: AcmeServices, certificate: x509.Certificate) -> tuple[x509.Certificate, ...]:
    """The certificates of the CAs; none if the configuration does not have the CA any more."""
    ca = services.authority.signing_ca.issuer_of(certificate)
    if ca is None:
        return ()
    issuers = (ca.certificate, *ca.chain)
    return tuple(each for each in issuers if each.issuer != each.subject) or issuers[:1]
