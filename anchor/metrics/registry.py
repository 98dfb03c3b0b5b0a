"""The metrics of the service: counters of requests and certificates, and gauges of CAs."""

from __future__ import annotations

import bisect
import datetime
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from anchor import errors
from anchor.auth.results import AuthDetails
from anchor.authority import RegistrationAuthority
from anchor.ca.issued import IssuedCertificate
from anchor.ca.signing_ca import SigningCA
from anchor.metrics.labels import (
    AUTHENTICATION_OUTCOMES,
    BUCKETS_SECONDS,
    ISSUED,
    NO_AUTHENTICATION,
    OTHER_CHECK,
    Key,
    counter_keys,
    outcome_of,
    refusing,
)
from anchor.metrics.shared_counters import SharedCounters
from anchor.runtime.load_record import LoadRecord
from anchor.timestamps import utc_now

# Certificates in force are counted in slots by their end.  A slot is reused when its time is over;
# the spare slots keep a full lifetime from reaching a slot that is still in use.
SLOTS = 256
SPARE_SLOTS = 6


@dataclass(frozen=True)
class Sample:
    """A value with its name and labels."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


@dataclass(frozen=True)
class Family:
    """A metric with its samples; ``kind`` is ``counter``, ``gauge`` or ``histogram``."""

    name: str
    kind: str
    help: str
    samples: tuple[Sample, ...]


class Metrics:
    """The metrics of all worker processes of the service.

    The configuration determines all labels; no label contains data from a request.

    Args:
        authorities: the authorities by their names.
        directory: for the files of the counters; None to count this process only.
        clock: the time in UTC.
        acme: the names of the authorities with ACME.
        loads: the record of when the configuration was loaded.
    """

    def __init__(
        self,
        authorities: Mapping[str, RegistrationAuthority],
        directory: Path | None = None,
        clock: Callable[[], datetime.datetime] = utc_now,
        *,
        acme: Container[str] = (),
        loads: LoadRecord | None = None,
    ):
        self._clock = clock
        self._loads = loads or LoadRecord()
        self._cas = {
            authority.signing_ca.name: authority.signing_ca for authority in authorities.values()
        }
        # All authorities have the same one.
        self._databases = {authority.inventory.database for authority in authorities.values()}
        self._slot_seconds = {name: _slot_seconds(ca) for name, ca in self._cas.items()}
        keys: list[Key] = [*counter_keys(list(authorities.values()), self._cas.values(), acme)]
        self._positions = {key: position for position, key in enumerate(keys)}
        self._issued_positions = {
            name: (
                self._positions["requests", name, ISSUED],
                self._positions["issued", authority.signing_ca.name],
                self._positions["signing", authority.signing_ca.name, "0"],
                self._positions["signing_sum", authority.signing_ca.name],
            )
            for name, authority in authorities.items()
        }
        # The slots are after all keys.  Each slot is two numbers: the slot's number and its count.
        self._first_slots = {
            name: len(keys) + 2 * SLOTS * index for index, name in enumerate(self._cas)
        }
        layout = ["|".join(key) for key in keys]
        layout += [
            f"in_force|{name}|{SLOTS} of {seconds} s"
            for name, seconds in self._slot_seconds.items()
        ]
        self._counters = SharedCounters(directory, layout, len(keys) + 2 * SLOTS * len(self._cas))

    def issued(self, authority: RegistrationAuthority, issued: IssuedCertificate) -> None:
        """Count an issued certificate."""
        requests, certificates, buckets, seconds = self._issued_positions[authority.name]
        end = issued.not_after.timestamp()
        slot = int(end // self._slot_seconds[authority.signing_ca.name]) + 1
        self._counters.add_all(
            {
                requests: 1,
                certificates: 1,
                buckets + bisect.bisect_left(BUCKETS_SECONDS, issued.signing_seconds): 1,
                seconds: issued.signing_seconds,
            },
            in_slot=(self._first_slots[authority.signing_ca.name] + 2 * (slot % SLOTS), slot),
        )

    def authenticated(self, identity: AuthDetails) -> None:
        """Count accepted credentials."""
        name = identity.authentication or NO_AUTHENTICATION
        self._count("authenticated", name, identity.credential)

    def failed(self, authority: RegistrationAuthority, error: Exception) -> None:
        """Count a request for which no certificate was issued."""
        self._count("requests", authority.name, outcome_of(error))
        self.authentication_failed(authority, error)
        if isinstance(error, errors.ValidationFailed):
            for check in {failure.check for failure in error.failures}:
                is_configured = ("refusals", authority.name, check) in self._positions
                self._count("refusals", authority.name, check if is_configured else OTHER_CHECK)

    def authentication_failed(self, authority: RegistrationAuthority, error: Exception) -> None:
        """Count credentials that were not accepted, in a request for no certificate."""
        outcome = outcome_of(error)
        if outcome in AUTHENTICATION_OUTCOMES:
            self._count("authentication", refusing(authority, error), outcome)

    def _count(self, *key: str) -> None:
        self._counters.add(self._positions[key])

    def families(self) -> tuple[Family, ...]:
        """All metrics with their current values."""
        rows = self._counters.rows()
        counts = (row[: len(self._positions)] for row in rows)
        sums = [sum(column) for column in zip(*counts, strict=True)]
        now = self._clock()

        def family(name: str, kind: str, help_text: str, samples: Iterator[Sample]) -> Family:
            return Family(name, kind, help_text, tuple(samples))

        def counted(name: str, counter: str, *labels: str) -> Iterator[Sample]:
            for key, position in self._positions.items():
                if key[0] == counter:
                    yield Sample(name, tuple(zip(labels, key[1:], strict=True)), sums[position])

        return (
            family(
                "anchor_requests_total",
                "counter",
                "Requests for a certificate, by outcome.",
                counted("anchor_requests_total", "requests", "authority", "outcome"),
            ),
            family(
                "anchor_refusals_total",
                "counter",
                "Requests refused by a check; several checks can refuse one request.",
                counted("anchor_refusals_total", "refusals", "authority", "check"),
            ),
            family(
                "anchor_authentications_total",
                "counter",
                "Requests whose credentials were accepted, by the kind of credential.",
                counted(
                    "anchor_authentications_total",
                    "authenticated",
                    "authentication",
                    "credential",
                ),
            ),
            family(
                "anchor_authentication_failures_total",
                "counter",
                "Requests whose credentials were not accepted or could not be checked.",
                counted(
                    "anchor_authentication_failures_total",
                    "authentication",
                    "authentication",
                    "kind",
                ),
            ),
            family(
                "anchor_signing_seconds",
                "histogram",
                "Time to build, sign and verify a certificate.",
                self._signing_seconds(sums),
            ),
            family(
                "anchor_certificates_issued_total",
                "counter",
                "Certificates issued.",
                counted("anchor_certificates_issued_total", "issued", "signing_ca"),
            ),
            family(
                "anchor_certificates_in_force",
                "gauge",
                "Issued certificates that have not expired.",
                self._certificates_in_force(rows, sums, now),
            ),
            family(
                "anchor_ca_remaining_seconds",
                "gauge",
                "Time until the CA, or a certificate in its chain, expires.",
                self._ca_remaining_seconds(now),
            ),
            family(
                "anchor_database_up",
                "gauge",
                "1 if the database can be read now, 0 if not.",
                self._database_up(),
            ),
            family(
                "anchor_config_reload_failed",
                "gauge",
                "1 if the service has an old configuration because it cannot load the new one.",
                self._reload_failed(),
            ),
            family(
                "anchor_config_loaded_timestamp_seconds",
                "gauge",
                "When a process of the service last loaded the configuration.",
                self._config_loaded(),
            ),
        )

    def _signing_seconds(self, sums: Sequence[float]) -> Iterator[Sample]:
        name = "anchor_signing_seconds"
        for ca in self._cas:
            label = (("signing_ca", ca),)
            first = self._positions["signing", ca, "0"]
            # Prometheus' buckets are cumulative.
            cumulative = list(accumulate(sums[first : first + len(BUCKETS_SECONDS) + 1]))
            for bound, count in zip((*map(str, BUCKETS_SECONDS), "+Inf"), cumulative, strict=True):
                yield Sample(f"{name}_bucket", (*label, ("le", bound)), count)
            yield Sample(f"{name}_sum", label, sums[self._positions["signing_sum", ca]])
            yield Sample(f"{name}_count", label, cumulative[-1])

    def _certificates_in_force(
        self, rows: Sequence[Sequence[float]], sums: Sequence[float], now: datetime.datetime
    ) -> Iterator[Sample]:
        for name, first in self._first_slots.items():
            current_slot = now.timestamp() // self._slot_seconds[name]
            issued = sums[self._positions["issued", name]]
            count = sum(
                row[position + 1]
                for row in (rows if issued else ())
                for position in range(first, first + 2 * SLOTS, 2)
                if row[position] > current_slot
            )
            yield Sample("anchor_certificates_in_force", (("signing_ca", name),), count)

    def _ca_remaining_seconds(self, now: datetime.datetime) -> Iterator[Sample]:
        for name, ca in self._cas.items():
            seconds = (ca.at(now).not_after - now).total_seconds()
            yield Sample("anchor_ca_remaining_seconds", (("signing_ca", name),), seconds)

    def _database_up(self) -> Iterator[Sample]:
        for database in self._databases:
            yield Sample("anchor_database_up", (), float(database.is_up()))

    def _reload_failed(self) -> Iterator[Sample]:
        failed = self._loads.failed_since() is not None
        yield Sample("anchor_config_reload_failed", (), float(failed))

    def _config_loaded(self) -> Iterator[Sample]:
        loaded = self._loads.loaded_at()
        if loaded is not None:
            yield Sample("anchor_config_loaded_timestamp_seconds", (), loaded.timestamp())


def _slot_seconds(ca: SigningCA) -> float:
    return max(1.0, ca.profile.validity.total_seconds() / (SLOTS - SPARE_SLOTS))
