"""A clock that a test can put ahead of the real time."""

from __future__ import annotations

import time

import pytest


class Clock:
    """This machine's clock, in seconds, as a test sets it."""

    def __init__(self):
        self.ahead = 0.0

    def __call__(self):
        return time.time() + self.ahead


@pytest.fixture
def clock():
    return Clock()
