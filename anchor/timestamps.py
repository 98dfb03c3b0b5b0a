"""Moments as text."""

from __future__ import annotations

import datetime


def timestamp(moment: datetime.datetime) -> str:
    """RFC 3339, to the second, of a moment in UTC; as text they are in the order of time."""
    return moment.isoformat()[:19] + "Z"
