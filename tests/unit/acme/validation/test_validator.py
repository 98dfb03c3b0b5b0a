"""A validation ends in time, and many of them leave workers free."""

from __future__ import annotations

import threading
import time

import pytest

from anchor.acme.problems import AcmeProblem, ProblemType
from anchor.acme.settings import AcmeSettings
from anchor.acme.validation import validator as validator_module
from anchor.acme.validation.validator import Validator
from anchor.runtime import server
from anchor.runtime.server import Capacity
from anchor.timestamps import utc_now
from tests.support.servers.dns_stub import SILENCE, DnsStub
from tests.support.servers.processes import wait_for


@pytest.fixture
def silent():
    """A DNS server that never answers."""
    with DnsStub(lambda *_: SILENCE) as stub:
        yield stub


def make(stub, seconds=1):
    return Validator(
        AcmeSettings(
            challenges=["http-01", "dns-01"],
            networks=["10.0.0.0/8"],
            resolvers=[f"{stub.address.host}:{stub.address.port}"],
            challenge_seconds=seconds,
        )
    )


@pytest.mark.parametrize("kind", ["http-01", "dns-01"])
def test_all_lookups_of_a_validation_share_its_time(silent, attempt, kind):
    start = time.monotonic()
    failure = make(silent).validate(attempt(kind=kind), utc_now())
    assert failure.kind in (ProblemType.DNS, ProblemType.CONNECTION)
    assert 0.9 < time.monotonic() - start < 1.6


def test_slow_machines_leave_one_worker_free(silent, attempt, monkeypatch):
    monkeypatch.setattr(server, "capacity", lambda: Capacity(3))
    validator = make(silent, seconds=3)
    threads = [
        threading.Thread(target=validator.validate, args=(response, utc_now()))
        for response in (attempt(kind="dns-01", account="a1"), attempt(kind="dns-01", account="a2"))
    ]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(silent.queries) >= 2, what="two validations to run")
    start = time.monotonic()
    with pytest.raises(AcmeProblem) as caught:
        validator.validate(attempt(kind="dns-01", account="a3"), utc_now())
    assert time.monotonic() - start < 1.5
    assert "too many challenges are being validated" in str(caught.value)
    assert caught.value.kind is ProblemType.RATE_LIMITED
    assert caught.value.retry_after >= 1
    for thread in threads:
        thread.join()


def test_failures_pause_nothing(silent, attempt):
    validator = make(silent)
    for _ in range(2):
        assert validator.validate(attempt(kind="dns-01"), utc_now()).kind is ProblemType.DNS


def test_an_error_of_anchor_is_not_taken_for_a_failed_challenge(silent, attempt, monkeypatch):
    def fail(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(validator_module.dns_01, "validate", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        make(silent).validate(attempt(kind="dns-01"), utc_now())
