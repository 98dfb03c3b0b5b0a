"""Everything that a certificate will say, before it is signed (RFC 5280 section 4.1)."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from anchor.X509.signing_request import Extension, X509Csr

SigningHash = hashes.SHA224 | hashes.SHA256 | hashes.SHA384 | hashes.SHA512


class Blank(NamedTuple):
    """What will stand in a certificate.

    Attributes:
        issuer: the CA's subject.
        csr: the approved request; the certificate has its subject and its key.
    """

    issuer: x509.Name
    csr: X509Csr
    serial_number: int
    not_before: datetime.datetime
    not_after: datetime.datetime
    extensions: tuple[Extension, ...]

    def sign(
        self, key: CertificateIssuerPrivateKeyTypes, signing_hash: SigningHash
    ) -> x509.Certificate:
        """The certificate, signed with the CA's key."""
        # All at once: each of the builder's methods copies it, which together costs as much as a
        # signature with P-256.  What they check is so by construction, and read back besides.
        builder = x509.CertificateBuilder(
            self.issuer,
            self.csr.subject,
            self.csr.public_key,
            self.serial_number,
            self.not_before,
            self.not_after,
            list(self.extensions),
        )
        takes_no_hash = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
        return builder.sign(key, None if takes_no_hash else signing_hash)
