"""A backend that hangs must not take all workers with it: doc/adr/0040 has the reasons."""

from __future__ import annotations

import fcntl
import importlib
import math
import mmap
import os
import struct
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from anchor.errors import BackendUnavailable, NotAuthenticated, TooManyAttempts

SLOW = 1.0
"""A failure that took so many seconds was waited for, and others would wait as long."""

PATIENCE = 0.5
"""So long a request waits for its turn while no other gets on."""

# No wait is longer; the place of a worker that died while it waited is free after that.
_LONGEST = 120.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 5.0, 60.0

_PAUSED_UNTIL, _PAUSE, _PROGRESS, _PLACES = range(4)


class Breaker:
    """Lets requests ask a backend, as long as that is of use.

    After a question that was waited for in vain the backend is left alone for a while; then one
    request finds out whether it is back.  At most ``limit`` requests wait at once, so that a worker
    is left for others.  Processes that are forked later share all this.

    Args:
        limit: how many requests may wait for the backend at once; None for any number.
        clock: tells the time, in seconds, the same in all processes.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        limit: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self._limit = limit
        self._clock = clock
        self._sleep = sleep
        self._state = _Shared(_PLACES + (limit or 0))

    @contextmanager
    def passage(self) -> Iterator[None]:
        """Let the block ask the backend.

        Raises:
            BackendUnavailable: it is not the time to ask.
        """
        place = self._enter()
        start = self._clock()
        try:
            yield
        except (NotAuthenticated, TooManyAttempts):
            self._leave(place, hung=None)
            raise
        except BaseException:
            took = self._clock() - start
            self._leave(place, hung=took if took >= SLOW else None)
            raise
        self._leave(place, hung=None)

    def _enter(self) -> int | None:
        while True:
            with self._state.locked() as state:
                now = self._clock()
                until, pause = state[_PAUSED_UNTIL], state[_PAUSE]
                if now < until:
                    raise BackendUnavailable(
                        "it did not answer, and is left alone for a while",
                        math.ceil(until - now),
                    )
                if self._limit is None or pause:
                    if pause:
                        # This one finds out; the others need not.
                        state[_PAUSED_UNTIL] = now + pause
                    return None
                for place in range(_PLACES, _PLACES + self._limit):
                    if state[place] <= now:
                        state[place] = now + _LONGEST
                        state[_PROGRESS] = now
                        return place
                if now >= state[_PROGRESS] + PATIENCE:
                    raise BackendUnavailable("as many requests as may already wait for it", 1)
            self._sleep(0.01)

    def _leave(self, place: int | None, *, hung: float | None) -> None:
        with self._state.locked() as state:
            now = self._clock()
            if place is not None:
                state[place] = 0.0
            state[_PROGRESS] = now
            pause = 0.0 if hung is None else min(max(2 * hung, _SHORTEST_PAUSE), _LONGEST_PAUSE)
            state[_PAUSE] = pause
            state[_PAUSED_UNTIL] = now + pause if pause else 0.0


def default_limit() -> int | None:
    """All of uWSGI's workers but one; None elsewhere, where nobody says how many there are."""
    try:
        uwsgi = importlib.import_module("uwsgi")
        return max(1, int(uwsgi.numproc) * int(uwsgi.cores) - 1)
    except (ImportError, AttributeError):
        # Or a directory of that name is taken for the module.
        return None


class _Shared:
    """Some numbers that this process and those forked from it share."""

    def __init__(self, size: int):
        # A file that only this process and its children have, and that has no name.
        self._file = os.memfd_create("anchor")
        weakref.finalize(self, os.close, self._file)
        os.ftruncate(self._file, size * 8)
        self._memory = mmap.mmap(self._file, size * 8)
        self._numbers = struct.Struct(f"{size}d")
        self._threads = threading.Lock()

    @contextmanager
    def locked(self) -> Iterator[list[float]]:
        """The numbers, to be changed by nobody else; the system opens the lock of who dies."""
        with self._threads:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                numbers = list(self._numbers.unpack(self._memory))
                yield numbers
                self._numbers.pack_into(self._memory, 0, *numbers)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)
