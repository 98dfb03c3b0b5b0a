"""The circuit breaker keeps a hanging backend from blocking all requests."""

from __future__ import annotations

import os
import threading
import time

import pytest

from anchor.auth.circuit_breaker import CircuitBreaker
from anchor.auth.deadline import Deadline
from anchor.errors import BackendUnavailable, NotAuthenticated


class Clock:
    """A clock that a test sets, and that a sleep advances."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    """A clock for the breaker."""
    return Clock()


def fail(breaker, clock, error, seconds=6.0):
    """Fail, after a while."""
    with pytest.raises(type(error), match=str(error)):
        ask(breaker, clock, error, seconds)


def ask(breaker, clock, error, seconds):
    with breaker.call():
        clock.now += seconds
        raise error


def hang(breaker, clock, seconds=6.0):
    """Wait until the timeout."""
    fail(breaker, clock, BackendUnavailable("timed out"), seconds)


def is_open(breaker):
    try:
        with breaker.call():
            return True
    except BackendUnavailable:
        return False


def test_the_breaker_rejects_calls_for_a_while_after_a_hang(clock):
    breaker = CircuitBreaker(None, clock, clock.sleep)

    hang(breaker, clock)

    with pytest.raises(BackendUnavailable, match="left alone") as refused, breaker.call():
        pass
    assert 12 == refused.value.retry_after
    clock.now += 12
    assert is_open(breaker)
    assert is_open(breaker)


def test_a_single_request_tests_whether_the_backend_is_back(clock):
    breaker = CircuitBreaker(3, clock, clock.sleep)
    hang(breaker, clock)
    clock.now += 12

    with breaker.call():
        assert not is_open(breaker)
    assert is_open(breaker)

    hang(breaker, clock)
    clock.now += 12
    hang(breaker, clock)
    assert not is_open(breaker)


def test_a_quick_failure_does_not_open_the_breaker(clock):
    breaker = CircuitBreaker(1, clock, clock.sleep)
    hang(breaker, clock, 0.2)

    assert is_open(breaker)


def test_slow_wrong_credentials_do_not_open_the_breaker(clock):
    breaker = CircuitBreaker(1, clock, clock.sleep)
    fail(breaker, clock, NotAuthenticated())

    assert is_open(breaker)


def test_another_error_after_a_long_wait_counts_as_a_hang(clock):
    breaker = CircuitBreaker(1, clock, clock.sleep)
    fail(breaker, clock, OSError("odd"))

    assert not is_open(breaker)


def test_at_most_the_limit_of_requests_wait(clock):
    breaker = CircuitBreaker(2, clock, clock.sleep)
    with breaker.call():
        with breaker.call():
            start = clock.now
            with pytest.raises(BackendUnavailable, match="too many"), breaker.call():
                pass
            assert 0.5 == pytest.approx(clock.now - start, abs=0.02)
            # No call has ended since, so the next one does not wait.
            start = clock.now
            assert not is_open(breaker)
            assert start == clock.now
        assert is_open(breaker)


def test_a_waiting_request_proceeds_when_another_ends(clock):
    breaker = CircuitBreaker(1)
    inside, done = threading.Event(), threading.Event()

    def occupy():
        with breaker.call():
            inside.set()
            done.wait(20)

    occupant = threading.Thread(target=occupy)
    occupant.start()
    inside.wait(20)
    threading.Timer(0.05, done.set).start()
    for _ in range(100):
        if is_open(breaker):
            break
    else:
        pytest.fail("its turn never came")
    occupant.join(20)


def test_forked_processes_share_the_breaker():
    breaker = CircuitBreaker(1, clock := Clock(), clock.sleep)
    child = os.fork()
    if child == 0:
        try:
            hang(breaker, clock)
            os._exit(0)
        finally:
            os._exit(1)
    assert (child, 0) == os.waitpid(child, 0)

    assert not is_open(breaker)


def test_a_process_that_dies_releases_the_lock():
    breaker = CircuitBreaker(2)
    child = os.fork()
    if child == 0:
        with breaker._state.locked():
            os._exit(1)
    os.waitpid(child, 0)

    assert is_open(breaker)


def test_a_call_within_the_deadline_returns_its_result():
    deadline = Deadline(20)

    assert 1 == deadline.call(lambda: 1)
    with pytest.raises(ZeroDivisionError):
        deadline.call(lambda: 1 / 0)


def test_a_call_past_the_deadline_is_abandoned_up_to_a_limit():
    stop = threading.Event()
    deadline = Deadline(0.05, max_abandoned=2)
    for _ in range(2):
        with pytest.raises(BackendUnavailable, match="no answer within"):
            deadline.call(lambda: stop.wait(20))

    with pytest.raises(BackendUnavailable, match="still unanswered"):
        deadline.call(lambda: 1)

    stop.set()
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            assert 1 == Deadline.call(deadline, lambda: 1)
            return
        except BackendUnavailable:
            time.sleep(0.01)
    pytest.fail("the ended ones still count")
