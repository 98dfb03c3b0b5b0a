"""The plots of doc/source/explanation/fleet.rst."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from .plot import Line, Plot
from .scenarios import BEGIN, BOOT, Scenario
from .simulation import Result
from .timing import HOUR, Times

Results = Mapping[Scenario, Result]


def pictures(results: Results) -> Iterator[tuple[str, Plot]]:
    """The name and the plot of each picture, from the results of all scenarios."""
    outages = {
        f"outage of {scenario.outage:g} h": (scenario, result)
        for scenario, result in results.items()
        if scenario.kind == "daemon" and scenario.outage in (6, 12, 24)
    }
    yield (
        "fleet-requests",
        Plot(
            "Requests at the service around an outage",
            "The requests of 1,000,000 daemons, as means over five minutes. They rise during an "
            "outage, because machines retry, and fall within an hour after its end.",
            "hours since the outage began",
            "requests per second",
            tuple(_requests(name, s, r) for name, (s, r) in outages.items()),
        ),
    )
    yield (
        "fleet-without",
        Plot(
            "Machines without a valid certificate",
            "The number of machines whose certificate has ended. It rises from six hours after the "
            "begin of an outage on, and falls to zero within an hour after its end.",
            "hours since the outage began",
            "machines, in thousands",
            tuple(_without(name, s, r) for name, (s, r) in outages.items()),
        ),
    )
    starts = {kind: ("power loss of 1 h", kind) for kind in ("daemon", "timer")}
    yield (
        "fleet-restart",
        Plot(
            "Requests after a power loss of an hour",
            "All machines start within ten minutes, and those ask whose certificate was due: at "
            "once with the daemon, spread over an hour with the timer.",
            "minutes since the power is back",
            "requests per second",
            tuple(_start(name, results, which) for name, which in starts.items()),
        ),
    )
    [(_, enrolled)] = [(s, r) for s, r in results.items() if s.days > 30]
    rates = enrolled.rates(enrolled.certificates, HOUR)
    yield (
        "fleet-enrolment",
        Plot(
            "Certificates after a fleet got its first ones within an hour",
            "Certificates per second as means over an hour. After the first hour with 278 the "
            "renewals come in waves, which get flatter and wider from day to day.",
            "days since the first certificates",
            "certificates per second",
            (Line("daemon", np.arange(len(rates)) / 24, rates),),
        ),
    )


def _requests(name: str, scenario: Scenario, result: Result) -> Line:
    rates = result.rates(result.requests, 300.0)
    hours = (np.arange(len(rates)) * 300.0 - BEGIN) / HOUR
    return _cut(name, hours, rates, scenario)


def _without(name: str, scenario: Scenario, result: Result) -> Line:
    hours = (np.arange(len(result.without)) * result.step - BEGIN) / HOUR
    return _cut(name, hours, result.without / 1000, scenario)


def _cut(name: str, hours: Times, values: Times, scenario: Scenario) -> Line:
    inside = (hours >= -1) & (hours <= scenario.outage + 3)
    return Line(name, hours[inside], values[inside])


def _start(name: str, results: Results, which: tuple[str, str]) -> Line:
    [(scenario, result)] = [(s, r) for s, r in results.items() if (s.name, s.kind) == which]
    rates = result.rates(result.requests)[int(scenario.returns / 60) :][: int(BOOT / 60) + 80]
    return Line(name, np.arange(len(rates), dtype=np.float64), rates)
