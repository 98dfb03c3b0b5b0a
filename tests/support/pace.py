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


def cpu_seconds(work: Callable[[], object]) -> float:
    """The CPU time of one call, in seconds."""
    start = time.process_time()
    work()
    return time.process_time() - start


def least_seconds(work: Callable[[], object], attempts: int = 5) -> float:
    """The smallest CPU time of several attempts, in seconds; other processes disturb it least."""
    return min(cpu_seconds(work) for _ in range(attempts))


def assert_cpu_below(
    seconds: float, work: Callable[[], object], attempts: int = 5, what: str = "it"
) -> None:
    """Require that the smallest CPU time of several attempts is below the limit.

    The same as ``least_seconds(work, attempts) < cpu_limit(seconds)``, but ends with the first
    attempt that is below the limit on any machine.

    Args:
        seconds: the limit on the machine on which the limits were set.
        work: a function of this process.
        attempts: how often to try.
        what: the subject of the error message.
    """
    took = []
    for _ in range(attempts):
        took.append(cpu_seconds(work))
        if took[-1] < seconds * _traced():
            return
    assert min(took) < cpu_limit(seconds), f"{what} took {min(took)} seconds"


def cpu_limit(seconds: float, *, in_this_process: bool = True) -> float:
    """The CPU time limit for this machine.

    Args:
        seconds: the limit on the machine on which the limits were set.
        in_this_process: False if the work is done in another process, which is not traced.
    """
    slower = max(1, least_seconds(_steps) / _REFERENCE_SECONDS)
    return seconds * slower * (_traced() if in_this_process else 1)


def _traced() -> int:
    return _TRACED if sys.gettrace() else 1
