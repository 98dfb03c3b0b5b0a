"""Textual encoding (RFC 7468): one block, with any text around it."""

from __future__ import annotations

import binascii
import contextlib
import json
import re
import struct
from collections.abc import Collection

from anchor import errors

_BEGIN = b"-----BEGIN "
_LABELS = re.compile(rb"-----BEGIN (?:([A-Z0-9 #]{1,40})-----)?")
# RFC 7468 3, but lines may have any length and any end, and leading blanks.  Headers such as
# "Proc-Type: 4,ENCRYPTED" are older than that, and are no base64.
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 #]+)-----(.*?)-----END ([A-Z0-9 #]+)-----", re.DOTALL)
# A refusal is for reading, and a request may be as long as a body.
_SHOWN_LABELS = 4


def as_utf8(octets: bytes) -> bytes:
    """A text without its byte order mark, in UTF-8 if it was in UTF-16 or UTF-32.

    Text in any other encoding stays as it is; PEM is ASCII in all of them.

    Raises:
        UnreadableRequest: the text is broken UTF-16 or UTF-32.
    """
    encoding = _encoding(octets)
    if encoding == "utf-8":
        return octets
    if encoding == "utf-8-sig":
        return octets[3:]
    try:
        return octets.decode(encoding).encode("utf-8")
    except UnicodeDecodeError:
        raise errors.UnreadableRequest(
            f"the text looks like {encoding.upper()}, but is not valid: send it in UTF-8"
        ) from None


def _encoding(octets: bytes) -> str:
    """The encoding by the byte order mark, by how a PEM block begins, or by the first bytes."""
    if octets[:1] not in _FIRST_OF_A_MARK:
        # Text in any letters may stand before the block.
        for encoding, (begin, width) in _BEGINNINGS.items():
            if begin in octets and octets.find(begin) % width == 0:
                return encoding
    return json.detect_encoding(octets)


# Of UTF-8, UTF-16 and UTF-32.
_FIRST_OF_A_MARK = (b"\xef", b"\xfe", b"\xff")
# With the number of bytes at which characters begin.
_BEGINNINGS = {
    "utf-8": (_BEGIN, 1),
    "utf-16-le": (_BEGIN.decode("ascii").encode("utf-16-le"), 2),
    "utf-16-be": (_BEGIN.decode("ascii").encode("utf-16-be"), 2),
}


def holds_block(octets: bytes) -> bool:
    """Whether a PEM block begins somewhere in the text."""
    with contextlib.suppress(errors.UnreadableRequest):
        octets = as_utf8(octets)
    return _BEGIN in octets


def decode(octets: bytes, labels: Collection[str]) -> bytes:
    """The DER inside the one PEM block in a text.

    Args:
        octets: the text, in UTF-8 or anything like ASCII, or in UTF-16 or UTF-32.
        labels: the labels that are accepted, ``CERTIFICATE REQUEST`` for example.

    Raises:
        UnreadableRequest: there is no block, or more than one, or its label is not accepted.
    """
    text = as_utf8(octets)
    found = _LABELS.findall(text)
    if not found:
        raise errors.UnreadableRequest("there is no PEM block in it")
    if len(found) > 1:
        # The labels only: a block may be a private key.
        shown = ", ".join(
            label.decode("ascii") or "one without a label"
            for label in list(dict.fromkeys(found))[:_SHOWN_LABELS]
        )
        raise errors.UnreadableRequest(
            f"there is more than one PEM block in it ({shown}): send the request alone"
        )
    match = _BLOCK.search(text)
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
    # Most blocks have no other white space, and removing it takes longer.
    with contextlib.suppress(binascii.Error):
        return binascii.a2b_base64(body.replace(b"\n", b""), strict_mode=True)
    try:
        return binascii.a2b_base64(body.translate(None, b" \t\r\n\v\f"), strict_mode=True)
    except binascii.Error:
        raise errors.UnreadableRequest(_what_is_no_base64_in(body)) from None


def _what_is_wrong_with(text: bytes) -> str:
    if b"-----END " not in text.partition(_BEGIN)[2]:
        return "the PEM block has no END line"
    return "the PEM block is malformed"


def _what_is_no_base64_in(body: bytes) -> str:
    if b":" in body:
        return "the PEM block has headers inside, and RFC 7468 allows none"
    return "the PEM block is not valid base64"


def encode(der: bytes, label: bytes) -> bytes:
    """One block, in lines of 64 characters (RFC 7468 section 2)."""
    text = binascii.b2a_base64(der, newline=False)
    whole, rest = divmod(len(text), 64)
    lines = b"\n".join(struct.unpack(f"{'64s' * whole}{rest}s", text)).rstrip(b"\n")
    return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (label, lines, label)
