"""The texts in DER values of any structure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cryptography.hazmat import asn1

MAX_VALUES = 10_000
MAX_DEPTH = 16

_CONSTRUCTED = 0x20
_HIGH_TAG = 0x1F
# Universal string types: UTF8String, NumericString, PrintableString, TeletexString, VideotexString,
# IA5String, GraphicString, VisibleString and GeneralString.
_EIGHT_BIT = frozenset((0x0C, 0x12, 0x13, 0x14, 0x15, 0x16, 0x19, 0x1A, 0x1B))
_WIDE = {0x1C: "utf-32-be", 0x1E: "utf-16-be"}
# UTF8String, NumericString, PrintableString, TeletexString, IA5String, VisibleString,
# UniversalString and BMPString.
_CODECS = {
    b"\x0c": "utf-8",
    b"\x12": "ascii",
    b"\x13": "ascii",
    b"\x14": "latin-1",
    b"\x16": "ascii",
    b"\x1a": "ascii",
    b"\x1c": "utf-32-be",
    b"\x1e": "utf-16-be",
}


def string_text(der: bytes) -> str | None:
    """The text of a DER string; None for a value of another type.

    Raises:
        ValueError: it is not DER.
    """
    value = asn1.decode_der(asn1.TLV, der)
    codec = _CODECS.get(value.tag_bytes)
    return codec and bytes(value.data).decode(codec, "replace")


def texts(values: Iterable[bytes]) -> Iterator[str]:
    """Every text in DER values, at any depth.

    Raises:
        ValueError: a value is not DER, is nested too deeply, or there are too many.
    """
    remaining = MAX_VALUES
    for value in values:
        # The current offset, and the end of each enclosing value, the innermost last.
        offset, ends = 0, [len(value)]
        while offset < ends[0]:
            remaining -= 1
            if remaining < 0 or len(ends) > MAX_DEPTH:
                raise ValueError(f"more than {MAX_VALUES} values, or {MAX_DEPTH} levels of them")
            tag, start, end = _header(value, offset)
            if end > ends[-1]:
                raise ValueError("a value ends after the one around it")
            if tag & _CONSTRUCTED:
                offset = start
                ends.append(end)
            else:
                offset = end
                if tag in _EIGHT_BIT:
                    yield _decode(value[start:end])
                elif tag in _WIDE:
                    yield value[start:end].decode(_WIDE[tag])
            while len(ends) > 1 and offset == ends[-1]:
                ends.pop()


def _header(value: bytes, offset: int) -> tuple[int, int, int]:
    """The first byte of the tag, and the start and end of the contents."""
    try:
        tag = value[offset]
        offset += 1
        if tag & _HIGH_TAG == _HIGH_TAG:
            while value[offset] & 0x80:
                offset += 1
            offset += 1
        size = value[offset]
        offset += 1
    except IndexError:
        raise ValueError("a value ends in its header") from None
    if size >= 0x80:
        count = size & 0x7F
        if not 1 <= count <= 4:
            raise ValueError("a length is not in DER")
        size = int.from_bytes(value[offset : offset + count], "big")
        offset += count
    return tag, offset, offset + size


def _decode(contents: bytes) -> str:
    try:
        return contents.decode()
    except UnicodeDecodeError:
        return contents.decode("latin-1")
