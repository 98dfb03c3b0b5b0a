"""Decoder for Content-Transfer-Encoding in a form (RFC 7578 section 4.7); Ansible sends it."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable

from anchor.errors import MalformedSubmission

_HEADER = "Content-Transfer-Encoding"
_IDENTITY_ENCODINGS = frozenset({"7bit", "8bit", "binary"})
# RFC 2045 6.7: "=" is followed by two hexadecimal digits or by the end of the line.
_QUOTED_PRINTABLE = re.compile(rb"(?:[^=]|=(?:[0-9A-Fa-f]{2}|[ \t]*(?:\r?\n|\Z)))*+")


def decode(headers: Iterable[tuple[str, str]], contents: bytes) -> bytes:
    """The decoded contents of a part.

    Args:
        headers: the headers of the part, with names in title case.
        contents: the contents before decoding.

    Raises:
        MalformedSubmission: the encoding is unknown, given twice, or broken.
    """
    encodings = [value.strip() for name, value in headers if name == _HEADER]
    if not encodings:
        return contents
    if len(encodings) > 1:
        raise MalformedSubmission("a part of the form has two transfer encodings")
    encoding = encodings[0].lower()
    if encoding in _IDENTITY_ENCODINGS:
        return contents
    if encoding == "base64":
        return _decode_base64(contents)
    if encoding == "quoted-printable":
        if not _QUOTED_PRINTABLE.fullmatch(contents):
            raise MalformedSubmission("a part of the form is not valid quoted-printable")
        return binascii.a2b_qp(contents)
    raise MalformedSubmission(
        f"the transfer encoding {encodings[0][:40]!a} is not one of base64, quoted-printable, "
        "7bit, 8bit and binary"
    )


def _decode_base64(contents: bytes) -> bytes:
    text = contents.translate(None, b" \t\r\n")
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except binascii.Error:
        raise MalformedSubmission("a part of the form is not valid base64") from None
