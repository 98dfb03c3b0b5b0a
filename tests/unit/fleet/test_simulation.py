"""The simulation of a fleet: load, outages and restarts."""

from __future__ import annotations

import csv
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from tests.support.paths import ROOT
from tools.fleet import clients, plot, scenarios
from tools.fleet.simulation import Fleet, PowerLoss, Service

# Thousands of machines for days.
pytestmark = pytest.mark.slow

HOUR, DAY = 3600.0, 24 * 3600.0
MACHINES = 4000
SMALL = scenarios.Setting(machines=MACHINES, capacity=2)


def fleet(**options):
    return Fleet.steady(clients.daemon(MACHINES, DAY, np.random.default_rng(1), **options), DAY)


def test_a_service_serves_no_more_than_it_can():
    service = Service(capacity=100, refusal_cost=0.1, outages=((50, 60),))

    assert service.served(400, 0, 10, cost=1) == 400
    # 889 certificates and 1,111 refusals are 1,000 units of work.
    assert service.served(2000, 0, 10, cost=1) == 888
    assert service.served(400, 0, 10, cost=4.5) == 218
    assert service.served(20_000, 0, 10, cost=1) == 0
    assert [service.served(5, start, 10, cost=1) for start in (40, 50, 60)] == [5, 0, 5]


def test_a_fleet_with_certificates_of_all_ages_renews_evenly():
    result = fleet().run(Service(2), 3 * DAY, 60)

    assert result.ended == result.without.max() == 0
    assert (result.requests == result.certificates).all()
    # Each renews after 16 to 18.4 hours.
    assert result.requests.sum() == pytest.approx(MACHINES * 72 / 17.2, rel=0.02)
    hourly = result.rates(result.requests, HOUR) * HOUR
    assert hourly == pytest.approx(np.full(72, MACHINES / 17.2), rel=0.4)


@pytest.mark.parametrize(("hours", "share"), [(1, 0), (5, 0), (12, 0.30), (24, 1)])
def test_certificates_end_in_a_long_outage(hours, share):
    begin, end = DAY, DAY + hours * HOUR
    result = fleet().run(Service(2, outages=((begin, end),)), end + 6 * HOUR, 60)

    assert result.ended == pytest.approx(share * MACHINES, rel=0.06)
    assert not result.never
    # A certificate lasts 5.6 hours after the latest time to renew it.
    if share:
        assert result.gaps.max() < (hours - 5.6 + 1.5) * HOUR
        assert result.without.max() == pytest.approx(result.ended, rel=0.02)
    assert result.without[-1] == 0
    assert not result.certificates[round(begin / 60) : round(end / 60)].any()


def test_machines_that_renew_earlier_survive_a_longer_outage():
    outage = Service(2, outages=((DAY, DAY + 12 * HOUR),))

    assert fleet(fraction_left=0.7).run(outage, 2 * DAY, 60).ended == 0


def test_a_service_that_is_too_small_lets_certificates_end():
    result = fleet().run(Service(0.05), 3 * DAY, 60)

    assert result.ended > MACHINES / 10
    assert result.certificates.max() <= 0.05 * 60


def test_after_a_power_loss_only_the_due_machines_ask():
    loss = PowerLoss(DAY, DAY + HOUR, 600)
    result = fleet().run(Service(2), DAY + 3 * HOUR, 60, loss)

    boot = result.requests[round((DAY + HOUR) / 60) :][: round(600 / 60)]
    assert not result.requests[round(DAY / 60) : round((DAY + HOUR) / 60)].any()
    assert MACHINES / 17.2 < boot.sum() < MACHINES / 17.2 * 1.5
    assert result.ended == 0


def test_the_same_seed_gives_the_same_result():
    scenario = scenarios.Scenario("outage of 12 h", "certbot", outage=12, days=2, step=60)
    first, second = scenario.run(SMALL), scenario.run(SMALL)

    assert (first.requests == second.requests).all()
    assert scenario.row(first, SMALL) == scenario.row(second, SMALL)


@pytest.mark.parametrize("kind", scenarios.KINDS)
def test_each_client_gets_first_certificates_and_renews_them(kind):
    scenario = scenarios.Scenario("new", kind, first=HOUR, days=2, step=60)
    result = scenario.run(SMALL)

    assert result.without[-1] == result.never == 0
    assert MACHINES * 2 < result.certificates.sum() < MACHINES * 5
    assert len(scenario.row(result, SMALL)) == len(scenarios.HEADING)


def test_the_search_finds_what_a_short_outage_needs():
    hours, fraction, life, capacity = scenarios.needs(scenarios.Setting(machines=40_000), 1)

    assert hours == "1"
    assert float(fraction) <= 0.35
    assert int(life) <= 24
    assert 20 <= int(capacity) <= 50


def rows(name):
    with (ROOT / "doc/source/explanation" / name).open() as file:
        return list(csv.reader(file))


def test_the_documentation_has_a_row_for_each_scenario():
    heading, *lines = rows("fleet.csv")

    assert heading == scenarios.HEADING
    assert [(s.name, s.kind) for s in scenarios.SCENARIOS] == [tuple(line[:2]) for line in lines]
    assert rows("fleet-needs.csv")[0] == scenarios.NEEDS_HEADING


def test_a_plot_draws_the_highest_values_in_few_points():
    ys = np.zeros(10_000)
    ys[1234] = 170
    line = plot.Line("daemon", np.arange(10_000.0), ys)
    made = plot.Plot("Requests", "The requests.", "hours", "requests", (line,)).svg()

    [drawn] = ET.fromstring(made).iter("{http://www.w3.org/2000/svg}polyline")
    points = [tuple(map(float, point.split(","))) for point in drawn.get("points").split()]
    assert len(points) <= plot.POINTS
    # The axis ends at 200.
    assert min(y for _, y in points) == pytest.approx(340 - 170 / 200 * (340 - 76), abs=0.1)
    assert max(y for _, y in points) == 340


def test_the_pictures_are_small():
    found = list((ROOT / "doc/source/pictures").glob("fleet-*.svg"))

    assert len(found) == 4
    assert all(path.stat().st_size < 60_000 for path in found)


def test_the_tool_explains_itself_without_numpy():
    finished = subprocess.run(
        [sys.executable, "-I", "-S", ROOT / "tools/simulate_fleet", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--docs" in finished.stdout
