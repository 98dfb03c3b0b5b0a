"""Warnings that a CA is about to expire."""

from __future__ import annotations

import datetime
import logging
from dataclasses import dataclass, field

from anchor.timestamps import timestamp

LOG = logging.getLogger(__name__)

DAY = datetime.timedelta(days=1)


@dataclass
class ExpiryMonitor:
    """Warns once a day when a CA is about to expire.

    Attributes:
        name: the CA, for messages.
        not_after: when the CA, or its last configured successor, expires.
        validity: the validity of the certificates that the CA issues.
        lifetimes: the number of these validities that should remain.
    """

    name: str
    not_after: datetime.datetime
    validity: datetime.timedelta
    lifetimes: float
    _reminded: datetime.datetime | None = field(default=None, repr=False)

    def warning(self, now: datetime.datetime) -> str | None:
        """The warning for the operator, or None if enough time is left."""
        left = self.not_after - now
        if left >= self.validity * self.lifetimes:
            return None
        return (
            f"it ends at {timestamp(self.not_after)}, which leaves "
            f"{max(0.0, left / self.validity):.1f} of {self.lifetimes:g} certificate lifetimes: "
            "configure its 'next'"
        )

    def remind(self, now: datetime.datetime) -> None:
        """Log the warning, if there is one, at most once a day."""
        if self._reminded is not None and now - self._reminded < DAY:
            return
        warning = self.warning(now)
        if warning is not None:
            LOG.warning("%s: %s", self.name, warning)
            self._reminded = now
