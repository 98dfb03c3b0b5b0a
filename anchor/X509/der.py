"""Writing DER values (X.690 section 10)."""

from __future__ import annotations

OCTET_STRING, SEQUENCE, SET = 0x04, 0x30, 0x31

TRUE = b"\x01\x01\xff"


def value(tag: int, *contents: bytes) -> bytes:
    """A DER value with this tag and the joined contents."""
    joined = b"".join(contents)
    size = len(joined)
    if size < 0x80:
        return b"%c%c%b" % (tag, size, joined)
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return b"%c%c%b%b" % (tag, 0x80 | len(length), length, joined)
