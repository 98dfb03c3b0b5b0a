"""The certificate of an order with its chain (RFC 8555 section 7.4.2)."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.acme.orders import find_order
from anchor.acme.problems import AcmeProblem, ProblemType
from anchor.acme.services import AcmeServices
from anchor.store.acme_records import Account
from anchor.store.database.acme_certificates import find_certificate
from anchor.store.record_reading import key_id_text


def certificate_chain(services: AcmeServices, account: Account, order_id: str) -> bytes:
    """The certificate of an order, and those of its issuers, in PEM.

    The root is left out, since clients have to have it already.  If it is the issuer, it is there:
    some clients expect a file with at least one certificate of a CA.

    Raises:
        AcmeProblem: the account has no such certificate.
        DatabaseUnavailable: the database is away.
    """
    stored = find_certificate(services.orders.database, account.id, order_id)
    if stored is None:
        find_order(services, account, order_id)
        raise AcmeProblem(ProblemType.NOT_FOUND, "the order has no certificate, or it was deleted")
    certificate = x509.load_der_x509_certificate(stored.der)
    chain = (certificate, *_issuers(services, certificate, stored.ca_key_id))
    return b"".join(each.public_bytes(Encoding.PEM) for each in chain)


def _issuers(
    services: AcmeServices, certificate: x509.Certificate, key_id: str
) -> tuple[x509.Certificate, ...]:
    """The certificates of the CAs; none if the configuration does not have the CA any more."""
    signing_ca = services.authority.signing_ca
    named = [
        each.ca for each in signing_ca.generations if key_id_text(each.ca.key_identifier) == key_id
    ]
    # Without exactly one, the signature decides.
    ca = named[0] if len(named) == 1 else signing_ca.issuer_of(certificate)
    if ca is None:
        return ()
    issuers = (ca.certificate, *ca.chain)
    return tuple(each for each in issuers if each.issuer != each.subject) or issuers[:1]
