"""Forms as curl and nearly everybody else writes them, taken apart at once (RFC 7578).

A parser for every form that there can be takes ten times as long.  What is not written plainly is
left to it; what is, has one meaning for both.
"""

from __future__ import annotations

import re

FIELDS = ("user", "secret", "encoding", "csr")
# More than a submission has; a form with more of them is not worth the haste.
MAX_FIELDS = 8

_CONTENT_TYPE = re.compile(r"multipart/form-data; boundary=([A-Za-z0-9-]{1,70})").fullmatch
_HEADS = {
    b'\r\nContent-Disposition: form-data; name="%b"' % name.encode("ascii"): name for name in FIELDS
}


def read(content_type: str, body: bytes) -> list[tuple[str, bytes]] | None:
    """The names and values of the fields, in their order; None if the form is not a plain one."""
    known = _CONTENT_TYPE(content_type)
    if known is None:
        return None
    before, *parts = body.split(b"--" + known[1].encode("ascii"), MAX_FIELDS + 1)
    if before or len(parts) < 2 or parts.pop() != b"--\r\n":
        return None
    fields: list[tuple[str, bytes]] = []
    for part in parts:
        head, _, value = part.partition(b"\r\n\r\n")
        name = _HEADS.get(head)
        if name is None or not value.endswith(b"\r\n"):
            return None
        fields.append((name, value[:-2]))
    return fields
