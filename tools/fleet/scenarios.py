"""The scenarios of doc/source/explanation/fleet.rst."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .clients import (
    ACME_TIMER,
    TIMER,
    Certbot,
    Certmonger,
    Client,
    Container,
    Timer,
    daemon,
)
from .simulation import Fleet, PowerLoss, Result, Service
from .timing import HOUR, client_spans

# An outage begins after this time, in the middle of an hour.
BEGIN = 25.5 * HOUR

# All machines boot within this time after a power loss.
BOOT = 600.0

KINDS: dict[str, Callable[[int, float, np.random.Generator], Client]] = {
    "daemon": daemon,
    "timer": lambda n, life, rng: Timer(n, client_spans(life, None, rng), rng, TIMER),
    "certmonger": Certmonger,
    "certbot": lambda n, life, rng: Certbot(n, life, rng, ACME_TIMER),
    "container": lambda n, life, rng: Container(n, client_spans(life, None, rng), rng),
}


@dataclass(frozen=True)
class Setting:
    """What all scenarios share.

    Attributes:
        machines: the number of machines.
        capacity: certificates a second that the service signs.
        life: the seconds that a certificate lives.
        seed: of the random numbers.
    """

    machines: int = 1_000_000
    capacity: float = 500.0
    life: float = 24 * HOUR
    seed: int = 1


@dataclass(frozen=True)
class Scenario:
    """One line of the table.

    Attributes:
        name: what happens.
        kind: the client, one of KINDS.
        outage: the hours without service.
        power: the hours in which all machines are off.
        first: the seconds in which a fleet without certificates asks; 0 for a fleet with some.
        days: how long it is simulated at least.
        step: the seconds of one step.
    """

    name: str
    kind: str
    outage: float = 0
    power: float = 0
    first: float = 0
    days: float = 2
    step: float = 10

    @property
    def returns(self) -> float:
        """The second in which the service, or the power, is back."""
        return BEGIN + (self.outage or self.power) * HOUR if self.outage or self.power else 0.0

    def run(self, setting: Setting) -> Result:
        """Simulate it."""
        rng = np.random.default_rng(setting.seed)
        client = KINDS[self.kind](setting.machines, setting.life, rng)
        if self.first:
            fleet = Fleet.new(client, setting.life, self.first)
        else:
            fleet = Fleet.steady(client, setting.life)
        return fleet.run(
            Service(setting.capacity, outages=((BEGIN, BEGIN + self.outage * HOUR),)),
            max(self.days * 24 * HOUR, self.returns + 12 * HOUR),
            self.step,
            PowerLoss(BEGIN, self.returns, BOOT) if self.power else None,
        )

    def row(self, result: Result, setting: Setting) -> list[str]:
        """Its line of the table; HEADING has the columns."""
        rates = result.rates(result.requests)[int(self.returns / 60) :]
        issued = result.certificates.sum() / (len(result.certificates) * self.step)
        after = result.without[int((self.returns or self.first) / self.step) :]
        last = np.flatnonzero(after)
        minutes = (last[-1] + 1) * self.step / 60 if len(last) else 0
        return [
            self.name,
            self.kind,
            f"{rates.max():,.0f}",
            f"{issued:.1f}",
            f"{np.count_nonzero(rates > setting.capacity):d}",
            "-" if self.first else f"{result.ended:,d}",
            f"{result.gaps.max() / HOUR:.1f}" if len(result.gaps) else "0",
            f"{minutes:.0f}" if not result.never else "never",
        ]


HEADING = [
    "Scenario",
    "Client",
    "Highest requests per second",
    "Certificates per second, mean",
    "Minutes above the capacity",
    "Certificates that ended",
    "Longest time without, hours",
    "All have one again after, minutes",
]

SCENARIOS = (
    *(Scenario("nothing happens", kind) for kind in ("daemon", "timer", "certmonger", "certbot")),
    *(Scenario(f"outage of {h} h", "daemon", outage=h) for h in (1, 3, 6, 8, 12, 24)),
    *(
        Scenario(f"outage of {hours} h", kind, outage=hours, step=20)
        for kind in ("timer", "certmonger", "certbot")
        for hours in (3, 6, 12)
    ),
    Scenario("power loss of 1 h", "daemon", power=1),
    Scenario("power loss of 1 h", "timer", power=1),
    Scenario("power loss of 12 h", "daemon", power=12),
    Scenario("all start new in 10 min", "container", first=BOOT),
    Scenario("first certificates in 1 h", "certmonger", first=HOUR, days=5),
    Scenario("first certificates in 1 h", "daemon", first=HOUR, days=40, step=60),
)

# The searches use a smaller fleet and a smaller service: only their ratio matters.
_SCALE = 20
FRACTIONS = tuple(number / 100 for number in range(20, 100, 5))
LIVES = range(4, 150, 2)
CAPACITIES = (20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 500)


def _ends(setting: Setting, hours: float, fraction_left: float | None, capacity: float) -> bool:
    """True if certificates end because of an outage of so many hours."""
    rng = np.random.default_rng(setting.seed)
    client = daemon(setting.machines // _SCALE, setting.life, rng, fraction_left)
    fleet = Fleet.steady(client, setting.life)
    service = Service(capacity / _SCALE, outages=((HOUR, (1 + hours) * HOUR),))
    return fleet.run(service, (hours + 8) * HOUR, 30.0).ended > 0


def needs(setting: Setting, hours: float) -> list[str]:
    """What it takes that no certificate ends in an outage of so many hours.

    Returns:
        The hours; the smallest ``--renew-when-left``; the smallest life in hours with the default;
        the smallest capacity with both defaults. "-" where nothing suffices.
    """
    capacity = setting.capacity

    def fraction_suffices(fraction: float) -> bool:
        return not _ends(setting, hours, fraction, capacity)

    def life_suffices(life: float) -> bool:
        return not _ends(replace(setting, life=life * HOUR), hours, None, capacity)

    def capacity_suffices(number: float) -> bool:
        return not _ends(setting, hours, None, number)

    return [
        f"{hours:g}",
        _smallest(FRACTIONS, fraction_suffices),
        _smallest(LIVES, life_suffices),
        _smallest(CAPACITIES, capacity_suffices),
    ]


def _smallest(values: Sequence[float], suffices: Callable[[float], bool]) -> str:
    """The first of ascending values that suffices; "-" if none does."""
    number = bisect.bisect_left(values, True, key=suffices)
    return f"{values[number]:g}" if number < len(values) else "-"


NEEDS_HEADING = [
    "Outage, hours",
    "--renew-when-left, 24 h of life",
    "Life in hours, defaults",
    "Certificates per second, defaults",
]
