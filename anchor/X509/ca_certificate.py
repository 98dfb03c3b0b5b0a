"""A CA's certificate and the fields that issued certificates take from it (RFC 5280)."""

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
    """A CA's certificate, its chain, and the values for the certificates that it issues.

    Attributes:
        certificate: the CA's certificate.
        chain: the certificates of its issuers up to a root, the nearest first; empty for a root.
        public_key: the CA's public key.
        key_identifier: the authorityKeyIdentifier of issued certificates.
        not_after: the earliest notAfter of the certificate and its chain.
    """

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    public_key: CAPublicKey
    key_identifier: x509.AuthorityKeyIdentifier
    not_after: datetime.datetime

    @cached_property
    def subject(self) -> x509.Name:
        """The CA's subject: the issuer of its certificates."""
        return self.certificate.subject

    @cached_property
    def name_constraints(self) -> tuple[x509.NameConstraints, ...]:
        """The name constraints of the certificate and its chain."""
        return constraints_of((self.certificate, *self.chain))

    @classmethod
    def of(
        cls, certificate: x509.Certificate, chain: tuple[x509.Certificate, ...]
    ) -> CACertificate:
        """Build the value from a certificate and its chain.

        Raises:
            SigningError: the key is of a kind that cannot sign certificates.
        """
        public_key = certificate.public_key()
        if not isinstance(public_key, CAPublicKey):
            raise SigningError("the CA has a key that cannot sign certificates")
        return cls(
            certificate=certificate,
            chain=chain,
            public_key=public_key,
            key_identifier=authority_key_identifier(certificate),
            not_after=min(link.not_valid_after_utc for link in (certificate, *chain)),
        )

    def public_keys(self) -> frozenset[bytes]:
        """The public keys of the CA and its chain, as DER-encoded SubjectPublicKeyInfo."""
        return frozenset(
            link.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            for link in (self.certificate, *self.chain)
        )


def authority_key_identifier(certificate: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The CA's subjectKeyIdentifier, or the hash of its key (RFC 5280 section 4.2.1.1)."""
    try:
        identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(certificate.public_key())  # type: ignore[arg-type]  # kinds that cannot sign are rejected at start-up
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier.value)
