"""A backend that hangs must not take all workers with it: doc/adr/0040 has the reasons."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from anchor.auth.shared_state import SharedState
from anchor.errors import BackendUnavailable, NotAuthenticated, TooManyAttempts
from anchor.runtime import process_directory
from anchor.runtime.server import Capacity

LOG = logging.getLogger(__name__)

SLOW = 1.0
"""A failure that took so many seconds was waited for, and others would wait as long."""

PATIENCE = 0.5
"""So long a request waits for its turn while no other gets on."""

_SHORTEST_PAUSE, _LONGEST_PAUSE = 5.0, 60.0

_PAUSED_UNTIL, _PAUSE, _PROGRESS, _CONFIGURED, _COUNT = range(5)


@dataclass(frozen=True)
class SharedSlots:
    """Where the processes of a service share what they know of its backends.

    Attributes:
        directory: one that only this user can write to; it is made when it is needed.
        configured: when the configuration was written. A pause ends with a newer one, which may
            have the address of a backend that works.
    """

    directory: Path
    configured: float = 0.0

    @classmethod
    def of(cls, config_json: Path) -> SharedSlots | None:
        """The meeting of the service with that configuration; None if there is no place for it."""
        try:
            return cls(process_directory.find(config_json), config_json.stat().st_mtime)
        except OSError as error:
            LOG.error("%s: only forked processes share the limit on waiting requests", error)
            return None

    def file(self, name: str) -> Path:
        """The file for the authentication of that name."""
        return self.directory / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.breaker"


class CircuitBreaker:
    """Lets requests ask a backend, as long as that is of use.

    After a question that was waited for in vain the backend is left alone for a while; then one
    request finds out whether it is back.  At most ``limit`` requests wait at once, so that a worker
    is left for others.  All processes of the service share this.

    Args:
        limit: how many requests may wait for the backend at once, in all processes; None for any
            number.
        clock: tells the time, in seconds, the same in all processes.
        sleep: waits for so many seconds.
        process_limit: how many of them may be in one process; None for any number.
        meeting: where the processes meet; without it only those that are forked later share this.
        name: of the authentication.
    """

    def __init__(
        self,
        limit: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        *,
        process_limit: int | None = None,
        meeting: SharedSlots | None = None,
        name: str = "",
    ):
        self._limit = limit
        self._clock = clock
        self._sleep = sleep
        self._process_limit = process_limit
        self._waiting_here: dict[int, int] = {}
        self._configured = meeting.configured if meeting else 0.0
        self._state = SharedState(
            meeting.file(name) if meeting else None, _COUNT, process_directory.make
        )

    @contextmanager
    def passage(self) -> Iterator[None]:
        """Let the block ask the backend.

        Raises:
            BackendUnavailable: it is not the time to ask.
        """
        taken = self._enter()
        start = self._clock()
        try:
            yield
        except (NotAuthenticated, TooManyAttempts):
            self._leave(taken, hung=None)
            raise
        except BaseException:
            took = self._clock() - start
            self._leave(taken, hung=took if took >= SLOW else None)
            raise
        self._leave(taken, hung=None)

    def _enter(self) -> int | None:
        while True:
            with self._state.locked() as state:
                now = self._clock()
                if self._configured > state[_CONFIGURED]:
                    state[_PAUSED_UNTIL] = state[_PAUSE] = 0.0
                    state[_CONFIGURED] = self._configured
                until, pause = state[_PAUSED_UNTIL], state[_PAUSE]
                # The clock starts anew with the machine, and the file may be older.
                if now < until <= now + _LONGEST_PAUSE:
                    raise BackendUnavailable(
                        "it did not answer, and is left alone for a while",
                        math.ceil(until - now),
                    )
                if self._limit is None or pause:
                    if pause:
                        # This one finds out; the others need not.
                        state[_PAUSED_UNTIL] = now + pause
                    return None
                taken = self._take_place(self._limit)
                if taken is not None:
                    state[_PROGRESS] = now
                    return taken
                if not now - PATIENCE < state[_PROGRESS] <= now:
                    raise BackendUnavailable("as many requests as may already wait for it", 1)
            self._sleep(0.01)

    def _take_place(self, limit: int) -> int | None:
        waiting = self._waiting_here.get(os.getpid(), 0)
        if self._process_limit is not None and waiting >= self._process_limit:
            return None
        taken = self._state.take_place(limit)
        if taken is not None:
            self._waiting_here[os.getpid()] = waiting + 1
        return taken

    def _leave(self, taken: int | None, *, hung: float | None) -> None:
        with self._state.locked() as state:
            now = self._clock()
            if taken is not None:
                self._state.leave_place(taken)
                self._waiting_here[os.getpid()] -= 1
            state[_PROGRESS] = now
            pause = 0.0 if hung is None else min(max(2 * hung, _SHORTEST_PAUSE), _LONGEST_PAUSE)
            state[_PAUSE] = pause
            state[_PAUSED_UNTIL] = now + pause if pause else 0.0


def default_limits(capacity: Capacity) -> tuple[int | None, int | None]:
    """All but one of the requests that are served at once: in the service, and in a process."""
    whole, process = (
        None if number is None else max(1, number - 1)
        for number in (capacity.whole, capacity.process)
    )
    return whole, process
