"""A CA's certificate, as it is needed for those that it issues (RFC 5280)."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from anchor.errors import SigningError
from anchor.X509.name_constraints import constraints_of
from anchor.X509.signatures import CAPublicKey


@dataclass(frozen=True, eq=False)
class CACertificate:
    """A CA's certificate with what every certificate that it issues needs of it.

    Attributes:
        certificate: the CA's own certificate.
        chain: what leads from it to a root, its issuer first; empty for a root.
    """

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    public_key: CAPublicKey
    key_identifier: x509.AuthorityKeyIdentifier
    not_after: datetime.datetime

    @cached_property
    def name(self) -> bytes:
        """Its subject, which is its certificates' issuer, in DER."""
        return self.certificate.subject.public_bytes()

    @cached_property
    def name_constraints(self) -> tuple[x509.NameConstraints, ...]:
        """The name constraints of its certificate and of its chain."""
        return constraints_of((self.certificate, *self.chain))

    @classmethod
    def of(
        cls, certificate: x509.Certificate, chain: tuple[x509.Certificate, ...]
    ) -> CACertificate:
        """Work out the rest."""
        public_key = certificate.public_key()
        if not isinstance(public_key, CAPublicKey):
            raise SigningError("the CA has a key that cannot sign certificates")
        return cls(
            certificate,
            chain,
            public_key,
            authority_key_identifier(certificate),
            min(link.not_valid_after_utc for link in (certificate, *chain)),
        )

    def public_keys(self) -> frozenset[bytes]:
        """The keys of the CA and its chain, as SubjectPublicKeyInfo."""
        return frozenset(
            link.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            for link in (self.certificate, *self.chain)
        )


def authority_key_identifier(certificate: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """RFC 5280 4.2.1.1: the CA's own subjectKeyIdentifier, so that a chain can be found."""
    try:
        identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(certificate.public_key())  # type: ignore[arg-type]  # the kinds that cannot sign are refused at start-up
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier.value)
