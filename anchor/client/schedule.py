"""When a certificate is renewed, and how long to wait after a failure."""

from __future__ import annotations

import datetime
import random

# After a failure: the first wait, and the longest, in seconds.
FIRST_WAIT = 10.0
LONGEST_WAIT = 3600.0

# The longest wait when there is no certificate, or one that has expired, in seconds.
LONGEST_WAIT_EXPIRED = 300.0

# After a refusal, which seldom passes by itself: the shortest wait and the longest, in seconds.
REFUSAL_WAITS = (1800.0, 2700.0)

# The longest wait that a service may ask for by Retry-After, in seconds.
LONGEST_ASKED = 86400.0


def renewal(
    life: tuple[datetime.datetime, datetime.datetime],
    fingerprint: str,
    renew_after: datetime.datetime | None,
    when_left: float | None,
) -> datetime.datetime:
    """The moment from which a certificate is due.

    Args:
        life: when the certificate begins and when it ends.
        fingerprint: of the certificate, in hexadecimal.  It is as good as random, so it spreads the
            machines, and all runs on one machine find the same moment without writing it down.
        renew_after: when the service would like it renewed; a third of the life before its end
            if None.
        when_left: the part of the life that is to be left, if the machine's owner decides it.
    """
    begin, end = life
    if when_left is not None:
        start = end - (end - begin) * when_left
    elif renew_after is not None:
        start = renew_after
    else:
        start = end - (end - begin) / 3
    window = min((end - begin) / 10, (end - start) / 2)
    return start + window * (int(fingerprint[:8], 16) / 0x100000000)


def wait(failures: int, seconds_left: float) -> float:
    """How many seconds to wait after a number of failures in a row.

    It doubles each time, differs between machines, and does not sleep a certificate's end away.
    """
    if seconds_left > 0:
        longest = min(LONGEST_WAIT, max(FIRST_WAIT, seconds_left / 10))
    else:
        longest = LONGEST_WAIT_EXPIRED
    doubled = FIRST_WAIT * 2.0 ** min(failures - 1, 20)
    return min(longest, doubled) * random.uniform(0.5, 1.0)  # noqa: S311  # it spreads, it hides nothing


def wait_after_refusal() -> float:
    """How many seconds to wait after the service refused a request; it differs each time."""
    return random.uniform(*REFUSAL_WAITS)  # noqa: S311  # it spreads, it hides nothing
