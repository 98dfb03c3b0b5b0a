"""The backend state that all processes of a service share."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from anchor.auth.circuit_breaker import CircuitBreaker, SharedSlots
from anchor.auth.shared_state import SharedState
from anchor.errors import BackendUnavailable
from anchor.runtime import process_directory

pytestmark = pytest.mark.slow


@pytest.fixture
def shared_slots(tmp_path):
    """The shared files of a service."""
    # The directories of ended processes are removed.
    name = process_directory.find(tmp_path / "config.json").name
    return SharedSlots(tmp_path / "anchor-metrics" / name, 1.0)


@pytest.fixture(autouse=True)
def private(tmp_path):
    (tmp_path / "anchor-metrics").mkdir(mode=0o700)


# This process is not a fork; it shares only the path with the test.
_OCCUPY = """
import sys, time
from pathlib import Path
from anchor.auth.circuit_breaker import CircuitBreaker, SharedSlots
shared_slots = SharedSlots(Path(sys.argv[1]), 1.0)
breaker = CircuitBreaker(int(sys.argv[2]), shared_slots=shared_slots, name="corp")
with breaker.call():
    print("inside", flush=True)
    time.sleep(60)
"""


@contextlib.contextmanager
def occupied(shared_slots, limit):
    """Another process that occupies slots until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", _OCCUPY, str(shared_slots.directory), str(limit)],
        stdout=subprocess.PIPE,
    )
    with process:
        try:
            assert b"inside\n" == process.stdout.readline()
            yield process
        finally:
            process.kill()


def passes(breaker):
    try:
        with breaker.call():
            return True
    except BackendUnavailable:
        return False


@pytest.fixture
def breaker(shared_slots):
    """Makes circuit breakers with shared slots."""
    return lambda limit, name="corp": CircuitBreaker(limit, shared_slots=shared_slots, name=name)


def test_processes_that_did_not_fork_share_the_slots(shared_slots, breaker):
    mine = breaker(2)
    with occupied(shared_slots, 2) as one:
        assert passes(mine)
        with occupied(shared_slots, 2):
            assert not passes(mine)
            assert not passes(breaker(2))
            assert passes(breaker(2, "another"))
            assert passes(breaker(3))
            os.kill(one.pid, signal.SIGKILL)
            one.wait()
            # The kernel releases the locks of a killed process at once.
            assert passes(mine)


def test_a_slot_is_free_when_its_thread_ends_with_an_error(breaker):
    mine = breaker(1)
    for _ in range(5):
        with pytest.raises(ZeroDivisionError), mine.call():
            raise ZeroDivisionError
    assert passes(mine)


def hang(shared_slots, clock, limit=1):
    breaker = CircuitBreaker(limit, clock, shared_slots=shared_slots, name="corp")

    def ask():
        with breaker.call():
            clock.now += 5
            raise OSError("odd")

    with pytest.raises(OSError, match="odd"):
        ask()


class Clock:
    """A clock that a test can set."""

    def __init__(self):
        self.now = time.monotonic()

    def __call__(self):
        return self.now


def test_processes_that_did_not_fork_share_the_pause(shared_slots, breaker):
    hang(shared_slots, Clock())

    assert not passes(breaker(1))
    assert not passes(breaker(None))
    assert passes(breaker(1, "another"))


def test_a_newer_configuration_ends_the_pause(shared_slots, breaker):
    hang(shared_slots, Clock())

    newer = SharedSlots(shared_slots.directory, 2.0)
    assert passes(CircuitBreaker(1, shared_slots=newer, name="corp"))
    assert passes(breaker(1))


def test_a_newer_configuration_shares_the_slots(shared_slots, breaker):
    with occupied(shared_slots, 1):
        newer = SharedSlots(shared_slots.directory, 2.0)
        assert not passes(CircuitBreaker(1, shared_slots=newer, name="corp"))


def test_a_pause_from_an_earlier_boot_is_ignored(shared_slots, breaker):
    late = Clock()
    late.now += 1_000_000
    hang(shared_slots, late)

    assert passes(breaker(1))


def test_a_process_takes_no_more_than_its_share(shared_slots):
    breaker = CircuitBreaker(5, process_limit=2, shared_slots=None)
    with breaker.call(), breaker.call():
        assert not passes(breaker)
    assert passes(breaker)


def test_threads_take_at_most_all_slots(shared_slots, breaker):
    inside, most, lock = [], [], threading.Lock()
    mine = breaker(3)

    def ask():
        for _ in range(20):
            with contextlib.suppress(BackendUnavailable), mine.call():
                with lock:
                    inside.append(1)
                    most.append(len(inside))
                time.sleep(0.001)
                with lock:
                    inside.pop()

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert 3 == max(most)


def test_a_forked_process_that_dies_with_the_lock_blocks_no_other(shared_slots, breaker):
    mine = breaker(2)
    assert passes(mine)
    child = os.fork()
    if child == 0:
        with mine._state.locked():
            os._exit(1)
    os.waitpid(child, 0)

    assert passes(mine)
    assert passes(breaker(2))


def test_only_this_user_can_write_to_the_file(shared_slots, breaker):
    before = os.umask(0)
    try:
        assert passes(breaker(1))
    finally:
        os.umask(before)

    [file] = shared_slots.directory.iterdir()
    assert 0o600 == file.stat().st_mode & 0o777
    assert 0o700 == shared_slots.directory.stat().st_mode & 0o777


def _open_to_others(path):
    path.parent.mkdir()
    path.write_bytes(b"")
    path.chmod(0o666)
    path.parent.chmod(0o700)


def _link(path):
    path.parent.mkdir(mode=0o700)
    (path.parent.parent / "elsewhere").write_bytes(b"")
    path.symlink_to(path.parent.parent / "elsewhere")


def _open_directory(path):
    path.parent.mkdir()
    path.parent.chmod(0o777)


def _pipe(path):
    path.parent.mkdir(mode=0o700)
    os.mkfifo(path, 0o600)


def _of_another(path):
    path.parent.mkdir(mode=0o700)
    path.write_bytes(b"")
    path.chmod(0o600)
    os.chown(path, 12345, 12345)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make_unsafe", [_open_to_others, _link, _open_directory, _pipe, _of_another]
)
def test_a_file_that_others_can_change_is_not_used(shared_slots, breaker, caplog, make_unsafe):
    make_unsafe(shared_slots.file("corp"))

    mine = breaker(1)
    with mine.call():
        assert not passes(mine)
    assert "share the limit" in caplog.text
    elsewhere = shared_slots.directory.parent / "elsewhere"
    assert not elsewhere.exists() or b"" == elsewhere.read_bytes()


def test_a_directory_that_others_can_write_to_is_not_used(tmp_path, shared_slots):
    (tmp_path / "anchor-metrics").chmod(0o777)
    with pytest.raises(NotADirectoryError):
        process_directory.make(shared_slots.directory)


def test_the_numbers_persist_after_their_writer(tmp_path):
    for expected in range(3):
        with SharedState(tmp_path / "state", 2).locked() as numbers:
            assert [expected, 0] == numbers
            numbers[0] += 1


def test_services_with_the_same_configuration_share_a_file(tmp_path, document, caplog):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(document))

    assert SharedSlots.of(config) == SharedSlots.of(config)
    assert SharedSlots.of(config).directory != SharedSlots.of(tmp_path).directory
    assert SharedSlots.of(tmp_path / "missing") is None
    assert "only forked processes share" in caplog.text
