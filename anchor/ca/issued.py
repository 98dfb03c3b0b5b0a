"""A certificate that may be sent to the requester."""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.X509.ca_certificate import CACertificate


@dataclass(frozen=True, kw_only=True, eq=False)
class IssuedCertificate:
    """A certificate that was signed and verified.

    Attributes:
        certificate: the certificate.
        ca: the CA certificate that issued it.
        dropped_extensions: the requested extensions that it does not contain, as dotted OIDs.
        dropped_attributes: the requested subject attributes that it does not contain.
        signing_seconds: the time to build, sign and verify it.
    """

    certificate: x509.Certificate
    ca: CACertificate
    dropped_extensions: tuple[str, ...] = ()
    dropped_attributes: tuple[str, ...] = ()
    signing_seconds: float = 0.0

    @cached_property
    def der(self) -> bytes:
        """The certificate in DER."""
        return self.certificate.public_bytes(Encoding.DER)

    @cached_property
    def pem(self) -> bytes:
        """The certificate in PEM, in ASCII."""
        return self.certificate.public_bytes(Encoding.PEM)

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 over the DER encoding, in hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """The CA's certificate and its issuers, up to the root."""
        return (self.ca.certificate, *self.ca.chain)

    @cached_property
    def serial(self) -> str:
        """The serial number in hexadecimal."""
        return f"{self.certificate.serial_number:x}"

    @property
    def not_before(self) -> datetime.datetime:
        """The first second of its validity, in UTC."""
        return self.certificate.not_valid_before_utc

    @property
    def not_after(self) -> datetime.datetime:
        """The last second of its validity, in UTC (RFC 5280 section 4.1.2.5)."""
        return self.certificate.not_valid_after_utc

    @property
    def renew_after(self) -> datetime.datetime:
        """The time to renew it: when a third of its validity is left."""
        validity = self.not_after - self.not_before
        return (self.not_after - validity / 3).replace(microsecond=0)
