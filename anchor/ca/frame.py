"""What the certificates for one request have in common (RFC 5280 section 4.1)."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

from anchor.ca.blank import CertificateTemplate
from anchor.X509 import der
from anchor.X509.signatures import Verification


class Frame(NamedTuple):
    """A tbsCertificate but for its serial number and its validity."""

    head: bytes
    middle: bytes
    tail: bytes

    @classmethod
    def of(cls, octets: bytes, serial_number: bytes, validity: bytes) -> Frame | None:
        """The frame of a tbsCertificate with that serial number and validity, in DER.

        None if one of them is not found, or in more than one place.
        """
        head, *after = octets.split(serial_number)
        if len(after) != 1:
            return None
        middle, *after = after[0].split(validity)
        return cls(head, middle, *after) if len(after) == 1 else None

    def around(self, blank: CertificateTemplate) -> bytes:
        """The tbsCertificate of this frame with the serial number and validity of the blank."""
        return b"".join(
            (
                self.head,
                blank.serial_number_octets(),
                self.middle,
                blank.validity_octets(),
                self.tail,
            )
        )


class Proved:
    """A certificate that was proved, as far as it says what later ones are.

    Args:
        octets: the certificate in DER.
        signed: its tbsCertificate.
        blank: what it says.
        verify: how its signature was verified.
    """

    def __init__(
        self, octets: bytes, signed: bytes, blank: CertificateTemplate, verify: Verification
    ):
        self.verify = verify
        self._signed = signed
        self._algorithm = _algorithm_behind(signed, octets)
        self._its_own = blank.serial_number_octets(), blank.validity_octets()

    @cached_property
    def _frame(self) -> Frame | None:
        """Found when there is another certificate, as there is for few requests."""
        return Frame.of(self._signed, *self._its_own)

    def like(self, octets: bytes, blank: CertificateTemplate) -> bytes | None:
        """The tbsCertificate that says what a blank does, if it is what stands in these octets.

        None if it is not, if another algorithm stands behind it, or if there is no telling.
        """
        frame = self._frame
        if frame is None or self._algorithm is None or not octets.startswith(der.LONG):
            return None
        signed = frame.around(blank)
        return signed if octets.startswith(signed + self._algorithm, der.LONG_HEADER) else None


def _algorithm_behind(signed: bytes, octets: bytes) -> bytes | None:
    """The signatureAlgorithm of a certificate in DER, which follows what is signed; it is short."""
    if not octets.startswith(der.LONG):
        return None
    at = der.LONG_HEADER + len(signed)
    return octets[at : at + 2 + octets[at + 1]]
