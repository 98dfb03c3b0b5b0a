"""Forms as curl and nearly everybody else writes them, taken apart at once (RFC 7578).

A parser for every form that there can be takes ten times as long.  What is not written plainly is
left to it; what is, has one meaning for both.
"""

from __future__ import annotations

import re

# More than a submission has; a form with more of them is not worth the haste.
MAX_FIELDS = 8

_CONTENT_TYPE = re.compile(r"multipart/form-data; boundary=([A-Za-z0-9-]{1,70})").fullmatch
_FIELD = re.compile(
    rb'\r\nContent-Disposition: form-data; name="([A-Za-z]{1,16})"\r\n\r\n(.*)\r\n', re.DOTALL
).fullmatch


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
        field = _FIELD(part)
        if field is None:
            return None
        name, value = field.groups()
        fields.append((name.decode("ascii"), value))
    return fields
