"""``anchor renew --daemon`` and its schedule."""

from __future__ import annotations

import datetime

import pytest

from anchor.client import locks, schedule
from anchor.client.daemon import LONGEST_SLEEP, Daemon
from anchor.client.due import renewal_time
from anchor.client.errors import Unwritable
from anchor.client.outcome import Result
from anchor.client.renewal import Renewer
from anchor.client.tracking import StateDirectory
from anchor.client.transport import retry_after
from tests.support.canned import problem_response, response

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("secret_only")]


@pytest.fixture
def outcomes():
    return []


@pytest.fixture
def inside(machine, clock, outcomes):
    """The daemon in this process; a test runs one cycle at a time."""
    renewer = Renewer(StateDirectory(machine.state), lambda _line: None, clock)
    return Daemon(renewer, outcomes.append, outcomes.append)


def test_a_clock_that_jumps_ahead_renews_only_once(machine, inside, clock, outcomes, https_anchor):
    assert 0 == machine.request("www.example.com")
    assert 0 < inside.cycle() <= LONGEST_SLEEP
    assert [] == outcomes

    clock.ahead = 20 * 3600
    for _ in range(5):
        assert 0 < inside.cycle() <= LONGEST_SLEEP

    # The clock of the service did not jump, so the new certificate looks old here.
    assert [Result.RENEWED] == [outcome.result for outcome in outcomes]
    assert 2 == https_anchor.submissions
    assert "clock" in machine.tracked().history.error


def test_a_clock_that_jumps_back_is_reported_and_renews_nothing(
    machine, inside, clock, outcomes, https_anchor
):
    assert 0 == machine.request("www.example.com")
    clock.ahead = -30 * 86400

    assert 0 < inside.cycle() <= LONGEST_SLEEP

    assert ["FAILED"] == [outcome.result.name for outcome in outcomes]
    assert " behind that of https:" in outcomes[0].message
    assert 1 == https_anchor.submissions


def test_a_wait_that_was_written_under_another_clock_is_ignored(
    machine, inside, clock, outcomes, https_anchor
):
    assert 0 == machine.request("www.example.com")
    machine.force_renewal_due()
    clock.ahead = 5 * 3600
    working, https_anchor.wsgi = https_anchor.wsgi, response("503 Busy", b"", Retry_After="3000")
    inside.cycle()
    assert [Result.POSTPONED] == [outcome.result for outcome in outcomes]

    clock.ahead = 0.0
    https_anchor.wsgi = working
    inside.cycle()

    assert [Result.POSTPONED, Result.RENEWED] == [outcome.result for outcome in outcomes]


def test_failures_are_retried_after_increasing_waits(
    machine, inside, clock, outcomes, https_anchor
):
    assert 0 == machine.request("www.example.com")
    machine.force_renewal_due()
    https_anchor.wsgi = response("500 Oh", b"")
    waits = []
    for _ in range(8):
        inside.cycle()
        history = machine.tracked().history
        waits.append(history.wait_until - history.tried)
        asked = https_anchor.submissions
        inside.cycle()
        assert asked == https_anchor.submissions
        clock.ahead += waits[-1] + 1

    assert 9 == https_anchor.submissions
    for number, wait in enumerate(waits):
        assert 5 * 2**number <= wait <= 10 * 2**number


REFUSALS = {
    "401": problem_response("401 Unauthorized", "no"),
    "403": problem_response("403 Forbidden", "no"),
    "400": problem_response("400 Bad Request", "common_name: name is not allowed"),
    "404": problem_response("404 Not Found", "no such authority"),
    "413": response("413 Content Too Large", b""),
    "redirect": response("302 Found", b"", Location="https://elsewhere.example.com/"),
}


@pytest.fixture
def refused(machine, inside, https_anchor):
    """A machine after a cycle in which the service rejected a renewal."""
    assert 0 == machine.request("www.example.com")
    machine.force_renewal_due()

    def refuse(how):
        https_anchor.wsgi = REFUSALS[how]
        inside.cycle()
        assert 2 == https_anchor.submissions

    return refuse


