"""Mutations of DER: a tree of tags and contents, and operations that change it."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.support import der

# Extensions are DER inside an OCTET STRING, so the contents of these are parsed too.
_CONSTRUCTED = 0x20


def parse(octets):
    """The values in DER: pairs of a tag and bytes or pairs; None if it is not DER."""
    values, position = [], 0
    while position < len(octets):
        if position + 2 > len(octets) or octets[position] & 0x1F == 0x1F:
            return None
        tag, size = octets[position], octets[position + 1]
        position += 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(octets[position : position + count], "big")
            position += count
        contents = octets[position : position + size]
        position += size
        if position > len(octets):
            return None
        inner = parse(contents) if tag & _CONSTRUCTED or (tag == 0x04 and contents) else None
        values.append([tag, contents if inner is None else inner])
    return values


def write(values):
    return b"".join(
        der.tlv(tag, write(contents) if isinstance(contents, list) else contents)
        for tag, contents in values
    )


def positions(values):
    """Every value in the tree, as the list that contains it and the index in that list."""
    result = []
    for index, (_tag, contents) in enumerate(values):
        result.append((values, index))
        if isinstance(contents, list):
            result += positions(contents)
    return result


TAGS = st.sampled_from(
    bytes.fromhex("01 02 03 04 05 06 0c 13 14 16 1e 30 31 a0 a4 80 81 82 86 87 88")
)
CONTENTS = st.binary(max_size=40) | st.sampled_from(
    [
        *(b"", b"\0", b"\xff", b"\x55\x1d\x13", b"\x55\x1d\x0f", b"\x55\x1d\x11"),
        *(b"\x30\x03\x01\x01\xff", b"\x03\x02\x01\x06", b"www.example.com\0", bytes(16)),
        *(b"\x55\x04\x03", b"\xe2\x80"),
    ]
)
OPERATIONS = ("delete", "duplicate", "swap", "retag", "replace", "resize", "flip", "graft")


@st.composite
def mutated(draw, good):
    """The DER after one to four random operations."""
    values = parse(good)
    for _ in range(draw(st.integers(1, 4))):
        candidates = positions(values)
        if not candidates:
            break
        siblings, index = candidates[draw(st.integers(0, len(candidates) - 1))]
        tag, contents = siblings[index]
        match draw(st.sampled_from(OPERATIONS)):
            case "delete":
                del siblings[index]
            case "duplicate":
                siblings.insert(index, [tag, contents])
            case "swap":
                other = draw(st.integers(0, len(siblings) - 1))
                siblings[index], siblings[other] = siblings[other], siblings[index]
            case "retag":
                siblings[index] = [draw(TAGS), contents]
            case "replace":
                siblings[index] = [tag, draw(CONTENTS)]
            case "resize":
                flat = contents if isinstance(contents, bytes) else write(contents)
                siblings[index] = [tag, flat[: draw(st.integers(0, len(flat)))]]
            case "flip":
                flat = bytearray(contents if isinstance(contents, bytes) else write(contents))
                if flat:
                    flat[draw(st.integers(0, len(flat) - 1))] ^= 1 << draw(st.integers(0, 7))
                siblings[index] = [tag, bytes(flat)]
            case "graft":
                source, position = candidates[draw(st.integers(0, len(candidates) - 1))]
                if position < len(source):
                    graft = write([source[position]])
                    siblings.insert(index, parse(graft)[0])
    return write(values)
