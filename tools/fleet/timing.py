"""When machines renew and retry, from the code of the client and of the service."""

from __future__ import annotations

import datetime

import numpy as np
from numpy.typing import NDArray

from anchor.acme.renewal_windows import renewal_window
from anchor.client import schedule

Times = NDArray[np.float64]
Machines = NDArray[np.int64]

HOUR = 3600.0

# The default of the CA's option backdate_seconds.
BACKDATE = 60.0

# So many results of the real function are drawn from, which is fine enough for a step of seconds.
SAMPLES = 4096

_ISSUED = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def client_spans(life: float, fraction_left: float | None, rng: np.random.Generator) -> Times:
    """The seconds from the issue of a certificate until the client renews it, for many of them.

    Args:
        life: the seconds from the issue to the end of a certificate.
        fraction_left: as ``--renew-when-left``; None for the service's ``renew_after``.
        rng: makes the fingerprints.
    """
    begin, end = _ISSUED - _seconds(BACKDATE), _ISSUED + _seconds(life)
    renew_after = (end - (end - begin) / 3).replace(microsecond=0)
    moments = [
        schedule.renewal((begin, end), rng.bytes(32).hex(), renew_after, fraction_left)
        for _ in range(SAMPLES)
    ]
    return np.array([(moment - _ISSUED).total_seconds() for moment in moments])


def window_spans(life: float, rng: np.random.Generator) -> tuple[Times, float]:
    """The seconds from the issue to the start of the ARI window, for many; and its width."""
    windows = [
        renewal_window(_ISSUED, _ISSUED + _seconds(life), rng.bytes(20).hex())
        for _ in range(SAMPLES)
    ]
    starts = np.array([(window.start - _ISSUED).total_seconds() for window in windows])
    return starts, (windows[0].end - windows[0].start).total_seconds()


def waits(failures: NDArray[np.int64], left: Times, rng: np.random.Generator) -> Times:
    """The waits after failures in seconds: :func:`anchor.client.schedule.wait` for many machines.

    Args:
        failures: the failures in a row of each machine, 1 or more.
        left: the seconds until the machine's certificate ends; 0 or less without one.
        rng: the random part.
    """
    longest = np.where(
        left > 0,
        np.clip(left / 10, schedule.FIRST_WAIT, schedule.LONGEST_WAIT),
        schedule.LONGEST_WAIT_EXPIRED,
    )
    doubled = schedule.FIRST_WAIT * 2.0 ** np.minimum(failures - 1, 20)
    waited: Times = np.minimum(longest, doubled) * rng.uniform(0.5, 1.0, len(failures))
    return waited


def _seconds(number: float) -> datetime.timedelta:
    return datetime.timedelta(seconds=number)
