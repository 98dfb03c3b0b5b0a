"""The time of a renewal, and the wait after a failure."""

from __future__ import annotations

import datetime
import random

# The first and the longest wait after a failure, in seconds.
FIRST_WAIT = 10.0
LONGEST_WAIT = 3600.0

# The longest wait without a valid certificate, in seconds.
LONGEST_WAIT_EXPIRED = 600.0

# The shortest and the longest wait after a refusal, which another try seldom changes, in seconds.
REFUSAL_WAITS = (1800.0, 2700.0)

# The shortest wait after a refusal while the certificate is valid, in seconds.
SHORTEST_REFUSAL_WAIT = 60.0

# The longest wait that a service may ask for by Retry-After, in seconds.
LONGEST_ASKED = 86400.0


def renewal(
    life: tuple[datetime.datetime, datetime.datetime],
    fingerprint: str,
    renew_after: datetime.datetime | None,
    fraction_left: float | None,
) -> datetime.datetime:
    """The time from which a certificate is due for renewal.

    Args:
        life: the begin and the end of the certificate's validity.
        fingerprint: the certificate's fingerprint in hexadecimal. It works as a random number that
            differs between machines and is the same in each run.
        renew_after: the time that the service asks for; None for a third of the life before the
            end.
        fraction_left: the fraction of the life that is left at the renewal, from the command line.
    """
    begin, end = life
    if fraction_left is not None:
        start = end - (end - begin) * fraction_left
    elif renew_after is not None:
        start = renew_after
    else:
        start = end - (end - begin) / 3
    window = min((end - begin) / 10, (end - start) / 2)
    return start + window * (int(fingerprint[:8], 16) / 0x100000000)


def wait(failures: int, seconds_left: float) -> float:
    """The seconds to wait after a number of failures in a row.

    The wait doubles each time and is random. It is at most a tenth of the certificate's remaining
    validity, so that there are more tries before its end.

    Args:
        failures: the number of failures, 1 or more.
        seconds_left: the remaining validity of the current certificate; 0 without one.
    """
    if seconds_left > 0:
        longest = min(LONGEST_WAIT, max(FIRST_WAIT, seconds_left / 10))
    else:
        longest = LONGEST_WAIT_EXPIRED
    doubled = FIRST_WAIT * 2.0 ** min(failures - 1, 20)
    return min(longest, doubled) * random.uniform(0.5, 1.0)  # noqa: S311  # not a secret


def wait_after_refusal(seconds_left: float) -> float:
    """The seconds to wait after the service refused a request; a random number.

    A refusal may pass, for example when a proxy is updated. So before the certificate expires, the
    wait is at most half of its remaining validity, but at least a minute.

    Args:
        seconds_left: the remaining validity of the current certificate; 0 without one.
    """
    longest = max(SHORTEST_REFUSAL_WAIT, seconds_left / 2) if seconds_left > 0 else float("inf")
    return min(longest, random.uniform(*REFUSAL_WAITS))  # noqa: S311  # not a secret
