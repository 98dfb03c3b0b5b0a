"""A process that renews certificates when they are due."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from anchor.client import configuration, schedule
from anchor.client.outcome import Outcome, Result
from anchor.client.renewal import Renewer
from anchor.client.tracking import TrackedCertificate
from anchor.errors import AnchorError, ConfigurationError

# The longest sleep in seconds. After it, the daemon notices a clock that was set, the end of a
# suspend, and changes of another run in the state directory.
LONGEST_SLEEP = 60.0


@dataclass(frozen=True)
class Backoff:
    """Failures in a row, and the monotonic time before which there is no other try."""

    failures: int
    until: float


@dataclass
class Daemon:
    """Checks the certificates at least once a minute, and renews those that are due.

    After the service refused the credentials, it tries again within a minute of a change of the
    credentials, and otherwise after a long wait.

    Attributes:
        renewer: renews one certificate.
        report: called with the outcome of each try.
        complain: called once with the message if the state cannot be read.
    """

    renewer: Renewer
    report: Callable[[Outcome], None]
    complain: Callable[[str], None]
    _stopping: bool = False
    _complained: dict[str, str] = field(default_factory=dict)
    _backoffs: dict[str, Backoff] = field(default_factory=dict)
    _refused: dict[str, bytes | None] = field(default_factory=dict)

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Work until SIGTERM or SIGINT; SIGHUP starts a check at once.

        Args:
            ready: called when the signal handlers are installed.
        """
        with self._signals() as wakeup:
            ready()
            while not self._stopping:
                pause = self.cycle()
                if self._stopping:
                    break
                readable, _, _ = select.select([wakeup], [], [], pause)
                if readable:
                    os.read(wakeup, 1024)

    def cycle(self) -> float:
        """Renew what is due, and return the seconds until the next check."""
        pause = LONGEST_SLEEP
        try:
            names = self.renewer.state.names()
        except AnchorError as error:
            self._complain_once("", str(error))
            return pause
        for name in names:
            if self._stopping:
                break
            try:
                pause = min(pause, max(1.0, self._check(name)))
            except AnchorError as error:
                self._complain_once(name, str(error))
            else:
                self._complained.pop(name, None)
        return pause

    def _check(self, name: str) -> float:
        """Renew a certificate if it is due, and return the seconds until its next check."""
        clock = self.renewer.clock
        backoff = self._backoffs.get(name)
        if backoff is not None and time.monotonic() < backoff.until:
            return backoff.until - time.monotonic()
        tracked = self.renewer.state.read(name)
        changed = False
        if tracked.history.credentials_refused:
            identity = _identity(tracked)
            changed = identity is not None and identity != self._refused.get(name)
        left = self.renewer.next_time(tracked, back_off=not changed) - clock()
        if left > 0:
            self._backoffs.pop(name, None)
            return left
        # Hash the credentials before their use, so that the next check notices a change in between.
        self._refused[name] = _identity(tracked)
        outcome = self.renewer.renew(name, force=False, back_off=not changed)
        if outcome.result is not Result.NOT_DUE:
            self.report(outcome)
        left = self.renewer.next_time(self.renewer.state.read(name)) - clock()
        if left <= 0:
            # The failure could not be written to the state, so keep it in memory.
            failures = backoff.failures + 1 if backoff else 1
            left = schedule.wait(failures, float("inf"))
            self._backoffs[name] = Backoff(failures, time.monotonic() + left)
        return left

    def _complain_once(self, name: str, message: str) -> None:
        if self._complained.get(name) != message:
            self._complained[name] = message
            self.complain(message)

    @contextmanager
    def _signals(self) -> Iterator[int]:
        """A file descriptor that becomes readable when a signal arrives."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        before = {
            number: signal.signal(number, handler)
            for number, handler in (
                (signal.SIGTERM, self._stop),
                (signal.SIGINT, self._stop),
                (signal.SIGHUP, _wake_up),
            )
        }
        old_descriptor = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        try:
            yield reading
        finally:
            signal.set_wakeup_fd(old_descriptor)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(reading)
            os.close(writing)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True


def _identity(tracked: TrackedCertificate) -> bytes | None:
    """A hash of the credentials and the service; None while they cannot be read."""
    try:
        return configuration.load_for(tracked.spec).identity()
    except ConfigurationError:
        return None


def _wake_up(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the signal ends the sleep, and each check reads everything again."""
