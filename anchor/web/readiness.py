"""Whether certificates can be issued now, as far as that shows without issuing one."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from anchor.authority import RegistrationAuthority
from anchor.ca.signing_ca import SigningCA
from anchor.errors import AnchorError
from anchor.timestamps import utc_now

LOG = logging.getLogger(__name__)

# For so long an answer stands, in seconds: whoever asks, an HSM is not asked more often.
STANDS = 1.0


@dataclass(frozen=True)
class Finding:
    """One thing that issuing takes, and what is wrong with it; None if nothing is.

    The words are for everyone to read: no path, no address and no secret is in them.
    """

    what: str
    problem: str | None


class Readiness:
    """Looks at the CAs of all authorities: certificate, key and storage."""

    def __init__(
        self,
        authorities: Iterable[RegistrationAuthority],
        clock: Callable[[], datetime.datetime] = utc_now,
    ):
        self._cas = {authority.signing_ca.name: authority.signing_ca for authority in authorities}
        self._clock = clock
        self._found: tuple[Finding, ...] = ()
        self._until = 0.0

    def findings(self) -> tuple[Finding, ...]:
        """What was found, at most a second ago."""
        if time.monotonic() >= self._until:
            self._found = tuple(self._look())
            self._until = time.monotonic() + STANDS
        return self._found

    def _look(self) -> Iterator[Finding]:
        now = self._clock()
        for name, ca in sorted(self._cas.items()):
            yield Finding(f"signing_ca.{name}.certificate", _about_the_certificate(ca, now))
            yield Finding(
                f"signing_ca.{name}.key",
                _tried(partial(ca.ready, now), "the key cannot be used now", name),
            )
            yield Finding(
                f"signing_ca.{name}.storage",
                _tried(ca.store.ready, "certificates cannot be stored now", name),
            )


def _about_the_certificate(ca: SigningCA, now: datetime.datetime) -> str | None:
    left = ca.at(now).not_after - now
    if left <= datetime.timedelta():
        return "it has ended"
    if left < ca.profile.min_validity:
        return "it ends too soon to issue anything"
    return None


def _tried(try_it: Callable[[], None], problem: str, name: str) -> str | None:
    try:
        try_it()
    except AnchorError as error:
        LOG.error("signing_ca.%s: %s: %s", name, problem, error)
        return problem
    return None
