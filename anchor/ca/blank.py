"""Everything that a certificate will say, and how it is written (RFC 5280 section 4.1)."""

from __future__ import annotations

import datetime
import functools
from typing import NamedTuple

from anchor.X509 import der
from anchor.X509.ca_certificate import CACertificate
from anchor.X509.signatures import Algorithm
from anchor.X509.signing_request import Extension, X509Csr

VERSION_3 = b"\xa0\x03\x02\x01\x02"
_EXTENSIONS = 0xA3
# RFC 5280 4.1.2.5: the years that a UTCTime can say.
_UTC_YEARS = range(1950, 2050)


class CertificateTemplate(NamedTuple):
    """What will stand in a certificate.

    Attributes:
        csr: the approved request; the certificate has its subject and its key.
    """

    issuer: CACertificate
    csr: X509Csr
    serial_number: int
    not_before: datetime.datetime
    not_after: datetime.datetime
    extensions: tuple[Extension, ...]

    def sign(self, algorithm: Algorithm) -> bytes:
        """The certificate in DER, signed as the CA's key signs."""
        signed = self._to_be_signed(algorithm.identifier)
        signature = der.bit_string(algorithm.sign(signed))
        return der.value(der.SEQUENCE, signed, algorithm.identifier, signature)

    def _to_be_signed(self, identifier: bytes) -> bytes:
        """The tbsCertificate (RFC 5280 section 4.1.2)."""
        holder, rest = self._of_the_request()
        return der.value(
            der.SEQUENCE,
            VERSION_3,
            self.serial_number_octets(),
            identifier,
            self.issuer.name,
            self.validity_octets(),
            holder,
            rest,
        )

    def serial_number_octets(self) -> bytes:
        """The serial number in DER."""
        return der.integer(self.serial_number)

    def validity_octets(self) -> bytes:
        """The validity in DER."""
        return _validity(self.not_before, self.not_after)

    def _of_the_request(self) -> tuple[bytes, bytes]:
        """The subject and its key, and the extensions, in DER."""
        place = (CertificateTemplate, self.issuer)
        known: tuple[bytes, bytes] | None = self.csr.notes.get(place)
        if known is None:
            extensions = der.value(der.SEQUENCE, *map(_extension, self.extensions))
            known = self.csr.notes[place] = (
                self.csr.subject.public_bytes() + self.csr.public_key_info,
                der.value(_EXTENSIONS, extensions),
            )
        return known


def _extension(extension: Extension) -> bytes:
    return der.value(
        der.SEQUENCE,
        der.object_identifier(extension.oid),
        der.TRUE if extension.critical else b"",
        der.value(der.OCTET_STRING, extension.value.public_bytes()),
    )


# Remembered, because the certificates of one second have their times in common.
@functools.lru_cache(maxsize=64)
def _validity(not_before: datetime.datetime, not_after: datetime.datetime) -> bytes:
    """RFC 5280 section 4.1.2.5."""
    return der.value(der.SEQUENCE, _time(not_before), _time(not_after))


def _time(moment: datetime.datetime) -> bytes:
    """RFC 5280 section 4.1.2.5."""
    rest = f"{moment:%m%d%H%M%S}Z"
    if moment.year in _UTC_YEARS:
        return der.value(der.UTC_TIME, f"{moment.year % 100:02}{rest}".encode("ascii"))
    return der.value(der.GENERALIZED_TIME, f"{moment.year:04}{rest}".encode("ascii"))
