"""The programs that renew certificates on the machines, each for the whole fleet at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .timing import HOUR, Machines, Times, client_spans, waits, window_spans

# CPU of a certificate over ACME, in certificates over /v1/sign: "A certificate over ACME" in
# doc/source/explanation/measurements.rst.
ACME_COST = 4.5

# certmonger's default: it renews when half a day is left of a certificate of a day.
CERTMONGER_LEFT = 12 * HOUR


class Client:
    """A machine's program; this one asks as soon as its certificate is due.

    Attributes:
        cost: the work that one certificate is for the service, in certificates over /v1/sign.
    """

    cost = 1.0

    def __init__(self, machines: int, spans: Times, rng: np.random.Generator) -> None:
        """Make the programs of all machines.

        Args:
            machines: their number.
            spans: draws of the seconds from the issue of a certificate until it is due.
            rng: makes everything random.
        """
        self.rng = rng
        self.spans = spans
        self.failures = np.zeros(machines, dtype=np.int64)

    def draw_spans(self, count: int) -> Times:
        """The seconds until certificates that are issued now are due."""
        drawn: Times = self.rng.choice(self.spans, count)
        return drawn

    def request_times(self, machines: Machines, due: Times) -> Times:
        """When machines ask for certificates that are due from a time on."""
        del machines
        return due

    def after_success(self, machines: Machines, now: Times) -> Times:
        """When machines ask again that got a certificate now."""
        self.failures[machines] = 0
        return self.request_times(machines, now + self.draw_spans(len(machines)))

    def after_failure(self, machines: Machines, now: Times, left: Times) -> Times:
        """When machines ask again that got none, and whose certificates last so many seconds."""
        self.failures[machines] += 1
        return now + waits(self.failures[machines], left, self.rng)

    def after_boot(self, machines: Machines, booted: Times) -> Times:
        """When machines ask whose certificate fell due while they were off."""
        return self.request_times(machines, booted)


class Daemon(Client):
    """``anchor renew --daemon``."""


class Certmonger(Client):
    """certmonger with ``anchor-certmonger``, which waits like the daemon after a failure."""

    def __init__(self, machines: int, life: float, rng: np.random.Generator) -> None:
        """Make the programs of all machines, whose certificates live for so many seconds."""
        super().__init__(machines, np.array([life - CERTMONGER_LEFT]), rng)


class Container(Client):
    """A container: ``anchor request --wait 3600``, restarted until it succeeds; then the daemon."""

    WAIT = 3600.0
    # Kubernetes waits 10 seconds, then twice as long each time, up to five minutes.
    FIRST_RESTART, LONGEST_RESTART = 10.0, 300.0

    def __init__(self, machines: int, spans: Times, rng: np.random.Generator) -> None:
        """Make the programs of all machines."""
        super().__init__(machines, spans, rng)
        self.deadlines = np.full(machines, np.nan)
        self.restarts = np.zeros(machines, dtype=np.int64)

    def after_failure(self, machines: Machines, now: Times, left: Times) -> Times:
        """When containers ask again; ``left`` is positive if the daemon runs already."""
        again = super().after_failure(machines, now, left)
        fresh = left <= 0
        deadlines = self.deadlines[machines]
        deadlines = np.where(np.isnan(deadlines), now + self.WAIT, deadlines)
        again = np.where(fresh, np.minimum(again, np.maximum(deadlines, now)), again)
        over = fresh & (deadlines <= now)
        pauses = np.minimum(
            self.FIRST_RESTART * 2.0 ** np.minimum(self.restarts[machines], 20),
            self.LONGEST_RESTART,
        )
        again = np.where(over, now + pauses, again)
        self.deadlines[machines] = np.where(over, again + self.WAIT, deadlines)
        self.restarts[machines] += over
        self.failures[machines[over]] = 0
        return again


@dataclass(frozen=True)
class Runs:
    """How often a timer or cron starts a program.

    Attributes:
        interval: the seconds between two runs.
        delay: the longest random delay of a run in seconds.
        is_fixed: True if each machine always has the same delay (``FixedRandomDelay``).
    """

    interval: float
    delay: float
    is_fixed: bool


# tools/systemd/anchor-renew.timer and its line of cron, and the timer in
# doc/source/howto/acme-clients.rst.
TIMER = Runs(HOUR, HOUR, is_fixed=True)
ACME_TIMER = Runs(2 * HOUR, 2 * HOUR, is_fixed=True)


class Timer(Client):
    """``anchor renew``, run by a timer of systemd or by cron; after a failure the next run asks."""

    def __init__(self, machines: int, spans: Times, rng: np.random.Generator, runs: Runs) -> None:
        """Make the programs of all machines."""
        super().__init__(machines, spans, rng)
        self.runs = runs
        self.delays = rng.uniform(0, runs.delay, machines)

    def next_runs(self, machines: Machines, times: Times) -> Times:
        """The first run of each machine at or after a time."""
        interval = self.runs.interval
        if self.runs.is_fixed:
            delays = self.delays[machines]
            first: Times = np.ceil((times - delays) / interval) * interval + delays
            return first
        hours = np.floor(times / interval) * interval
        first = hours + self.rng.uniform(0, self.runs.delay, len(times))
        second = hours + interval + self.rng.uniform(0, self.runs.delay, len(times))
        return np.where(first >= times, first, second)

    def request_times(self, machines: Machines, due: Times) -> Times:
        """The first run after the certificate is due."""
        return self.next_runs(machines, due)

    def after_failure(self, machines: Machines, now: Times, left: Times) -> Times:
        """The next run."""
        del left
        return self.next_runs(machines, now + 1)

    def after_boot(self, machines: Machines, booted: Times) -> Times:
        """The run that was missed (``Persistent``), after the delay of the timer."""
        if self.runs.is_fixed:
            return booted + self.delays[machines]
        return booted + self.rng.uniform(0, self.runs.delay, len(booted))


class Certbot(Timer):
    """certbot with ARI: each run draws a time in the window, and renews if it has passed."""

    cost = ACME_COST

    def __init__(self, machines: int, life: float, rng: np.random.Generator, runs: Runs) -> None:
        """Make the programs of all machines, whose certificates live for so many seconds."""
        starts, self.width = window_spans(life, rng)
        super().__init__(machines, starts, rng, runs)

    def request_times(self, machines: Machines, due: Times) -> Times:
        """The first run that draws a time that has passed."""
        asked = self.next_runs(machines, due)
        later = np.arange(len(machines))
        while True:
            drawn = self.rng.uniform(0, self.width, len(later))
            later = later[drawn > (asked - due)[later]]
            if not len(later):
                return asked
            asked[later] = self.next_runs(machines[later], asked[later] + 1)


def daemon(
    machines: int, life: float, rng: np.random.Generator, fraction_left: float | None = None
) -> Client:
    """The daemons of all machines; ``fraction_left`` as ``--renew-when-left``."""
    return Daemon(machines, client_spans(life, fraction_left, rng), rng)
