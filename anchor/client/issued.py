"""A certificate from the service, in the forms that are written to files."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

ObtainedWith = Literal["secret", "certificate"]


@dataclass(frozen=True)
class IssuedCertificate:
    """A new certificate that passed all checks.

    Attributes:
        certificate: the certificate.
        chain: its issuer, and the CAs up to a root.
        renew_after: the renewal time that the service asked for, if it is within the validity.
        clock_error: a sentence about this machine's clock if it is wrong, or else empty.
        credential_warning: a sentence about the credential; may be empty.
        obtained_with: the kind of credential that the service accepted.
        why_secret: why a renewal used the secret and not the certificate; may be empty.
    """

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    renew_after: datetime.datetime | None
    clock_error: str = ""
    credential_warning: str = ""
    obtained_with: ObtainedWith = "secret"
    why_secret: str = ""

    @property
    def warning(self) -> str:
        """What the user should know; may be empty."""
        return "; ".join(filter(None, (self.clock_error, self.credential_warning)))

    @property
    def pem(self) -> bytes:
        """The certificate alone, in PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def chain_pem(self) -> bytes:
        """The chain, in PEM."""
        return b"".join(link.public_bytes(Encoding.PEM) for link in self.chain)

    @property
    def full_chain(self) -> tuple[x509.Certificate, ...]:
        """The certificates that a server sends: certificate and chain without the root."""
        return (self.certificate, *(link for link in self.chain if link.issuer != link.subject))

    @property
    def full_chain_pem(self) -> bytes:
        """The certificates that a server sends, in PEM."""
        return b"".join(link.public_bytes(Encoding.PEM) for link in self.full_chain)
