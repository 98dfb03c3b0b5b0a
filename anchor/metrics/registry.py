"""What is counted of each request, and what is told about it."""

from __future__ import annotations

import bisect
import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from anchor import errors
from anchor.authority import RegistrationAuthority
from anchor.ca.issued import IssuedCertificate
from anchor.ca.signing_ca import SigningCA
from anchor.metrics.shared_counters import SharedCounters
from anchor.timestamps import utc_now

# The first that an error is one of; what is none of them is Anchor's own fault.
OUTCOMES: Mapping[str, type[Exception]] = {
    "refused": errors.ValidationFailed,
    "unauthenticated": errors.NotAuthenticated,
    "throttled": errors.TooManyAttempts,
    "unavailable": errors.BackendUnavailable,
    "malformed": errors.RequestError,
}
ISSUED, FAILED = "issued", "failed"
AUTHENTICATION = ("unauthenticated", "throttled", "unavailable")
OTHER_CHECK = "other"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

# Certificates in force are counted by when they end, in this many slots for their whole life.
SLOTS = 256
SPARE = 6


@dataclass(frozen=True)
class Sample:
    """One number, with the labels that say of what."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


@dataclass(frozen=True)
class Family:
    """A metric: its samples, and what they mean."""

    name: str
    kind: str
    meaning: str
    samples: tuple[Sample, ...]


Key = tuple[str, ...]


class Metrics:
    """Counts what becomes of requests, in every process of the service together.

    All that can be counted is known from the configuration; nothing that a request says becomes a
    label.
    """

    def __init__(
        self,
        authorities: Mapping[str, RegistrationAuthority],
        directory: Path | None = None,
        clock: Callable[[], datetime.datetime] = utc_now,
    ):
        self._clock = clock
        self._cas = {
            authority.signing_ca.name: authority.signing_ca for authority in authorities.values()
        }
        self._slot_seconds = {name: _slot_seconds(ca) for name, ca in self._cas.items()}
        keys: list[Key] = [*_keys(authorities.values(), self._cas.values())]
        self._positions = {key: position for position, key in enumerate(keys)}
        self._of_issued = {
            name: (
                self._positions["requests", name, ISSUED],
                self._positions["issued", authority.signing_ca.name],
                self._positions["signing", authority.signing_ca.name, "0"],
                self._positions["signing_sum", authority.signing_ca.name],
            )
            for name, authority in authorities.items()
        }
        # Behind all others, so that a thousand CAs are a thousand keys: for each of its slots a CA
        # has the slot's number, and the count in it.
        self._slots = {
            name: len(keys) + 2 * SLOTS * number for number, name in enumerate(self._cas)
        }
        layout = ["|".join(key) for key in keys]
        layout += [
            f"in_force|{name}|{SLOTS} of {seconds} s"
            for name, seconds in self._slot_seconds.items()
        ]
        self._tally = SharedCounters(directory, layout, len(keys) + 2 * SLOTS * len(self._cas))

    def issued(self, authority: RegistrationAuthority, issued: IssuedCertificate) -> None:
        """A certificate was handed out."""
        requests, certificates, buckets, seconds = self._of_issued[authority.name]
        end = issued.not_after.timestamp()
        slot = int(end // self._slot_seconds[authority.signing_ca.name]) + 1
        self._tally.add_all(
            {
                requests: 1,
                certificates: 1,
                buckets + bisect.bisect_left(SECONDS, issued.signing_seconds): 1,
                seconds: issued.signing_seconds,
            },
            # What ended long ago is counted no more.
            in_slot=(self._slots[authority.signing_ca.name] + 2 * (slot % SLOTS), slot),
        )

    def failed(self, authority: RegistrationAuthority, error: Exception) -> None:
        """A request came to nothing."""
        outcome = next((name for name, kind in OUTCOMES.items() if isinstance(error, kind)), FAILED)
        self._count("requests", authority.name, outcome)
        if outcome in AUTHENTICATION:
            self._count("authentication", authority.authenticator.name, outcome)
        if isinstance(error, errors.ValidationFailed):
            for check in {failure.check for failure in error.failures}:
                known = ("refusals", authority.name, check) in self._positions
                self._count("refusals", authority.name, check if known else OTHER_CHECK)

    def _count(self, *key: str) -> None:
        self._tally.add(self._positions[key])

    def families(self) -> tuple[Family, ...]:
        """All there is to tell, at this moment."""
        rows = self._tally.rows()
        counts = (row[: len(self._positions)] for row in rows)
        sums = [sum(column) for column in zip(*counts, strict=True)]
        now = self._clock()

        def family(name: str, kind: str, meaning: str, samples: Iterator[Sample]) -> Family:
            return Family(name, kind, meaning, tuple(samples))

        def counted(name: str, what: str, *labels: str) -> Iterator[Sample]:
            for key, position in self._positions.items():
                if key[0] == what:
                    yield Sample(name, tuple(zip(labels, key[1:], strict=True)), sums[position])

        return (
            family(
                "anchor_requests_total",
                "counter",
                "Requests for a certificate, by what became of them.",
                counted("anchor_requests_total", "requests", "authority", "outcome"),
            ),
            family(
                "anchor_refusals_total",
                "counter",
                "Requests that a check refused; several can refuse one.",
                counted("anchor_refusals_total", "refusals", "authority", "check"),
            ),
            family(
                "anchor_authentication_failures_total",
                "counter",
                "Requests whose credentials were not accepted, or could not be checked.",
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
                "Time to build, sign and prove a certificate.",
                self._signing(sums),
            ),
            family(
                "anchor_certificates_issued_total",
                "counter",
                "Certificates that were handed out.",
                counted("anchor_certificates_issued_total", "issued", "signing_ca"),
            ),
            family(
                "anchor_certificates_in_force",
                "gauge",
                "Certificates among them that have not ended yet.",
                self._all_in_force(rows, sums, now),
            ),
            family(
                "anchor_ca_remaining_seconds",
                "gauge",
                "Time until the CA, or a certificate above it, ends.",
                self._remaining(now),
            ),
        )

    def _signing(self, sums: Sequence[float]) -> Iterator[Sample]:
        name = "anchor_signing_seconds"
        for ca in self._cas:
            label = (("signing_ca", ca),)
            first = self._positions["signing", ca, "0"]
            running = list(accumulate(sums[first : first + len(SECONDS) + 1]))
            for bound, count in zip((*map(str, SECONDS), "+Inf"), running, strict=True):
                yield Sample(f"{name}_bucket", (*label, ("le", bound)), count)
            yield Sample(f"{name}_sum", label, sums[self._positions["signing_sum", ca]])
            yield Sample(f"{name}_count", label, running[-1])

    def _all_in_force(
        self, rows: Sequence[Sequence[float]], sums: Sequence[float], now: datetime.datetime
    ) -> Iterator[Sample]:
        for name, first in self._slots.items():
            past = now.timestamp() // self._slot_seconds[name]
            issued = sums[self._positions["issued", name]]
            count = sum(
                row[position + 1]
                for row in (rows if issued else ())
                for position in range(first, first + 2 * SLOTS, 2)
                if row[position] > past
            )
            yield Sample("anchor_certificates_in_force", (("signing_ca", name),), count)

    def _remaining(self, now: datetime.datetime) -> Iterator[Sample]:
        for name, ca in self._cas.items():
            left = (ca.at(now).not_after - now).total_seconds()
            yield Sample("anchor_ca_remaining_seconds", (("signing_ca", name),), left)


def _keys(
    authorities: Iterable[RegistrationAuthority],
    cas: Iterable[SigningCA],
) -> Iterator[Key]:
    authentications = set()
    for authority in authorities:
        for outcome in (ISSUED, *OUTCOMES, FAILED):
            yield "requests", authority.name, outcome
        checks = [check.name for check in authority.policy.checks]
        fixups = [fixup.name for fixup in authority.policy.fixups]
        for check in dict.fromkeys((*checks, *fixups, OTHER_CHECK)):
            yield "refusals", authority.name, check
        authentications.add(authority.authenticator.name)
    for authentication in sorted(authentications):
        for kind in AUTHENTICATION:
            yield "authentication", authentication, kind
    for ca in cas:
        yield "issued", ca.name
        yield "signing_sum", ca.name
        for bucket in range(len(SECONDS) + 1):
            yield "signing", ca.name, str(bucket)


def _slot_seconds(ca: SigningCA) -> float:
    return max(1.0, ca.profile.validity.total_seconds() / (SLOTS - SPARE))
