"""Three nodes with one database: nothing that was answered is lost, whatever fails.

``make load`` runs the same tests longer, with more clients, and prints the results.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
import time
from collections import Counter
from urllib.parse import urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.support.load import FULL
from tests.support.pki import make_ca, make_csr
from tests.support.servers.cluster import cluster
from tests.support.servers.processes import program, wait_for

CLIENTS = 16 if FULL else 4
# Certificates that are issued before the next failure.
STEADY = 300 if FULL else 20
ROUNDS = 5 if FULL else 1
MAX_FAILURES = 7


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory):
    """Three nodes; a test may kill what it likes, as long as the service recovers."""
    # A short path: that of a socket is limited to 107 bytes.
    directory = tmp_path_factory.mktemp("nodes")
    ca = make_ca(directory)
    document = {
        "authentication": {"static": {"backend": "static", "user": "alice", "secret": "s3cret"}},
        "signing_ca": {
            "local": {
                "backend": "anchor",
                "cert_path": str(ca.cert_path),
                "key_path": str(ca.key_path),
            }
        },
        "registration_authority": {
            "default": {
                "authentication": "static",
                "signing_ca": "local",
                "validators": {},
                "max_failures": MAX_FAILURES,
            }
        },
    }
    with cluster(directory, document) as made:
        yield made


@pytest.fixture
def running_cluster(shared_cluster):
    """The three nodes, without failed authentications."""
    yield shared_cluster
    shared_cluster.database.sql("DELETE FROM failures")


class Load:
    """Clients that request certificates until they are told to stop."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.answers = []
        self._stop = threading.Event()

    @contextlib.contextmanager
    def running(self):
        threads = [threading.Thread(target=self._client, args=(n,)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _client(self, number):
        form = {"user": "alice", "secret": "s3cret", "encoding": "pem"}
        body = urlencode(form | {"csr": make_csr(f"host{number}.example.com")})
        while not self._stop.is_set():
            status, text = self.gateway.request(body)
            self.answers.append((status, text))
            if status != 200:
                time.sleep(0.05)

    def wait_for_certificates(self, count):
        """Wait until this many more certificates are issued; return the seconds to the first."""
        seen, started = len(self.answers), time.monotonic()
        wait_for(lambda: self._issued(seen) >= 1, what="a certificate")
        seconds = time.monotonic() - started
        wait_for(lambda: self._issued(seen) >= count, what="certificates")
        return seconds

    def _issued(self, start=0):
        return sum(status == 200 for status, _ in self.answers[start:])

    @property
    def certificates(self):
        return [
            x509.load_pem_x509_certificate(body) for status, body in self.answers if status == 200
        ]


def test_a_ban_made_on_one_node_holds_on_the_others(running_cluster):
    one, *others = running_cluster.nodes
    name = "banned.example.com"
    for each in running_cluster.nodes:
        assert 200 == each.gateway.sign(name, name)[0]

    command = (program("anchor", "anchor, in place"), "ban", "name", name)
    one.node.run(*command, "--config", one.directory / "config.json")

    for each in (*others, one):
        status, body = each.gateway.sign(name, name)
        assert 400 == status and b"banned" in body
        assert 200 == each.gateway.sign()[0]

    others[0].node.run(
        *(program("anchor", "anchor, in place"), "unban", "name", name),
        *("--config", others[0].directory / "config.json"),
    )
    for each in running_cluster.nodes:
        assert 200 == each.gateway.sign(name, name)[0]


def test_failures_on_all_nodes_count_together(running_cluster):
    gateways = [each.gateway for each in running_cluster.nodes]
    guesses = MAX_FAILURES * 4

    def guess(number):
        return gateways[number % 3].sign(secret=f"wrong{number}")[0]

    one_by_one = [guess(number) for number in range(MAX_FAILURES + 3)]
    assert [401] * MAX_FAILURES + [429] * 3 == one_by_one
    for gateway in gateways:
        assert 429 == gateway.sign()[0]

    running_cluster.database.sql("DELETE FROM failures")
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        at_once = Counter(pool.map(guess, range(guesses)))
    assert {401: MAX_FAILURES, 429: guesses - MAX_FAILURES} == at_once


def test_no_certificate_that_was_answered_is_lost(running_cluster, say):
    one, two, _ = running_cluster.nodes
    primary, replica = running_cluster.primary, running_cluster.replica
    load = Load(running_cluster.gateway)
    seconds = {}
    with load.running():
        for _ in range(ROUNDS):
            load.wait_for_certificates(STEADY)
            one.kill_worker()
            load.wait_for_certificates(STEADY)
            two.kill()
            seconds["a node killed"] = load.wait_for_certificates(STEADY)
            two.start()
            primary.restart()
            seconds["database restarted"] = load.wait_for_certificates(STEADY)
        primary.kill()
        replica.promote()
        seconds["fail-over"] = load.wait_for_certificates(STEADY)

    certificates = load.certificates
    answered = {certificate.fingerprint(hashes.SHA256()).hex() for certificate in certificates}
    stored = replica.sql("SELECT fingerprint, serial FROM certificates").splitlines()
    fingerprints, serials = zip(*(line.split("|") for line in stored), strict=True)

    assert answered <= set(fingerprints)
    assert len(certificates) == len(answered)
    assert len({certificate.serial_number for certificate in certificates}) == len(certificates)
    assert len(set(serials)) == len(serials)
    statuses = Counter(status for status, _ in load.answers)
    # Not 500: each of these failures passes.
    assert {200} <= statuses.keys() <= {0, 200, 502, 503, 504}
    assert max(seconds.values()) < 10
    say(
        f"{len(certificates)} certificates answered by 3 nodes, {len(stored)} stored, none lost; "
        f"all answers: {dict(statuses)}; seconds to the next certificate: "
        + ", ".join(f"{what}: {value:.1f}" for what, value in seconds.items())
    )
    for each in running_cluster.nodes:
        assert 200 == wait_for(lambda each=each: each.gateway.sign()[0])
