"""A time limit for a call to a library that cannot limit it itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from anchor.errors import BackendUnavailable
from anchor.runtime import threads

Result = TypeVar("Result")


class Deadline:
    """Calls a function in another thread, and stops waiting for it after a while.

    The timeouts of libraries apply to each packet only, and the lookup of a host name has none.  A
    thread cannot be stopped: after the timeout it runs on, and its result is dropped.

    Args:
        seconds: how long to wait for a result.
        max_abandoned: how many calls may run on after their timeout; then no new call starts.
    """

    def __init__(self, seconds: float, max_abandoned: int = 8):
        self.seconds = seconds
        self._max_abandoned = max_abandoned
        self._lock = threading.Lock()
        self._abandoned = 0

    def call(self, function: Callable[[], Result]) -> Result:
        """Return what the function returns, or raise what it raises.

        Raises:
            BackendUnavailable: it did not end in time.
        """
        with self._lock:
            if self._abandoned >= self._max_abandoned:
                raise BackendUnavailable("too many earlier questions are still unanswered")
        call = _Call(function)
        threads.start(call.run, "anchor-question")
        if not call.ended.wait(self.seconds):
            with self._lock:
                self._abandoned += 1
            call.when_ended(self._forget_abandoned)
            raise BackendUnavailable(f"no answer within {self.seconds:g} seconds")
        if call.error is not None:
            raise call.error
        return call.results[0]

    def _forget_abandoned(self) -> None:
        with self._lock:
            self._abandoned -= 1


class _Call(Generic[Result]):
    """A call in another thread; ``results`` is empty until it has succeeded."""

    def __init__(self, function: Callable[[], Result]):
        self.ended = threading.Event()
        self.results: list[Result] = []
        self.error: BaseException | None = None
        self._function = function
        self._lock = threading.Lock()
        self._callback: Callable[[], None] | None = None

    def run(self) -> None:
        try:
            self.results.append(self._function())
        except BaseException as error:  # noqa: BLE001  # Deadline.call raises it
            self.error = error
        with self._lock:
            self.ended.set()
            callback = self._callback
        if callback is not None:
            callback()

    def when_ended(self, callback: Callable[[], None]) -> None:
        """Call the callback once the call has ended, or now if it has."""
        with self._lock:
            if not self.ended.is_set():
                self._callback = callback
                return
        callback()
