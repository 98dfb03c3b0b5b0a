"""Renewal with a wrong clock on the machine or on the service."""

from __future__ import annotations

import re

import pytest

from anchor.client import certmonger
from anchor.client.acceptance import OutsideValidity
from anchor.client.daemon import Daemon
from anchor.client.errors import WrongClock
from anchor.client.outcome import Result
from anchor.client.renewal import Renewer
from anchor.client.tracking import StateDirectory
from tests.support.pki import DAY, make_csr, now
from tests.support.signing_services import signing

HOUR = 3600.0


@pytest.fixture
def renewer(machine, clock):
    return Renewer(StateDirectory(machine.state), lambda _line: None, clock)


@pytest.fixture
def renew(renewer):
    """One run of `anchor renew`, by hand or by cron."""
    return lambda **options: renewer.renew(
        "www.example.com", **{"force": False, "back_off": False} | options
    )


@pytest.fixture(autouse=True)
def tracking(machine, secret_only):
    assert 0 == machine.request("www.example.com")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ahead", "words", "asked"),
    [
        # The certificate is valid for a day.
        (20.5 * HOUR, r"20:\d\d:\d\d ahead of", 1),
        (30.5 * HOUR, r"1 day, 6:\d\d:\d\d ahead of", 1),
        (9600.5 * HOUR, r"400 days, 0:\d\d:\d\d ahead of", 1),
        (-2.5 * HOUR, r"2:\d\d:\d\d behind", 0),
        (-9600.5 * HOUR, r"400 days, 0:\d\d:\d\d behind", 0),
    ],
)
def test_a_wrong_clock_is_reported_at_each_run_and_renews_at_most_once(
    renew, clock, machine, https_anchor, ahead, words, asked
):
    first = machine.certificate()
    clock.ahead = ahead

    for run in range(4):
        outcome = renew()
        message = outcome.warning or outcome.message
        sentence = rf"this machine's clock is {words} that of {https_anchor.url}: set it right"
        assert re.search(sentence, message)
        assert (Result.RENEWED if ahead == 20.5 * HOUR and not run else Result.FAILED) is (
            outcome.result
        )
        clock.ahead += 60

    assert 1 + asked == https_anchor.submissions
    assert "clock" in machine.tracked().history.error
    if ahead != 20.5 * HOUR:
        assert first == machine.certificate()
    machine.assert_key_matches()

    clock.ahead = 0.0
    assert Result.NOT_DUE is renew().result
    assert machine.tracked().history.error is None


def test_a_certificate_that_is_due_by_the_services_clock_too_is_renewed(
    renew, clock, machine, https_anchor
):
    clock.ahead = 10 * HOUR
    machine.force_renewal_due()
    assert Result.RENEWED is renew().result
    clock.ahead = 20 * HOUR
    assert Result.RENEWED is renew().result
    assert Result.FAILED is renew().result
    assert 3 == https_anchor.submissions

    machine.force_renewal_due()
    assert Result.RENEWED is renew().result
    assert 4 == https_anchor.submissions


@pytest.mark.slow
def test_the_daemon_rarely_requests_the_time(renewer, clock, https_anchor):
    lines = []
    daemon = Daemon(renewer, lines.append, lines.append)
    clock.ahead = 30 * HOUR
    for _ in range(600):
        daemon.cycle()
        clock.ahead += 10

    # A hundred minutes, with waits that double up to an hour.
    assert 2 == https_anchor.submissions
    assert len(https_anchor.requests) < 18


def test_a_small_time_difference_is_not_reported(renew, clock, machine):
    for clock.ahead in (-240, 240):
        machine.force_renewal_due()
        outcome = renew()
        assert (Result.RENEWED, "") == (outcome.result, outcome.warning)


def test_a_service_without_a_valid_date_header_is_not_asked_at_each_run(
    renew, clock, machine, https_anchor
):
    working = https_anchor.wsgi

    def without(environ, start_response):
        # wsgiref adds a Date header if there is none.
        def start(status, headers, *rest):
            return start_response(status, [*headers, ("Date", "sometime")], *rest)

        return working(environ, start)

    https_anchor.wsgi = without
    clock.ahead = 20 * HOUR
    assert Result.RENEWED is renew().result
    for _ in range(5):
        clock.ahead += 600
        assert "is this machine's clock right?" in renew().message
    assert 2 == https_anchor.submissions

    clock.ahead = 40 * HOUR
    for _ in range(5):
        clock.ahead += 600
        assert "that expired at 2" in renew().message
    assert 3 == https_anchor.submissions


def test_a_service_with_a_wrong_clock_is_reported(renew, clock, machine, https_anchor, ca):
    first = machine.certificate()
    early = {"not_before": now() + DAY, "not_after": now() + 2 * DAY}
    https_anchor.wsgi = signing(ca, lambda _csr: early, otherwise=https_anchor.wsgi)
    machine.force_renewal_due()

    outcome = renew()

    assert Result.POSTPONED is outcome.result
    assert "is not in order: it answered a certificate that is not valid before" in outcome.message
    assert "this machine's clock" not in outcome.message
    assert first == machine.certificate()


def test_certmonger_retries_after_a_wrong_clock(https_anchor, ca, monkeypatch, capsys):
    def refuse(*_arguments):
        raise OutsideValidity("a certificate that expired")

    # A test cannot change the clock of certmonger's helper.
    monkeypatch.setattr("anchor.client.acceptance.check", refuse)
    monkeypatch.setattr(
        "anchor.client.service.Service._clock_error", lambda *_: "this machine's clock is wrong"
    )
    monkeypatch.setenv("CERTMONGER_CSR", make_csr().decode())

    assert 5 == certmonger.main(["--config", str(https_anchor.client_json())])
    assert "this machine's clock is wrong" in capsys.readouterr().err


def test_a_first_certificate_is_not_installed_under_a_wrong_clock(renewer, clock, machine, capsys):
    spec = machine.tracked().spec
    clock.ahead = -2 * HOUR

    with pytest.raises(WrongClock, match="behind that of https"):
        renewer.request("other", spec.model_copy(update={"directory": machine.state / "other"}))

    assert not (machine.state / "other" / "cert.pem").exists()


def test_the_clock_is_checked_again_after_an_unreachable_service(
    renew, clock, machine, https_anchor
):
    clock.ahead = 20 * HOUR
    assert Result.RENEWED is renew().result
    https_anchor.stop()
    assert Result.POSTPONED is renew().result

    https_anchor.start()
    assert "ahead of" in renew().message
    assert 2 == https_anchor.submissions
