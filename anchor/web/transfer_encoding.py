"""Content-Transfer-Encoding of a part of a form (RFC 7578 section 4.7), which Ansible sends."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable

from anchor.errors import MalformedSubmission

_HEADER = "Content-Transfer-Encoding"
_IDENTITIES = frozenset({"7bit", "8bit", "binary"})
# RFC 2045 6.7: after = come two figures, or the end of the line.
_QUOTED_PRINTABLE = re.compile(rb"(?:[^=]|=(?:[0-9A-Fa-f]{2}|[ \t]*(?:\r?\n|\Z)))*+")


def decode(headers: Iterable[tuple[str, str]], contents: bytes) -> bytes:
    """The contents of a part as they were before its transfer encoding.

    Args:
        headers: the headers of the part, with names in title case.
        contents: the contents as they arrived.

    Raises:
        MalformedSubmission: the encoding is unknown, given twice, or broken.
    """
    found = [value.strip() for name, value in headers if name == _HEADER]
    if not found:
        return contents
    if len(found) > 1:
        raise MalformedSubmission("a part of the form has two transfer encodings")
    encoding = found[0].lower()
    if encoding in _IDENTITIES:
        return contents
    if encoding == "base64":
        return _from_base64(contents)
    if encoding == "quoted-printable":
        if not _QUOTED_PRINTABLE.fullmatch(contents):
            raise MalformedSubmission("a part of the form is not valid quoted-printable")
        return binascii.a2b_qp(contents)
    raise MalformedSubmission(
        f"the transfer encoding {found[0][:40]!a} is none of base64, quoted-printable, 7bit, 8bit "
        "and binary"
    )


def _from_base64(contents: bytes) -> bytes:
    text = contents.translate(None, b" \t\r\n")
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except binascii.Error:
        raise MalformedSubmission("a part of the form is not valid base64") from None
