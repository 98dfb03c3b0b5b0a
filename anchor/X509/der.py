"""Writing DER, and finding in it what is signed (X.690 section 10)."""

from __future__ import annotations

import functools

from cryptography import x509
from cryptography.hazmat import asn1

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING = 0x01, 0x02, 0x03, 0x04
UTC_TIME, GENERALIZED_TIME, SEQUENCE, SET = 0x17, 0x18, 0x30, 0x31

TRUE = b"\x01\x01\xff"


def value(tag: int, *contents: bytes) -> bytes:
    """A value of a kind with these contents."""
    octets = b"".join(contents)
    size = len(octets)
    if size < 0x80:
        return b"%c%c%b" % (tag, size, octets)
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return b"%c%c%b%b" % (tag, 0x80 | len(length), length, octets)


def integer(number: int) -> bytes:
    """A number that is not negative, in as few octets as it takes, of which the first bit is 0."""
    return value(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def bit_string(octets: bytes) -> bytes:
    """A whole number of octets."""
    return value(BIT_STRING, b"\x00", octets)


# A SEQUENCE whose length takes two octets, so that its contents begin after four.
LONG = b"\x30\x82"
LONG_HEADER = 4


def signed_part(octets: bytes) -> bytes | None:
    """What is signed of a certificate or a request: the first value in it.

    None if it, or the whole, is not of the size that nearly all are.
    """
    if octets.startswith(LONG) and octets.startswith(LONG, LONG_HEADER):
        return octets[LONG_HEADER : 2 * LONG_HEADER + int.from_bytes(octets[6:8], "big")]
    return None


@functools.lru_cache(maxsize=256)
def object_identifier(oid: x509.ObjectIdentifier) -> bytes:
    """Remembered: the few that certificates have in them occur in all of them."""
    return asn1.encode_der(oid)
