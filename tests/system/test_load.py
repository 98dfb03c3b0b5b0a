"""The service behind nginx and uwsgi under load, with and without failures.

``make load`` runs the same tests with the numbers in the documentation, and prints the results.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import http.client
import itertools
import os
import signal
import ssl
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.support.load import FULL
from tests.support.pki import make_csr
from tests.support.servers.nginx_site import HOST, site
from tests.support.servers.processes import alive, descendants, wait_for

CERTIFICATES = 10_000 if FULL else 300
REQUESTS = 100_000 if FULL else 1_000
CONNECTIONS = 64 if FULL else 16
SLOW = 2_000 if FULL else 200

# More requests than the shipped site allows one client.
UNLIMITED = {
    "rate=10r/s": "rate=100000r/s",
    "burst=20": "burst=10000",
    "limit_conn anchor_connections 32": "limit_conn anchor_connections 4096",
}


@pytest.fixture
def served(tmp_path, document, ca):
    document["registration_authority"]["default"]["fixups"] = {
        "enforce_alternative_names_present": {}
    }
    with site(tmp_path, document, ca, replace=UNLIMITED) as running:
        yield running


@dataclass(frozen=True)
class Answered:
    """The outcome of a request; the status is 0 without a response."""

    status: int
    body: bytes
    seconds: float

    @property
    def file(self):
        der = ssl.PEM_cert_to_DER_cert(self.body.decode())
        return f"{hashlib.sha256(der).hexdigest()}.crt"


def load(served, count, connections, each=lambda number: None):
    """Send this many requests over this many persistent connections."""
    bodies = [
        urlencode(
            {
                "user": "alice",
                "secret": "s3cret",
                "encoding": "pem",
                "csr": make_csr(f"host{number}.example.com"),
            }
        )
        for number in range(50)
    ]
    numbers = itertools.count()
    headers = {"Host": HOST, "Content-Type": "application/x-www-form-urlencoded"}

    def client(_):
        answers = []
        connection = served.connect()
        while (number := next(numbers)) < count:
            each(number)
            started = time.perf_counter()
            try:
                connection.request("POST", "/v1/sign/default", bodies[number % 50], headers)
                with connection.getresponse() as answer:
                    status, body = answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                status, body = 0, b""
                connection.close()
            answers.append(Answered(status, body, time.perf_counter() - started))
        connection.close()
        return answers

    with concurrent.futures.ThreadPoolExecutor(connections) as pool:
        return [answer for found in pool.map(client, range(connections)) for answer in found]


def stored(served):
    return {entry.name for entry in os.scandir(served.directory / "certs")}


def test_every_certificate_is_answered_and_on_disk(served, say):
    started = time.monotonic()
    answers = load(served, CERTIFICATES, CONNECTIONS)
    seconds = time.monotonic() - started

    assert {200} == {answer.status for answer in answers}
    files = {answer.file for answer in answers}
    assert CERTIFICATES == len(files)
    assert files == stored(served)
    times = sorted(answer.seconds for answer in answers)
    say(
        f"{CERTIFICATES} certificates at {CONNECTIONS} connections: all answered, all on disk; "
        f"{CERTIFICATES / seconds:.0f} a second, median {statistics.median(times) * 1e3:.0f} ms, "
        f"slowest {times[-1] * 1e3:.0f} ms"
    )


def memory(served):
    """The resident memory of each worker, in kilobytes."""
    found = {}
    for pid in descendants(served.uwsgi.pid)[1:]:
        status = Path(f"/proc/{pid}/status").read_text()
        found[pid] = int(status.partition("VmRSS:")[2].split()[0])
    return found


def test_the_memory_of_the_workers_stays_flat(served, say):
    tenths = []
    for _ in range(10):
        answers = load(served, REQUESTS // 10, CONNECTIONS)
        assert {200} == {answer.status for answer in answers}
        tenths.append(memory(served))

    assert tenths[0].keys() == tenths[-1].keys()
    shown = " ".join(f"{max(tenth.values()) / 1024:.1f}" for tenth in tenths)
    say(f"{REQUESTS} requests: megabytes of the largest worker after each tenth: {shown}")
    # A worker keeps the memory that it allocates for its first requests.
    assert max(tenths[-1][pid] - tenths[4][pid] for pid in tenths[-1]) < 2048


def test_a_worker_that_is_killed_loses_no_certificate_that_was_answered(served, say):
    count = CERTIFICATES // 4
    killed = []

    def kill(number):
        if number in (count // 4, count // 2):
            worker = descendants(served.uwsgi.pid)[1 + len(killed)]
            os.kill(worker, signal.SIGKILL)
            killed.append(worker)

    answers = load(served, count, CONNECTIONS, kill)

    wait_for(lambda: not alive(killed), what="the workers to be gone")
    good = [answer for answer in answers if answer.status == 200]
    lost = [answer for answer in answers if answer.status != 200]
    assert {answer.file for answer in good} <= stored(served)
    # The clients of interrupted requests get an error.
    assert len(lost) <= 8
    assert {answer.status for answer in lost} <= {0, 502, 503}
    assert 200 == served.sign()[0]
    say(
        f"2 workers killed in the middle of {count} requests: {len(lost)} were not answered with "
        f"a certificate, and each of the {len(good)} others is on disk"
    )


@pytest.fixture
def small_disk(tmp_path):
    """A small file system for the certificates, which is soon full."""
    certs = tmp_path / "certs"
    certs.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", certs]
    assert 0 == subprocess.run(mount, check=False).returncode, "this needs to be root"
    yield certs
    subprocess.run(["umount", "--lazy", certs], check=True)


def test_a_full_disk_is_a_500_and_passes_by_itself(small_disk, served, say):
    answers = load(served, 200, 4)
    statuses = [answer.status for answer in answers]
    good = [answer for answer in answers if answer.status == 200]

    assert {200, 500} == set(statuses)
    assert {answer.file for answer in good} == stored(served)
    for answer in good:
        assert answer.body == (small_disk / answer.file).read_bytes()
    assert 503 == wait_for(lambda: served.ask("GET", "/readyz")[0] == 503 and 503)

    for name in itertools.islice(stored(served), 20):
        (small_disk / name).unlink()
    assert 200 == served.sign()[0]
    assert wait_for(lambda: served.ask("GET", "/readyz")[0] == 200)
    say(
        f"disk full: {len(good)} certificates, then {statuses.count(500)} answers 500; with room "
        "again, 200"
    )


def test_slow_connections_do_not_stop_honest_ones(tmp_path, document, ca, say):
    patient = {
        **UNLIMITED,
        # The connections last as long as the test, even on a busy machine.
        "client_header_timeout 10s": "client_header_timeout 300s",
        "client_body_timeout 10s": "client_body_timeout 300s",
    }
    head = f"POST /v1/sign/default HTTP/1.1\r\nHost: {HOST}\r\n"
    body = f"{head}Content-Length: 500\r\n\r\nuser="
    with site(tmp_path, document, ca, replace=patient) as served, contextlib.ExitStack() as stack:
        alone = [served.sign() for _ in range(20)]
        for number in range(SLOW):
            slow = stack.enter_context(contextlib.closing(served.connect()))
            slow.sock.sendall((head if number % 2 else body).encode())
        started = time.perf_counter()
        answers = load(served, CERTIFICATES // 10, 8)
        seconds = time.perf_counter() - started

    assert {200} == {status for status, _, _ in alone}
    assert {200} == {answer.status for answer in answers}
    say(
        f"{SLOW} connections that send half a request: {len(answers)} honest ones all answered, "
        f"{len(answers) / seconds:.0f} a second"
    )
