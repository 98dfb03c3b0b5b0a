"""Readiness checks: tell whether certificates can be issued now, without issuing one."""

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
from anchor.runtime.load_record import LoadRecord
from anchor.timestamps import timestamp, utc_now

LOG = logging.getLogger(__name__)

# Results are cached for this many seconds, so that frequent probes do not load an HSM.
CACHE_SECONDS = 1.0


@dataclass(frozen=True)
class ReadinessCheck:
    """The result of one check.

    Everyone can read it, so it contains no path, no address and no secret.

    Attributes:
        name: what was checked, for example ``signing_ca.default.key``.
        problem: what is wrong; None if nothing is.
        warning: what is wrong, although certificates can be issued.
    """

    name: str
    problem: str | None
    warning: str | None = None


class Readiness:
    """Checks the database, and the CAs of all authorities: certificate, key and storage."""

    def __init__(
        self,
        authorities: Iterable[RegistrationAuthority],
        clock: Callable[[], datetime.datetime] = utc_now,
        loads: LoadRecord | None = None,
    ):
        self._loads = loads or LoadRecord()
        self._cas = {}
        # All authorities have the same one.
        self._databases = set()
        for authority in authorities:
            self._cas[authority.signing_ca.name] = authority.signing_ca
            self._databases.add(authority.inventory.database)
        self._clock = clock
        self._checks: tuple[ReadinessCheck, ...] = ()
        self._expires = 0.0

    def checks(self) -> tuple[ReadinessCheck, ...]:
        """The results of all checks, at most a second old."""
        if time.monotonic() >= self._expires:
            self._checks = tuple(self._run())
            self._expires = time.monotonic() + CACHE_SECONDS
        return self._checks

    def _run(self) -> Iterator[ReadinessCheck]:
        now = self._clock()
        failed = self._loads.failed_since()
        if failed is not None:
            yield ReadinessCheck(
                "configuration",
                None,
                f"the new one could not be loaded at {timestamp(failed)}, the old one is in use; "
                "the log has the reason",
            )
        for database in self._databases:
            yield ReadinessCheck(
                "database",
                _problem_if_raised(database.ready, "the database cannot be used now", "database"),
            )
        for name, ca in sorted(self._cas.items()):
            yield ReadinessCheck(f"signing_ca.{name}.certificate", _certificate_problem(ca, now))
            yield ReadinessCheck(
                f"signing_ca.{name}.key",
                _problem_if_raised(
                    partial(ca.ready, now), "the key cannot be used now", f"signing_ca.{name}"
                ),
            )
            yield ReadinessCheck(
                f"signing_ca.{name}.storage",
                _problem_if_raised(
                    ca.store.ready, "certificates cannot be stored now", f"signing_ca.{name}"
                ),
            )


def _certificate_problem(ca: SigningCA, now: datetime.datetime) -> str | None:
    left = ca.at(now).not_after - now
    if left <= datetime.timedelta():
        return "it has ended"
    if left < ca.profile.min_validity:
        return "it ends too soon to issue anything"
    return None


def _problem_if_raised(check: Callable[[], None], problem: str, name: str) -> str | None:
    try:
        check()
    except AnchorError as error:
        LOG.error("%s: %s: %s", name, problem, error)
        return problem
    return None
