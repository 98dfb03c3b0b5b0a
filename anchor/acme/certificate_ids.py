"""How ACME clients identify certificates (RFC 9773 section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

from anchor.jose.compact import decode_base64url, encode_base64url
from anchor.store.database.certificates import Inventory
from anchor.store.records import CertificateRecord

# RFC 5280 section 4.1.2.2: 20 octets, with the leading zero of a number whose first bit is set.
_MAX_SERIAL = 20
_MAX_TEXT = 255
# The inventory stores no more bytes of the authorityKeyIdentifier than these.
_RECORDED = 32


@dataclass(frozen=True)
class CertificateId:
    """The issuer and the serial number of a certificate.

    Attributes:
        key_identifier: the keyIdentifier in its authorityKeyIdentifier.
        serial: its serial number, which is positive.
    """

    key_identifier: bytes
    serial: int

    @classmethod
    def parse(cls, text: str) -> CertificateId:
        """Read the text form.

        Raises:
            ValueError: it is malformed; the message is for the client.
        """
        key_identifier, dot, serial = text.partition(".")
        if not dot or len(text) > _MAX_TEXT:
            raise ValueError(
                "a certificate is identified by the key identifier of its issuer and its serial "
                "number, in base64url with a '.' between them"
            )
        octets = decode_base64url(serial, "the serial number")
        number = int.from_bytes(octets, "big", signed=True)
        if len(octets) > _MAX_SERIAL or number <= 0 or octets != _der_content(number):
            raise ValueError(
                "the serial number should be a positive number of at most 20 bytes, without "
                "needless zeros before it"
            )
        return cls(decode_base64url(key_identifier, "the key identifier"), number)

    @classmethod
    def of(cls, record: CertificateRecord) -> CertificateId:
        """The identifier of a certificate in the inventory."""
        return cls(bytes.fromhex(record.ca_key_id), int(record.serial, 16))

    def __str__(self) -> str:
        serial = encode_base64url(_der_content(self.serial))
        return f"{encode_base64url(self.key_identifier)}.{serial}"

    def find(self, inventory: Inventory) -> CertificateRecord | None:
        """The certificate; None if it is not in the inventory.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        return inventory.find_serial(f"{self.serial:x}", self.key_identifier[:_RECORDED].hex())


def _der_content(number: int) -> bytes:
    # ITU-T X.690 section 8.3: as few bytes as possible, and the first bit is the sign.
    return number.to_bytes(number.bit_length() // 8 + 1, "big")
