"""The simulated machines renew and retry when the real ones do."""

from __future__ import annotations

import configparser
import datetime
import itertools
import re
from types import SimpleNamespace

import numpy as np
import pytest

from anchor.acme import renewal_windows
from anchor.ca.issued import IssuedCertificate
from anchor.ca.settings import CASettings
from anchor.client import schedule
from tests.support.paths import ROOT
from tools.fleet import clients, timing

DAY = 24 * 3600.0


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.mark.parametrize("left", [86400, 36000, 28800, 600, 100, 99, 5, 0, -5])
@pytest.mark.parametrize("part", [0.5, 0.8, 1.0])
def test_the_waits_are_those_of_the_client(left, part, monkeypatch):
    monkeypatch.setattr(schedule.random, "uniform", lambda low, high: part)
    rng = SimpleNamespace(uniform=lambda low, high, count: np.full(count, part))
    failures = np.arange(1, 40)

    waited = timing.waits(failures, np.full(len(failures), float(left)), rng)

    assert waited == pytest.approx([schedule.wait(int(number), left) for number in failures])


def test_the_waits_are_as_random_as_those_of_the_client(rng):
    waited = timing.waits(np.full(1000, 30), np.full(1000, DAY), rng)

    assert schedule.LONGEST_WAIT / 2 <= waited.min() < schedule.LONGEST_WAIT * 0.51
    assert schedule.LONGEST_WAIT * 0.99 < waited.max() <= schedule.LONGEST_WAIT


def test_the_daemon_renews_from_the_renew_after_of_the_service_on(rng):
    backdate = CASettings.model_fields["backdate_seconds"].default
    end = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    begin = end - datetime.timedelta(seconds=DAY + backdate)
    renew_after = IssuedCertificate.renew_after.fget(
        SimpleNamespace(not_before=begin, not_after=end)
    )

    spans = timing.client_spans(DAY, None, rng)

    first = (renew_after - begin).total_seconds() - backdate
    assert timing.BACKDATE == backdate
    assert first <= spans.min() < first + 30
    assert first + (DAY + backdate) / 10 - 30 < spans.max() <= first + (DAY + backdate) / 10


def test_the_part_that_is_left_can_be_chosen(rng):
    assert timing.client_spans(DAY, 0.5, rng).min() == pytest.approx(DAY / 2, abs=60)


def test_certbot_renews_in_the_windows_of_the_service(rng):
    starts, width = timing.window_spans(DAY, rng)

    begin = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    window = renewal_windows.renewal_window(begin, begin + datetime.timedelta(days=1), "1")
    assert width == (window.end - window.start).total_seconds() == 7200
    assert DAY / 2 <= starts.min() < DAY * 0.501
    assert DAY * 0.666 < starts.max() <= DAY * 2 / 3


def unit(text):
    parser = configparser.ConfigParser()
    parser.optionxform = str
    parser.read_string(text)
    return parser["Timer"]


def test_the_timer_is_the_shipped_one():
    timer = unit((ROOT / "tools/systemd/anchor-renew.timer").read_text())

    assert timer["OnCalendar"] == "hourly"
    assert timer["RandomizedDelaySec"] == "1h"
    assert timer["FixedRandomDelay"] == timer["Persistent"] == "yes"
    assert clients.TIMER == clients.Runs(3600, 3600, is_fixed=True)


def test_the_acme_timer_is_that_of_the_documentation():
    page = (ROOT / "doc/source/howto/acme-clients.rst").read_text()
    [timer] = re.findall(r"\n    (\[Timer\](?:\n    .+)+)", page)
    timer = unit(timer.replace("\n    ", "\n"))

    assert timer["OnCalendar"] == "0/2:00:00"
    assert timer["RandomizedDelaySec"] == "2h"
    assert timer["FixedRandomDelay"] == "yes"
    assert clients.ACME_TIMER == clients.Runs(7200, 7200, is_fixed=True)


def test_the_container_waits_as_in_the_documentation():
    page = (ROOT / "doc/source/howto/renewal.rst").read_text()

    assert f'"$HOSTNAME" --wait {clients.Container.WAIT:.0f} ' in page


def test_a_timer_runs_once_in_an_interval_at_the_same_time(rng):
    timer = clients.Timer(50, np.array([16 * 3600.0]), rng, clients.TIMER)
    machines = np.arange(50)

    first = timer.next_runs(machines, np.zeros(50))
    second = timer.after_failure(machines, first, np.zeros(50))

    assert (second - first) == pytest.approx(np.full(50, 3600.0))
    assert 0 <= first.min() < first.max() < 3600
    assert len(set(first)) == 50


def test_certbot_draws_a_time_in_the_window_at_each_run(rng):
    certbot = clients.Certbot(4000, DAY, rng, clients.ACME_TIMER)

    asked = certbot.request_times(np.arange(4000), np.zeros(4000))

    # The first run is in the window, which is as long as the interval; half of them renew there.
    assert 0 <= asked.min() < asked.max() <= 2 * 7200
    assert np.count_nonzero(asked < 7200) == pytest.approx(2000, abs=160)


def test_a_container_starts_again_when_its_wait_is_over(rng):
    container = clients.Container(1, np.array([57600.0]), rng)
    only, now, without = np.arange(1), np.zeros(1), np.zeros(1)

    tries = [0.0]
    while not container.restarts[0]:
        now = container.after_failure(only, now, without)
        tries.append(float(now[0]))

    assert 3600 in tries
    assert tries[-1] == 3610
    assert container.failures[0] == 0
    assert all(later - earlier <= 600 for earlier, later in itertools.pairwise(tries))
