"""PEM (RFC 7468): a single block, with any text around it."""

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
# RFC 7468 3, but lines may have any length, any line ending and leading blanks.  Headers such as
# "Proc-Type: 4,ENCRYPTED" belong to an older format and are not base64.
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 #]+)-----(.*?)-----END ([A-Z0-9 #]+)-----", re.DOTALL)
# A DER SEQUENCE of 128 bytes or more begins with "MI" in base64.
_BASE64_ALONE = re.compile(rb"\s*MI[A-Za-z0-9+/=\s]{100,}")
# A space inside a line; in a long line, spaces may stand for line breaks.
_SPACE_IN_LINE = re.compile(rb"[A-Za-z0-9+/] [A-Za-z0-9+/ ]*\r?\n")
# Keeps the message readable however many blocks there are.
_SHOWN_LABELS = 4


def as_utf8(text: bytes) -> bytes:
    """The text in UTF-8, without a byte order mark.

    Text that is neither UTF-16 nor UTF-32 is not converted: PEM is ASCII in all other encodings.

    Raises:
        UnreadableRequest: the text is invalid UTF-16 or UTF-32.
    """
    encoding = _encoding(text)
    if encoding == "utf-8":
        return text
    if encoding == "utf-8-sig":
        return text[3:]
    try:
        return text.decode(encoding).encode("utf-8")
    except UnicodeDecodeError:
        raise errors.UnreadableRequest(
            f"the text looks like {encoding.upper()}, but is not valid: send it in UTF-8"
        ) from None


def _encoding(text: bytes) -> str:
    """The encoding, by the byte order mark, the start of a PEM block, or the first bytes."""
    if text[:1] not in _MARK_BYTES:
        # The text before the block may be in any script, so its first bytes tell nothing.
        for encoding, (begin, width) in _ENCODED_BEGIN.items():
            if begin in text and text.find(begin) % width == 0:
                return encoding
    return json.detect_encoding(text)


# The first bytes of the byte order marks of UTF-8, UTF-16 and UTF-32.
_MARK_BYTES = (b"\xef", b"\xfe", b"\xff")
# The start of a block, and the size of a code unit in bytes.
_ENCODED_BEGIN = {
    "utf-8": (_BEGIN, 1),
    "utf-16-le": (_BEGIN.decode("ascii").encode("utf-16-le"), 2),
    "utf-16-be": (_BEGIN.decode("ascii").encode("utf-16-be"), 2),
}


def contains_block(text: bytes) -> bool:
    """True if a PEM block begins in the text."""
    with contextlib.suppress(errors.UnreadableRequest):
        text = as_utf8(text)
    return _BEGIN in text


def has_lost_plus_signs(text: bytes) -> bool:
    """True if a form has replaced each ``+`` in the base64 of a PEM block by a space.

    The lines still have one length then, except the last.
    """
    with contextlib.suppress(errors.UnreadableRequest):
        text = as_utf8(text)
    match = _BLOCK.search(text)
    if match is None or b"+" in match[2] or not _SPACE_IN_LINE.search(match[2]):
        return False
    *whole, last = match[2].replace(b"\r\n", b"\n").strip(b"\n").split(b"\n")
    return len(set(map(len, whole))) == 1 and len(last) <= len(whole[0])


def decode(text: bytes, labels: Collection[str]) -> bytes:
    """The DER in the only PEM block of a text.

    Args:
        text: in UTF-8, UTF-16, UTF-32 or any superset of ASCII.
        labels: the accepted labels, such as ``CERTIFICATE REQUEST``.

    Raises:
        UnreadableRequest: there is not exactly one well-formed block with an accepted label.
    """
    text = as_utf8(text)
    present = _LABELS.findall(text)
    if not present:
        raise errors.UnreadableRequest(_absence_error(text))
    if len(present) > 1:
        # Show the labels only: a block may be a private key.
        shown = ", ".join(
            label.decode("ascii") or "one without a label"
            for label in list(dict.fromkeys(present))[:_SHOWN_LABELS]
        )
        raise errors.UnreadableRequest(
            f"the text contains more than one PEM block ({shown}): send the request alone"
        )
    match = _BLOCK.search(text)
    if match is None:
        raise errors.UnreadableRequest(_block_error(text))
    begin, body, end = match.groups()
    if begin != end:
        raise errors.UnreadableRequest("the PEM block ends with another label than it begins with")
    label = begin.decode("ascii")
    if label not in labels:
        raise errors.UnreadableRequest(
            f"the PEM block is not a certificate signing request but {label[:40]!r}"
        )
    # Fast path: most blocks have no white space but line feeds.
    with contextlib.suppress(binascii.Error):
        return binascii.a2b_base64(body.replace(b"\n", b""), strict_mode=True)
    try:
        return binascii.a2b_base64(body.translate(None, b" \t\r\n\v\f"), strict_mode=True)
    except binascii.Error:
        raise errors.UnreadableRequest(_base64_error(body)) from None


def _absence_error(text: bytes) -> str:
    if _BASE64_ALONE.fullmatch(text):
        return "the request is base64 without the BEGIN and END lines of PEM: add them"
    return "the request contains no PEM block"


def _block_error(text: bytes) -> str:
    if b"-----END " not in text.partition(_BEGIN)[2]:
        return "the PEM block has no END line"
    return "the PEM block is malformed"


def _base64_error(body: bytes) -> str:
    if b":" in body:
        return "the PEM block has headers inside, and RFC 7468 allows none"
    return "the PEM block is not valid base64"


def encode(der: bytes, label: bytes) -> bytes:
    """A PEM block with lines of 64 characters (RFC 7468 section 2)."""
    text = binascii.b2a_base64(der, newline=False)
    whole, rest = divmod(len(text), 64)
    lines = b"\n".join(struct.unpack(f"{'64s' * whole}{rest}s", text)).rstrip(b"\n")
    return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (label, lines, label)
