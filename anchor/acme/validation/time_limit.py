"""The time that a validation may take, with all its connections and lookups."""

from __future__ import annotations

import time
from collections.abc import Callable


class TimeLimit:
    """A number of seconds from now on.

    Args:
        seconds: how many.
        clock: the time in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._end = clock() + seconds

    def part(self, share: float) -> TimeLimit:
        """A limit of a share of the time that is left.

        Raises:
            TimeoutError: none is left.
        """
        return TimeLimit(self.left() * share, self._clock)

    def left(self) -> float:
        """The seconds that are left.

        Raises:
            TimeoutError: none are.
        """
        left = self._end - self._clock()
        if left <= 0:
            raise TimeoutError("the time is over")
        return left
