"""CPU seconds as every machine counts them, for tests that hold work against a limit."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

# What the steps below take on the machine that the limits were set on, and what tracing for the
# coverage report costs there.
_REFERENCE_SECONDS = 0.02
_TRACED = 4


def _steps() -> int:
    found = {}
    for number in range(50_000):
        name = f"{number % 997:x}"
        found[name] = found.get(name, 0) + number
    return len(found)


def least_seconds(work: Callable[[], object], attempts: int = 5) -> float:
    """The least CPU time of a few attempts: what it takes when nobody else gets in the way."""
    seconds = []
    for _ in range(attempts):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def allowed(seconds: float, *, in_this_process: bool = True) -> float:
    """A limit for this machine, now and under what traces it.

    Args:
        seconds: CPU time that the work may take on the machine that limits are written for.
        in_this_process: where the work is done: only here is it traced.
    """
    slower = max(1, least_seconds(_steps) / _REFERENCE_SECONDS)
    return seconds * slower * (_TRACED if in_this_process and sys.gettrace() else 1)
