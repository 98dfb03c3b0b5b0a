"""Strict textual encoding (RFC 7468): one block, one label, nothing around it."""

from __future__ import annotations

import binascii
import contextlib
import re
import struct
from collections.abc import Collection

from anchor import errors

# RFC 7468 3, the strict grammar, but for the length of lines: clients differ in where they fold.
# Headers inside the block ("Proc-Type: 4,ENCRYPTED") do not match.
_BLOCK = re.compile(
    rb"\s*-----BEGIN ([A-Z0-9 #]+)-----[ \t]*\r?\n"
    rb"([^-]*)"
    rb"-----END ([A-Z0-9 #]+)-----\s*"
)


def decode(text: bytes, labels: Collection[str]) -> bytes:
    """The DER inside the one PEM block that ``text`` consists of.

    Args:
        text: the block, with nothing but white space around it.
        labels: the labels that are wanted, ``CERTIFICATE REQUEST`` for example.

    Raises:
        UnreadableRequest: there is no block, or more than one, or it is not of a wanted label.
    """
    match = _BLOCK.fullmatch(text)
    if match is None:
        raise errors.UnreadableRequest(_what_is_wrong_with(text))
    begin, body, end = match.groups()
    if begin != end:
        raise errors.UnreadableRequest("the PEM block ends with another label than it begins with")
    label = begin.decode("ascii")
    if label not in labels:
        raise errors.UnreadableRequest(
            f"the PEM block is not a certificate signing request but {label[:40]!r}"
        )
    # Nearly always there is no other white space, and to look for it takes a while.
    with contextlib.suppress(binascii.Error):
        return binascii.a2b_base64(body.replace(b"\n", b""), strict_mode=True)
    try:
        return binascii.a2b_base64(body.translate(None, b" \t\r\n\v\f"), strict_mode=True)
    except binascii.Error:
        raise errors.UnreadableRequest("the PEM block is not valid base64") from None


def encode(der: bytes, label: bytes) -> bytes:
    """One block, in lines of 64 characters (RFC 7468 section 2)."""
    text = binascii.b2a_base64(der, newline=False)
    whole, rest = divmod(len(text), 64)
    lines = b"\n".join(struct.unpack(f"{'64s' * whole}{rest}s", text)).rstrip(b"\n")
    return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (label, lines, label)


def _what_is_wrong_with(text: bytes) -> str:
    blocks = text.count(b"-----BEGIN ")
    if blocks == 0:
        return "there is no PEM block in it"
    if blocks > 1:
        return "there is more than one PEM block in it"
    return "the PEM block is malformed, or there is something else around it"
