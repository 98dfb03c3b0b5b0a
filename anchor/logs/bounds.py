"""Bounds for log lines: a request must not be able to write long ones."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable

LINE_BYTES = 4096
"""The longest line of a log, its line break included; audit events are not cut."""

TRACE_LINES = 200
"""The most lines of a trace."""

REASON_CHARACTERS = 1024
"""The longest reason for a failure in a log or an audit event."""

Size = Callable[[str], int]


def in_utf8(text: str) -> int:
    """How many bytes a text takes."""
    return len(text.encode("utf-8", "backslashreplace"))


def in_json(text: str) -> int:
    """How many bytes a text takes as a JSON string, without the quotes."""
    return len(json.dumps(text)) - 2


def fit(text: str, room: int, size: Size = in_utf8, *, keep_end: bool = False) -> str:
    """The text if it fits, or what fits of it with a mark where it was cut.

    Args:
        text: what to cut.
        room: how many bytes it may take.
        size: how many bytes a text takes.
        keep_end: cut the middle, and not the end.
    """
    if len(text) <= room and size(text) <= room:
        return text

    def cut(kept: int) -> str:
        end = text[len(text) - kept // 2 :] if keep_end else ""
        start = text[: kept - len(end)]
        return f"{start} [... {len(text) - kept} characters cut ...] {end}".rstrip(" ")

    # Each character takes a byte at least.
    kept = bisect_right(range(min(room, len(text))), room, key=lambda kept: size(cut(kept))) - 1
    return cut(max(kept, 0))


def shorten(reason: str) -> str:
    """A reason for a failure, cut if it is long."""
    return fit(reason, REASON_CHARACTERS, len)
