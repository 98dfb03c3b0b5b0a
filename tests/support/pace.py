"""CPU time limits, adapted to the speed of the machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

# The CPU time of _steps() on the machine on which the limits were set, and the factor by which the
# coverage tracer slows down code there.
_REFERENCE_SECONDS = 0.02
_TRACED = 4


def _steps() -> int:
    found = {}
    for number in range(50_000):
        name = f"{number % 997:x}"
        found[name] = found.get(name, 0) + number
    return len(found)


def least_seconds(work: Callable[[], object], attempts: int = 5) -> float:
    """The smallest CPU time of several attempts, in seconds; other processes disturb it least."""
    seconds = []
    for _ in range(attempts):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def cpu_limit(seconds: float, *, in_this_process: bool = True) -> float:
    """The CPU time limit for this machine.

    Args:
        seconds: the limit on the machine on which the limits were set.
        in_this_process: False if the work is done in another process, which is not traced.
    """
    slower = max(1, least_seconds(_steps) / _REFERENCE_SECONDS)
    return seconds * slower * (_TRACED if in_this_process and sys.gettrace() else 1)
