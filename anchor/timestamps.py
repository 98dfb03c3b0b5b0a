"""Moments as text."""

from __future__ import annotations

import datetime
import functools


def timestamp(moment: datetime.datetime) -> str:
    """RFC 3339, to the second, of a moment in UTC; as text they are in the order of time."""
    return moment.isoformat()[:19] + "Z"


# Remembered, because the certificates of one second have their times in common.
@functools.lru_cache(maxsize=64)
def whole(moment: datetime.datetime) -> str:
    """ISO 8601 as Python writes it, of a moment in whole seconds."""
    return moment.isoformat()


def with_milliseconds(moment: datetime.datetime) -> str:
    """ISO 8601 with three decimals, of a moment in UTC."""
    second = _second(int(moment.timestamp()))
    return f"{second}.{moment.microsecond // 1000:03}+00:00"


@functools.lru_cache(maxsize=64)
def _second(since_the_epoch: int) -> str:
    return datetime.datetime.fromtimestamp(since_the_epoch, datetime.UTC).isoformat()[:19]
