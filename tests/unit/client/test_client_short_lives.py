"""Certificates that live for an hour or for minutes: no wait outlasts them."""

from __future__ import annotations

import datetime
from email.utils import formatdate

import pytest

from anchor.app import Application
from anchor.authorities import load_authorities
from anchor.client import schedule
from anchor.client.daemon import Daemon
from anchor.client.outcome import Result
from anchor.client.renewal import Renewer
from anchor.client.tracking import StateDirectory
from anchor.timestamps import utc_now
from anchor.web.settings import WebSettings
from tests.support.canned import problem_response
from tests.support.clock import Clock

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("secret_only")]

MINUTE = 60


@pytest.fixture
def minutes():
    return 60


@pytest.fixture
def document(document, minutes):
    """The service's certificates are valid for so many minutes."""
    document["signing_ca"]["local"]["valid_hours"] = minutes / 60
    return document


@pytest.fixture
def service_clock(https_anchor):
    """The clock of the service, which a test may advance."""
    clock = Clock()
    loaded = load_authorities(
        https_anchor.path / "config.json",
        clock=lambda: utc_now() + datetime.timedelta(seconds=clock.ahead),
    )
    service = Application(loaded.authorities, WebSettings())

    def application(environ, start_response):
        def start(status, headers, *error):
            return start_response(status, [*headers, ("Date", formatdate(clock()))], *error)

        return service(environ, start)

    https_anchor.wsgi = application
    return clock


@pytest.fixture
def outcomes():
    return []


@pytest.fixture
def daemon(machine, clock, outcomes, service_clock):
    """The daemon in this process, of a machine with a new certificate."""
    assert 0 == machine.request("www.example.com")
    renewer = Renewer(StateDirectory(machine.state), lambda _line: None, clock)
    return Daemon(renewer, outcomes.append, outcomes.append)


@pytest.fixture
def let_pass(daemon, clock, service_clock):
    """Let the daemon work until both clocks have advanced by so many seconds."""

    def let_pass(seconds):
        while seconds > 0:
            step = min(daemon.cycle(), seconds)
            clock.ahead += step
            service_clock.ahead += step
            seconds -= step

    return let_pass


@pytest.mark.parametrize("minutes", [60, 20])
@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "404 Not Found"])
def test_a_refusal_that_passes_leaves_time_to_renew(
    let_pass, outcomes, https_anchor, minutes, status
):
    """A proxy answers 404 during an update, or a directory does not know the user for a moment."""
    working = https_anchor.wsgi
    https_anchor.wsgi = problem_response(status, "no")
    let_pass(minutes * MINUTE * 0.8)
    assert Result.FAILED is outcomes[-1].result
    https_anchor.wsgi = working

    let_pass(minutes * MINUTE * 0.15)

    assert Result.RENEWED is outcomes[-1].result


@pytest.mark.parametrize("minutes", [60])
def test_a_refusal_that_stays_is_not_tried_often(let_pass, https_anchor, minutes):
    https_anchor.wsgi = problem_response("401 Unauthorized", "no")

    let_pass(minutes * MINUTE + 10)
    before = https_anchor.submissions
    assert before <= 1 + 8

    let_pass(4 * 60 * MINUTE)
    assert https_anchor.submissions <= before + 8


@pytest.mark.parametrize("minutes", [5])
def test_a_clock_that_is_minutes_ahead_does_not_delay_the_next_certificate(
    let_pass, clock, https_anchor, minutes
):
    """The certificate is valid for everybody else, and looks due from the beginning here."""
    clock.ahead = 4 * MINUTE

    for _ in range(6):
        before = https_anchor.submissions
        let_pass(minutes * MINUTE)
        assert 1 <= https_anchor.submissions - before <= 4


def test_waits_after_a_refusal_are_long_unless_the_certificate_ends():
    for seconds_left in (float("inf"), 2 * 3600, 0, -1):
        assert 1800 <= schedule.wait_after_refusal(seconds_left) <= 2700
    assert 600 == schedule.wait_after_refusal(1200)
    assert 60 == schedule.wait_after_refusal(10)
