"""Guessing is slowed: too many failures of a user name or an address are answered 429."""

from __future__ import annotations

import contextlib

import pytest

from anchor.errors import BackendUnavailable, NotAuthenticated, TooManyAttempts
from anchor.throttle import Throttle


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    """A clock for the throttle."""
    return Clock()


@pytest.fixture
def throttle(clock):
    """Three failures a name, and five an address, in a minute; three of each are remembered."""
    return Throttle(3, 5, 60, clock, size=3)


def attempt(throttle, address="192.0.2.1", user="alice", *, error=NotAuthenticated):
    """The seconds to wait, if the attempt comes too early."""
    with contextlib.suppress(NotAuthenticated, BackendUnavailable):
        try:
            with throttle.attempt(address, user):
                if error is not None:
                    raise error("no")
        except TooManyAttempts as refused:
            return refused.retry_after
    return None


def test_after_too_many_failures_one_has_to_wait_until_the_window_ends(throttle, clock):
    assert [None] * 3 == [attempt(throttle) for _ in range(3)]
    clock.now += 20.5

    assert 40 == attempt(throttle)
    assert 40 == attempt(throttle, error=None)

    clock.now += 39.5
    assert [None, None, None, 60] == [attempt(throttle) for _ in range(4)]


def test_an_outsider_does_not_lock_a_user_out(throttle):
    for _ in range(9):
        attempt(throttle, "203.0.113.9", "alice")

    assert attempt(throttle, "203.0.113.9", "alice") is not None
    assert attempt(throttle, "192.0.2.1", "alice", error=None) is None


def test_an_address_that_tries_many_names_has_to_wait(throttle):
    assert [None] * 5 == [attempt(throttle, user=f"user{number}") for number in range(5)]

    assert 60 == attempt(throttle, user="another")
    assert attempt(throttle, "192.0.2.2", "another") is None


def test_a_success_is_a_new_start_for_its_name_only(throttle):
    for _ in range(2):
        attempt(throttle)
    attempt(throttle, error=None)

    assert [None, None, None, 60] == [attempt(throttle) for _ in range(4)]
    assert 60 == attempt(throttle, user="bob")


def test_a_backend_that_is_down_is_nobodys_failure(throttle):
    for _ in range(9):
        assert attempt(throttle, error=BackendUnavailable) is None

    assert attempt(throttle, error=None) is None


def test_attempts_at_the_same_time_count_all(throttle):
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(throttle.attempt("192.0.2.1", "a"))
        assert 60 == attempt(throttle, user="a")


def test_addresses_of_one_ipv6_network_are_one(throttle):
    for number in range(3):
        attempt(throttle, f"2001:db8::{number + 1}")

    assert 60 == attempt(throttle, "2001:db8::ffff")
    assert attempt(throttle, "2001:db8:0:1::1") is None


def test_the_table_is_bounded(throttle):
    for number in range(100):
        attempt(throttle, f"192.0.2.{number}", "x" * 60_000)

    assert throttle.remembered() <= 6


def test_nothing_is_counted_when_the_limits_are_zero(clock):
    throttle = Throttle(0, 0, 60, clock)
    assert [None] * 500 == [attempt(throttle) for _ in range(500)]


def test_names_that_are_no_text_count_too(throttle):
    for _ in range(3):
        attempt(throttle, "unknown", "\udcff")
    assert 60 == attempt(throttle, "unknown", "\udcff")


def test_the_service_answers_429_with_retry_after(serve, document, audit):
    document["registration_authority"]["default"] |= {
        "max_failures": 2,
        "failure_window_seconds": 100,
    }
    service = serve(document)
    for _ in range(2):
        service.sign(secret="wrong", status=401)

    answer = service.sign(status=429)

    assert 0 < int(answer.headers["Retry-After"]) <= 100
    assert "too many failed attempts" in answer.text
    event = audit.events()[-1]
    assert ("audit.auth", "failure") == (event["event"], event["outcome"])
    assert ["too many failed attempts, try again later"] == event["reasons"]
    service.http.extra_environ["REMOTE_ADDR"] = "192.0.2.8"
    service.sign(status=200)


def test_authorities_count_for_themselves(serve, document):
    authority = document["registration_authority"]["default"] | {"max_failures": 1}
    document["registration_authority"] = {"one": authority, "two": authority}
    service = serve(document)
    service.sign(authority="one", secret="wrong", status=401)

    service.sign(authority="one", status=429)
    service.sign(authority="two", status=200)
