"""The texts inside DER values of any structure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

MAX_VALUES = 10_000
MAX_DEPTH = 16

_CONSTRUCTED = 0x20
_HIGH_TAG = 0x1F
# Universal string types: UTF8String, NumericString, PrintableString, TeletexString, VideotexString,
# IA5String, GraphicString, VisibleString and GeneralString.
_EIGHT_BIT = frozenset((0x0C, 0x12, 0x13, 0x14, 0x15, 0x16, 0x19, 0x1A, 0x1B))
_WIDE = {0x1C: "utf-32-be", 0x1E: "utf-16-be"}


def texts(values: Iterable[bytes]) -> Iterator[str]:
    """Every text in some DER values, at any depth.

    Raises:
        ValueError: a value is not DER, is nested too deeply, or there are too many.
    """
    left = MAX_VALUES
    for value in values:
        # Where to go on, where the innermost value ends, and the ends of those around it.
        at, ends = 0, [len(value)]
        while at < ends[0]:
            left -= 1
            if left < 0 or len(ends) > MAX_DEPTH:
                raise ValueError(f"more than {MAX_VALUES} values, or {MAX_DEPTH} levels of them")
            tag, start, end = _header(value, at)
            if end > ends[-1]:
                raise ValueError("a value ends after the one around it")
            if tag & _CONSTRUCTED:
                at = start
                ends.append(end)
            else:
                at = end
                if tag in _EIGHT_BIT:
                    yield _decoded(value[start:end])
                elif tag in _WIDE:
                    yield value[start:end].decode(_WIDE[tag])
            while len(ends) > 1 and at == ends[-1]:
                ends.pop()


def _header(value: bytes, at: int) -> tuple[int, int, int]:
    """The first byte of a tag, and where the contents start and end."""
    try:
        tag = value[at]
        at += 1
        if tag & _HIGH_TAG == _HIGH_TAG:
            while value[at] & 0x80:
                at += 1
            at += 1
        size = value[at]
        at += 1
    except IndexError:
        raise ValueError("a value ends in its header") from None
    if size >= 0x80:
        count = size & 0x7F
        if not 1 <= count <= 4:
            raise ValueError("a length is not in DER")
        size = int.from_bytes(value[at : at + count], "big")
        at += count
    return tag, at, at + size


def _decoded(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")
