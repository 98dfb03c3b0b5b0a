"""Limits on the length of log lines, which may contain text from requests."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable

LINE_BYTES = 4096
"""The longest log line, including its line break; audit events are not cut."""

TRACE_LINES = 200
"""The maximum number of lines of a traceback."""

REASON_CHARACTERS = 1024
"""The longest reason for a failure in a log line or an audit event."""

Size = Callable[[str], int]


def in_utf8(text: str) -> int:
    """The number of bytes of a text in UTF-8."""
    return len(text.encode("utf-8", "backslashreplace"))


def in_json(text: str) -> int:
    """The number of bytes of a text as a JSON string, without the quotes."""
    return len(json.dumps(text)) - 2


def fit(text: str, room: int, size: Size = in_utf8, *, keep_end: bool = False) -> str:
    """The text, cut to a number of bytes, with a mark at the cut.

    Args:
        text: the text.
        room: the maximum number of bytes, including the mark.
        size: the function that counts the bytes of a text.
        keep_end: cut in the middle instead of at the end.
    """
    if len(text) <= room and size(text) <= room:
        return text

    def cut(kept: int) -> str:
        end = text[len(text) - kept // 2 :] if keep_end else ""
        start = text[: kept - len(end)]
        return f"{start} [... {len(text) - kept} characters cut ...] {end}".rstrip(" ")

    # Each character takes at least one byte.
    kept = bisect_right(range(min(room, len(text))), room, key=lambda kept: size(cut(kept))) - 1
    return cut(max(kept, 0))


def shorten(reason: str) -> str:
    """A reason for a failure, cut if it is long."""
    return fit(reason, REASON_CHARACTERS, len)
