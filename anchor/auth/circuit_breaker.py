"""A circuit breaker: a backend that hangs must not block all workers (doc/adr/0040)."""

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
"""A failure after this many seconds opens the circuit: other requests would wait as long."""

SLOT_TIMEOUT = 0.5
"""How many seconds a request waits for a slot while no other request finishes."""

_SHORTEST_PAUSE, _LONGEST_PAUSE = 5.0, 60.0

_PAUSED_UNTIL, _PAUSE, _PROGRESS, _CONFIGURED, _COUNT = range(5)


@dataclass(frozen=True)
class SharedSlots:
    """The files in which the processes of a service share the state of its circuit breakers.

    Attributes:
        directory: writable for this user only; created on first use.
        configured: when the configuration was written. A newer configuration ends a pause, because
            it may have the address of a backend that works.
    """

    directory: Path
    configured: float = 0.0

    @classmethod
    def of(cls, config_json: Path) -> SharedSlots | None:
        """The shared files for a configuration; None if they have no directory."""
        try:
            return cls(process_directory.find(config_json), config_json.stat().st_mtime)
        except OSError as error:
            LOG.error("%s: only forked processes share the limit on waiting requests", error)
            return None

    def file(self, name: str) -> Path:
        """The file for one authentication."""
        return self.directory / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.breaker"


class CircuitBreaker:
    """Stops calls to a backend that hangs, and limits how many wait for it.

    After a call that failed slowly, no request calls the backend during a pause; then one request
    tries again.  At most ``limit`` requests wait at once, so that a worker stays free for other
    backends.  All processes of the service share this state.

    Args:
        limit: how many requests may wait for the backend at once, in all processes; None for any
            number.
        clock: the time in seconds, the same in all processes.
        sleep: waits for the given seconds.
        process_limit: how many requests of one process may wait; None for any number.
        shared_slots: where the processes share the state; without it only processes that are forked
            later share it.
        name: the name of the authentication.
    """

    def __init__(
        self,
        limit: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        *,
        process_limit: int | None = None,
        shared_slots: SharedSlots | None = None,
        name: str = "",
    ):
        self._limit = limit
        self._clock = clock
        self._sleep = sleep
        self._process_limit = process_limit
        self._waiting_here: dict[int, int] = {}
        self._configured = shared_slots.configured if shared_slots else 0.0
        self._state = SharedState(
            shared_slots.file(name) if shared_slots else None, _COUNT, process_directory.make
        )

    @contextmanager
    def call(self) -> Iterator[None]:
        """Let the block call the backend.

        Raises:
            BackendUnavailable: during a pause, or if too many requests wait already.
        """
        slot = self._acquire()
        start = self._clock()
        try:
            yield
        except (NotAuthenticated, TooManyAttempts):
            self._release(slot, hung=None)
            raise
        except BaseException:
            took = self._clock() - start
            self._release(slot, hung=took if took >= SLOW else None)
            raise
        self._release(slot, hung=None)

    def _acquire(self) -> int | None:
        while True:
            with self._state.locked() as state:
                now = self._clock()
                if self._configured > state[_CONFIGURED]:
                    state[_PAUSED_UNTIL] = state[_PAUSE] = 0.0
                    state[_CONFIGURED] = self._configured
                until, pause = state[_PAUSED_UNTIL], state[_PAUSE]
                # The clock restarts with the machine, and the file may be from before.
                if now < until <= now + _LONGEST_PAUSE:
                    raise BackendUnavailable(
                        "it did not answer, and is left alone for a while",
                        math.ceil(until - now),
                    )
                if self._limit is None or pause:
                    if pause:
                        # This request tries the backend; the others wait for the result.
                        state[_PAUSED_UNTIL] = now + pause
                    return None
                slot = self._take_slot(self._limit)
                if slot is not None:
                    state[_PROGRESS] = now
                    return slot
                if not now - SLOT_TIMEOUT < state[_PROGRESS] <= now:
                    raise BackendUnavailable("too many requests are waiting for the backend", 1)
            self._sleep(0.01)

    def _take_slot(self, limit: int) -> int | None:
        waiting = self._waiting_here.get(os.getpid(), 0)
        if self._process_limit is not None and waiting >= self._process_limit:
            return None
        slot = self._state.take_slot(limit)
        if slot is not None:
            self._waiting_here[os.getpid()] = waiting + 1
        return slot

    def _release(self, slot: int | None, *, hung: float | None) -> None:
        with self._state.locked() as state:
            now = self._clock()
            if slot is not None:
                self._state.free_slot(slot)
                self._waiting_here[os.getpid()] -= 1
            state[_PROGRESS] = now
            pause = 0.0 if hung is None else min(max(2 * hung, _SHORTEST_PAUSE), _LONGEST_PAUSE)
            state[_PAUSE] = pause
            state[_PAUSED_UNTIL] = now + pause if pause else 0.0


def default_limits(capacity: Capacity) -> tuple[int | None, int | None]:
    """One less than the server's capacity: in the whole service, and in one process."""
    whole, process = (
        None if number is None else max(1, number - 1)
        for number in (capacity.whole, capacity.process)
    )
    return whole, process
