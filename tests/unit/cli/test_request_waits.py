"""``anchor request --wait`` tries again, less and less often, until its time is over."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from anchor.cli import request
from anchor.client.errors import Unavailable


@pytest.fixture
def tries(monkeypatch):
    """The times of the tries to get a certificate from a service that is never available."""

    def run(seconds, retry_after=None):
        clock, made = [1000.0], []

        def refuse(name, spec):
            made.append(clock[0] - 1000)
            raise Unavailable("busy", retry_after)

        def sleep(pause):
            clock[0] += pause

        monkeypatch.setattr(request.time, "monotonic", lambda: clock[0])
        monkeypatch.setattr(request.time, "sleep", sleep)
        renewer = SimpleNamespace(request=refuse, progress=lambda line: None)
        with pytest.raises(Unavailable):
            request._request_with_retries(renewer, "www.example.com", None, seconds)
        return made

    return run


def test_the_waits_grow_to_ten_minutes(tries):
    made = tries(3600)

    waited = [later - earlier for earlier, later in itertools.pairwise(made)]
    for number, wait in enumerate(waited[:-1]):
        assert min(600, 10 * 2**number) / 2 <= wait <= min(600, 10 * 2**number)
    assert len(made) < 25


@pytest.mark.parametrize("seconds", [20, 300, 3600])
def test_the_last_try_is_at_the_end(tries, seconds):
    assert tries(seconds)[-1] == seconds


def test_without_a_wait_there_is_one_try(tries):
    assert tries(0) == [0]


def test_the_service_may_ask_for_a_longer_wait(tries):
    assert tries(100, retry_after=60) == [0, 60]