@pytest.mark.parametrize("how", REFUSALS)
def test_a_rejected_request_is_not_retried_for_half_an_hour(
    refused, inside, clock, outcomes, https_anchor, how
):
    refused(how)

    for _ in range(29):
        clock.ahead += 60
        inside.cycle()
    assert 2 == https_anchor.submissions

    clock.ahead += 17 * 60
    for _ in range(3):
        inside.cycle()
    assert 3 == https_anchor.submissions
    assert [Result.FAILED] * 2 == [outcome.result for outcome in outcomes]


def test_retries_after_a_rejection_are_spread():
    waits = [schedule.wait_after_refusal(0) for _ in range(100)]

    assert 1800 <= min(waits) < max(waits) <= 2700
    assert len(set(waits)) > 50


@pytest.mark.parametrize("how", ["401", "403"])
def test_changed_credentials_are_tried_once_without_waiting(
    refused, machine, inside, clock, https_anchor, how
):
    refused(how)
    secret = machine.config.with_name("secret")
    secret.touch()
    inside.cycle()
    assert 2 == https_anchor.submissions

    secret.write_text("another")
    for _ in range(5):
        clock.ahead += 60
        inside.cycle()
    assert 3 == https_anchor.submissions

    # An empty file during a replacement does not count as a changed secret.
    secret.write_text("")
    inside.cycle()
    secret.write_text("another")
    inside.cycle()
    assert 3 == https_anchor.submissions

    https_anchor.client_json(user="bob", renew_with_certificate=False)
    for _ in range(5):
        inside.cycle()
    assert 4 == https_anchor.submissions


def test_valid_credentials_end_the_wait(refused, machine, inside, outcomes, https_anchor):
    working = https_anchor.wsgi
    secret = machine.config.with_name("secret")
    secret.write_text("wrong")
    https_anchor.wsgi = working
    inside.cycle()
    assert [Result.FAILED] == [outcome.result for outcome in outcomes]

    secret.write_text("s3cret\n")
    inside.cycle()

    assert [Result.FAILED, Result.RENEWED] == [outcome.result for outcome in outcomes]
    assert not machine.tracked().history.credentials_refused
    assert "s3cret" not in (machine.state / "tracked" / "www.example.com.json").read_text()


def test_a_changed_secret_does_not_retry_a_rejected_request(refused, machine, inside, https_anchor):
    refused("400")

    machine.config.with_name("secret").write_text("another")
    inside.cycle()

    assert 2 == https_anchor.submissions


@pytest.mark.parametrize("status", ["401 No", "403 No", "400 No", "429 No", "503 No", "500 No"])
@pytest.mark.parametrize("seconds", [7200, 100_000_000])
def test_retry_after_is_respected(machine, inside, clock, https_anchor, status, seconds):
    assert 0 == machine.request("www.example.com")
    machine.force_renewal_due()
    https_anchor.wsgi = response(status, b"", Retry_After=str(seconds))
    inside.cycle()
    asked = https_anchor.submissions
    machine.config.with_name("secret").write_text("another")

    # A Retry-After of more than a day is limited to a day.
    clock.ahead = min(seconds, 86400) - 60
    inside.cycle()
    assert asked == https_anchor.submissions
    inside.renewer.renew("www.example.com", force=False, back_off=False)
    assert asked == https_anchor.submissions

    clock.ahead += 120
    inside.cycle()
    assert asked + 1 == https_anchor.submissions


def test_a_hook_that_fails_is_not_run_each_minute(machine, inside, outcomes, tmp_path):
    assert 3 == machine.request("www.example.com", "--hook", "false")

    for _ in range(5):
        inside.cycle()

    assert [] == outcomes


