"""Telling the operator in time that a CA is about to end."""

from __future__ import annotations

import datetime
import logging
from dataclasses import dataclass, field

from anchor.timestamps import timestamp

LOG = logging.getLogger(__name__)

DAY = datetime.timedelta(days=1)


@dataclass
class ExpiryMonitor:
    """Knows how much life a CA should have left, and says so, once a day, when it has less.

    Attributes:
        what: the CA, for people.
        ends: when it, or the last one that is to follow it, ends.
        validity: that of the certificates that it issues.
        lifetimes: how many of those should fit in what is left of its life.
    """

    what: str
    ends: datetime.datetime
    validity: datetime.timedelta
    lifetimes: float
    _reminded: datetime.datetime | None = field(default=None, repr=False)

    def warning(self, now: datetime.datetime) -> str | None:
        """What to tell the operator, or None while there is time."""
        left = self.ends - now
        if left >= self.validity * self.lifetimes:
            return None
        return (
            f"it ends at {timestamp(self.ends)}, which leaves "
            f"{max(0.0, left / self.validity):.1f} of {self.lifetimes:g} certificate lifetimes: "
            "configure its 'next'"
        )

    def remind(self, now: datetime.datetime) -> None:
        """Put the warning in the log, if there is one and the last is a day ago."""
        if self._reminded is not None and now - self._reminded < DAY:
            return
        warning = self.warning(now)
        if warning is not None:
            LOG.warning("%s: %s", self.what, warning)
            self._reminded = now
