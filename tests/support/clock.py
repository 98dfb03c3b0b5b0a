"""A clock that a test can set ahead of the real time."""

from __future__ import annotations

import time

import pytest


class Clock:
    """The time in seconds, ahead of the machine's clock by ``ahead`` seconds."""

    def __init__(self):
        self.ahead = 0.0

    def __call__(self):
        return time.time() + self.ahead


@pytest.fixture
def clock():
    return Clock()
