"""The current time, and RFC 3339 timestamps."""

from __future__ import annotations

import datetime


def utc_now() -> datetime.datetime:
    """The current time, in UTC."""
    return datetime.datetime.now(datetime.UTC)


def timestamp(moment: datetime.datetime) -> str:
    """An RFC 3339 timestamp, to the second.

    Timestamps sort as text in order of time.

    Args:
        moment: a time in UTC.
    """
    return moment.isoformat()[:19] + "Z"
