"""Times and spans of time on the command line."""

from __future__ import annotations

import argparse
import datetime
import re

from anchor.timestamps import timestamp, utc_now

_SPAN = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(s|min|h|d|)", re.ASCII)
# Longer spans reach beyond all representable times anyway.
_MAX_SECONDS = 9999 * 366 * 86400
_SECONDS = {"s": 1, "min": 60, "h": 3600, "": 3600, "d": 86400}

LATEST = datetime.datetime.max.replace(tzinfo=datetime.UTC, microsecond=0)
"""The latest time that can be represented."""


def span(text: str) -> datetime.timedelta:
    """A span such as ``90s``, ``5min``, ``2h`` or ``7d``; without a unit, hours.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    match = _SPAN.fullmatch(text.strip())
    if match:
        seconds = float(match[1]) * _SECONDS[match[2]]
        return datetime.timedelta(seconds=min(seconds, _MAX_SECONDS))
    raise argparse.ArgumentTypeError(f"{text!r} is not a span such as 90s, 5min, 2h or 7d")


def moment(text: str) -> datetime.datetime:
    """A time in ISO 8601, in UTC if it has no offset.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        time = datetime.datetime.fromisoformat(text)
        if time.tzinfo is None:
            return time.replace(tzinfo=datetime.UTC)
        return time.astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time in ISO 8601") from None


def moment_or_ago(text: str) -> datetime.datetime:
    """A time in ISO 8601, or a span with a unit before now.

    Raises:
        argparse.ArgumentTypeError: it is neither.
    """
    match = _SPAN.fullmatch(text.strip())
    if match is None or not match[2]:
        try:
            return moment(text)
        except argparse.ArgumentTypeError:
            raise argparse.ArgumentTypeError(
                f"{text!r} is neither a time in ISO 8601 nor a span such as 90s, 5min, 2h or 7d"
            ) from None
    try:
        return utc_now() - span(text)
    except OverflowError:
        return datetime.datetime.min.replace(tzinfo=datetime.UTC)


def later(now: datetime.datetime, distance: datetime.timedelta) -> datetime.datetime:
    """The time after a span, or the latest possible time."""
    try:
        return min(now + distance, LATEST)
    except OverflowError:
        return LATEST


def last_of(end: datetime.datetime | None, what: str, now: datetime.datetime) -> str:
    """A sentence that says when the last of some certificates expires."""
    if end is None:
        return f"there is no {what} in force"
    hours = (end - now).total_seconds() / 3600
    return f"the last {what} ends at {timestamp(end)}, in {hours:.1f} hours"
