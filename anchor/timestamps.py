"""The time now, and moments as text."""

from __future__ import annotations

import datetime


def utc_now() -> datetime.datetime:
    """The time now, in UTC."""
    return datetime.datetime.now(datetime.UTC)


def timestamp(moment: datetime.datetime) -> str:
    """A moment in UTC as RFC 3339 writes it, to the second; as text they sort in order of time."""
    return moment.isoformat()[:19] + "Z"
