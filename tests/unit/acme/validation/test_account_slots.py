"""An account validates a few challenges at once, so that others can validate theirs."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time

import pytest

from anchor.acme.problems import AcmeProblem, ProblemType
from anchor.acme.settings import AcmeSettings
from anchor.acme.validation import account_slots
from anchor.acme.validation.account_slots import AccountSlots
from anchor.acme.validation.validator import Validator
from anchor.auth.circuit_breaker import SharedSlots
from anchor.runtime import process_directory, server
from anchor.runtime.server import Capacity
from anchor.timestamps import utc_now

ONE, OTHER = "https://ca.example.com/acme/default/account/1", "https://ca.example.com/other"

# This process is not a fork; it shares only the path with the test.
_OCCUPY = """
import sys, time
from pathlib import Path
from anchor.acme.validation.account_slots import AccountSlots
from anchor.auth.circuit_breaker import SharedSlots
with AccountSlots(2, SharedSlots(Path(sys.argv[1]))).hold(sys.argv[2]):
    print("inside", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def shared_slots(tmp_path):
    """The shared files of a service."""
    (tmp_path / "anchor-metrics").mkdir(mode=0o700)
    # The directories of ended processes are removed.
    name = process_directory.find(tmp_path / "config.json").name
    return SharedSlots(tmp_path / "anchor-metrics" / name)


def passes(slots, account):
    try:
        with slots.hold(account):
            return True
    except AcmeProblem:
        return False


def test_an_account_has_so_many_slots_and_another_has_its_own():
    slots = AccountSlots(2)
    with slots.hold(ONE), slots.hold(ONE):
        with pytest.raises(AcmeProblem, match="the account has 2 challenges") as caught:
            slots.hold(ONE).__enter__()
        assert caught.value.kind is ProblemType.RATE_LIMITED
        assert caught.value.retry_after == 1
        with slots.hold(OTHER), slots.hold(OTHER):
            assert not passes(slots, OTHER)
    assert passes(slots, ONE)


def test_a_slot_is_free_after_an_error():
    slots = AccountSlots(1)
    with contextlib.suppress(RuntimeError), slots.hold(ONE):
        raise RuntimeError("a bug")
    assert passes(slots, ONE)


def test_a_challenge_waits_for_a_short_validation_of_the_same_account(monkeypatch):
    # For busy machines.
    monkeypatch.setattr(account_slots, "_WAIT", 10)
    slots = AccountSlots(1)
    entered = threading.Event()

    def validate():
        with slots.hold(ONE):
            entered.set()
            time.sleep(0.03)

    thread = threading.Thread(target=validate)
    thread.start()
    entered.wait(10)
    assert passes(slots, ONE)
    thread.join()


@pytest.mark.slow
def test_processes_share_the_slots_and_one_that_is_killed_holds_none(shared_slots):
    command = [sys.executable, "-c", _OCCUPY, str(shared_slots.directory), ONE]
    slots = AccountSlots(2, shared_slots)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"inside\n"
            with slots.hold(ONE):
                assert not passes(slots, ONE)
                assert passes(slots, OTHER)
        finally:
            process.kill()
    with slots.hold(ONE):
        assert passes(slots, ONE)


def test_no_account_makes_the_shared_file_grow(shared_slots):
    slots = AccountSlots(4, shared_slots)
    for number in range(200):
        assert passes(slots, f"{ONE}/{number}")
    [file] = shared_slots.directory.iterdir()
    assert file.stat().st_size < 100


@pytest.mark.parametrize(
    ("capacity", "share"),
    [
        (Capacity(), 8),
        (Capacity(2), 1),
        (Capacity(4), 2),
        (Capacity(33), 16),
        # The connections of a busy process of gunicorn wait for it.
        (Capacity(32, 16), 8),
    ],
)
def test_an_account_has_half_of_the_validations(attempt, monkeypatch, capacity, share):
    monkeypatch.setattr(server, "capacity", lambda: capacity)
    validator = Validator(AcmeSettings(challenges=["dns-01"]))
    running, go = threading.Semaphore(0), threading.Event()

    def wait(_self, _attempt, _now):
        running.release()
        go.wait(20)

    monkeypatch.setattr(Validator, "_validate", wait)
    threads = [
        threading.Thread(target=validator.validate, args=(attempt(), utc_now()))
        for _ in range(share)
    ]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert running.acquire(timeout=10)
    with pytest.raises(AcmeProblem, match=f"the account has {share} challenges"):
        validator.validate(attempt(), utc_now())
    go.set()
    for thread in threads:
        thread.join()
