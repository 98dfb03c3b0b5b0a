"""A bound on how long a question may take, whatever the library that asks it waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from anchor.errors import BackendUnavailable
from anchor.runtime import threads

Answer = TypeVar("Answer")


class Deadline:
    """Asks in a thread of its own, and stops waiting for it after a time.

    A library's timeouts count from one octet to the next, and looking up a host's name has none at
    all.  A thread cannot be stopped: what it asks for in vain goes on, unheard, and not more than
    ``unheard`` of them at once.

    Args:
        seconds: how long to wait.
        unheard: with so many questions still unanswered, no other is asked.
    """

    def __init__(self, seconds: float, unheard: int = 8):
        self.seconds = seconds
        self._unheard = unheard
        self._lock = threading.Lock()
        self._late = 0

    def call(self, ask: Callable[[], Answer]) -> Answer:
        """What ``ask`` returns or raises.

        Raises:
            BackendUnavailable: it did not end in time.
        """
        with self._lock:
            if self._late >= self._unheard:
                raise BackendUnavailable("too many earlier questions are still unanswered")
        question = _Question(ask)
        threads.start(question.run, "anchor-question")
        if not question.ended.wait(self.seconds):
            with self._lock:
                self._late += 1
            question.when_ended(self._one_less)
            raise BackendUnavailable(f"no answer within {self.seconds:g} seconds")
        if question.error is not None:
            raise question.error
        return question.answers[0]

    def _one_less(self) -> None:
        with self._lock:
            self._late -= 1


class _Question(Generic[Answer]):
    def __init__(self, ask: Callable[[], Answer]):
        self.ended = threading.Event()
        self.answers: list[Answer] = []
        self.error: BaseException | None = None
        self._ask = ask
        self._lock = threading.Lock()
        self._then: Callable[[], None] | None = None

    def run(self) -> None:
        try:
            self.answers.append(self._ask())
        except BaseException as error:  # noqa: BLE001  # it is raised where the answer is awaited
            self.error = error
        with self._lock:
            self.ended.set()
            then = self._then
        if then is not None:
            then()

    def when_ended(self, then: Callable[[], None]) -> None:
        with self._lock:
            if not self.ended.is_set():
                self._then = then
                return
        then()
