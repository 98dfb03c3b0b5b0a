"""The size of load tests, which is larger under ``make load``."""

from __future__ import annotations

import os
import sys

import pytest

FULL = bool(os.environ.get("ANCHOR_LOAD"))


@pytest.fixture
def say(capsys):
    """Print a result, under ``make load`` only."""

    def show(text):
        if FULL:
            with capsys.disabled():
                sys.stdout.write(f"\n{text}\n")

    return show