def test_a_failure_that_cannot_be_stored_is_not_retried_at_once(
    machine, inside, outcomes, https_anchor, monkeypatch
):
    assert 0 == machine.request("www.example.com")
    machine.force_renewal_due()

    # A full disk would affect all files, and root ignores permissions.
    def full(_self, _tracked):
        raise Unwritable("No space left on device")

    monkeypatch.setattr(StateDirectory, "write", full)
    for _ in range(5):
        https_anchor.wsgi = response("500 Oh", b"")
        assert 1 <= inside.cycle() <= LONGEST_SLEEP

    assert 1 == len(outcomes)
    assert 2 == https_anchor.submissions


def test_waiting_for_another_run_ends_after_a_while(machine, inside, monkeypatch, capsys):
    assert 0 == machine.request("www.example.com")
    monkeypatch.setattr(locks, "TIMEOUT", 0.2)

    with locks.exclusive(machine.directory / ".lock"):
        assert 75 == machine.renew("--force")

    assert "another run is at work on it" in capsys.readouterr().err


def test_a_broken_file_is_reported_once(machine, inside, outcomes):
    assert 0 == machine.request("www.example.com")
    (machine.state / "tracked" / "broken.json").write_text("{")

    for _ in range(3):
        inside.cycle()

    (message,) = outcomes
    assert "broken.json is damaged" in message


# ---- the schedule

BEGIN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
END = BEGIN + datetime.timedelta(hours=24)


def hours(count):
    return datetime.timedelta(hours=count)


@pytest.mark.parametrize(
    ("fingerprint", "renew_after", "when_left", "after_hours"),
    [
        ("0" * 64, None, None, 16),
        ("8" + "0" * 63, None, None, 17.2),
        ("0" * 64, BEGIN + hours(12), None, 12),
        ("0" * 64, BEGIN + hours(12), 0.25, 18),
        ("0" * 64, None, 0.5, 12),
        ("8" + "0" * 63, BEGIN + hours(23), None, 23.25),
    ],
)
def test_a_third_of_the_lifetime_remains_at_renewal(
    fingerprint, renew_after, when_left, after_hours
):
    moment = schedule.renewal((BEGIN, END), fingerprint, renew_after, when_left)

    assert abs(BEGIN + hours(after_hours) - moment) < datetime.timedelta(seconds=1)


def test_renewals_are_spread_over_a_tenth_of_the_lifetime():
    import hashlib

    moments = [
        schedule.renewal((BEGIN, END), hashlib.sha256(b"%d" % n).hexdigest(), None, None)
        for n in range(1000)
    ]

    assert BEGIN + hours(16) <= min(moments) < BEGIN + hours(16.1)
    assert BEGIN + hours(18.3) < max(moments) <= BEGIN + hours(18.4)
    tenths = [
        sum(1 for m in moments if int((m - BEGIN - hours(16)) / hours(0.24)) == k)
        for k in range(10)
    ]
    assert all(60 < count < 140 for count in tenths)


@pytest.mark.parametrize(
    ("left", "longest"), [(86400, 3600), (600, 60), (5, 10), (0, 600), (-5, 600)]
)
def test_a_wait_leaves_time_for_more_attempts(left, longest):
    waits = [schedule.wait(30, left) for _ in range(200)]

    assert longest / 2 <= min(waits)
    assert max(waits) <= longest
    assert len(set(waits)) > 100


def test_the_renewal_time_of_the_service_is_used(machine):
    assert 0 == machine.request("www.example.com")
    tracked, certificate = machine.tracked(), machine.certificate()

    due = datetime.datetime.fromtimestamp(tracked.history.renew_after, datetime.UTC)
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert abs(certificate.not_valid_after_utc - life / 3 - due) <= datetime.timedelta(seconds=1)
    assert due <= renewal_time(tracked, certificate) <= due + life / 10


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 120 ", 120),
        ("Thu, 01 Jan 1970 00:17:00 GMT", 20),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1" * 30, None),
        ("1.5", None),
    ],
)
def test_retry_after_is_in_seconds_or_a_date(value, seconds):
    assert seconds == retry_after(value, 1000.0)
