"""The octets that the certificates for one request have in common (RFC 5280 section 4.1)."""

from __future__ import annotations

from typing import NamedTuple

from anchor.blank import Blank


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

    def around(self, blank: Blank) -> bytes:
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
