"""Renewing on time, by staying."""

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
from anchor.client.renewal import Outcome, Renewer, Result
from anchor.client.tracking import TrackedCertificate
from anchor.errors import AnchorError, ConfigurationError

# A clock that jumps, or a machine that slept, is noticed within this many seconds; and so is
# whatever another run has changed in the state directory.
LONGEST_SLEEP = 60.0


@dataclass(frozen=True)
class Backoff:
    """How often a certificate failed in a row, and until when it rests, by the monotonic clock."""

    failures: int
    until: float


@dataclass
class Daemon:
    """Looks at the clock at least once a minute, and renews what is due.

    Credentials that were refused are tried again when they are others, which takes the daemon a
    minute to notice, and otherwise only after a long while.

    Attributes:
        renewer: does the work.
        report: is given what became of each try.
        complain: is told, once, of what cannot even be read.
    """

    renewer: Renewer
    report: Callable[[Outcome], None]
    complain: Callable[[str], None]
    _stopping: bool = False
    _complained: dict[str, str] = field(default_factory=dict)
    _resting: dict[str, Backoff] = field(default_factory=dict)
    _refused: dict[str, bytes | None] = field(default_factory=dict)

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Work until SIGTERM or SIGINT; SIGHUP has it look at everything at once.

        Args:
            ready: is called as soon as a signal does no harm any more.
        """
        with self._signals() as woken:
            ready()
            while not self._stopping:
                pause = self.cycle()
                if self._stopping:
                    break
                readable, _, _ = select.select([woken], [], [], pause)
                if readable:
                    os.read(woken, 1024)

    def cycle(self) -> float:
        """Do what is due, and say for how many seconds there is nothing to do."""
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
                pause = min(pause, max(1.0, self._look_after(name)))
            except AnchorError as error:
                self._complain_once(name, str(error))
            else:
                self._complained.pop(name, None)
        return pause

    def _look_after(self, name: str) -> float:
        """Renew a certificate if it is due, and say in how many seconds it is to be looked at."""
        clock = self.renewer.clock
        rest = self._resting.get(name)
        if rest is not None and time.monotonic() < rest.until:
            return rest.until - time.monotonic()
        tracked = self.renewer.state.read(name)
        changed = False
        if tracked.history.credentials_refused:
            identity = _identity(tracked)
            changed = identity is not None and identity != self._refused.get(name)
        left = self.renewer.next_time(tracked, patient=not changed) - clock()
        if left > 0:
            self._resting.pop(name, None)
            return left
        # Read before they are used: what changes in between is noticed at the next look.
        self._refused[name] = _identity(tracked)
        outcome = self.renewer.renew(name, force=False, patient=not changed)
        if outcome.result is not Result.NOT_DUE:
            self.report(outcome)
        left = self.renewer.next_time(self.renewer.state.read(name)) - clock()
        if left <= 0:
            # Not even the failure could be written down, so it is kept in mind.
            failures = rest.failures + 1 if rest else 1
            left = schedule.wait(failures, float("inf"))
            self._resting[name] = Backoff(failures, time.monotonic() + left)
        return left

    def _complain_once(self, name: str, message: str) -> None:
        if self._complained.get(name) != message:
            self._complained[name] = message
            self.complain(message)

    @contextmanager
    def _signals(self) -> Iterator[int]:
        """A descriptor that becomes readable when a signal comes."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        before = {
            number: signal.signal(number, handler)
            for number, handler in (
                (signal.SIGTERM, self._stop),
                (signal.SIGINT, self._stop),
                (signal.SIGHUP, _look_again),
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
        return configuration.load(tracked.wish.config).identity()
    except ConfigurationError:
        return None


def _look_again(_number: int, _frame: FrameType | None) -> None:
    """Waking up is all: everything is read anew each time."""
