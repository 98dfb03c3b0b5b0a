"""Clocks that a test sets."""

from __future__ import annotations

import time

import pytest

from anchor.timestamps import utc_now


class Clock:
    """The time in seconds, ahead of the machine's clock by ``ahead`` seconds."""

    def __init__(self):
        self.ahead = 0.0

    def __call__(self):
        return time.time() + self.ahead


class FixedClock:
    """The time in UTC, which stands still until a test sets ``moment``."""

    def __init__(self):
        self.moment = utc_now().replace(microsecond=0)

    def __call__(self):
        return self.moment


@pytest.fixture
def clock():
    return Clock()
