"""An authority whose directory hangs does not block others; started as in production."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from tests.support.pki import make_csr
from tests.support.servers.anchor import GUNICORNS, serving
from tests.support.servers.broken import broken_server

PRESSING = 24  # clients of that authority: more than any server here serves at once
# How long a call to the directory takes, and the pause after it: the circuit breaker's rule.
CALL = 2
PAUSE = max(5, 2 * CALL)
# In at most this time, so many requests of others are answered.
SECONDS = 25
ANSWERS = 50


def post(port, authority, csr):
    """Send a request; return the status and the duration."""
    form = {"user": "alice", "secret": "s3cret", "encoding": "pem", "csr": csr}
    url = f"http://127.0.0.1:{port}/v1/sign/{authority}"
    start = time.monotonic()
    try:
        with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), 60) as answer:
            answer.read()
            status = answer.status
    except urllib.error.HTTPError as error:
        with error:
            status = error.code
    return status, time.monotonic() - start


@pytest.fixture
def attempts():
    """The times of the connections to the directory."""
    return []


@pytest.fixture
def hanging(document, attempts):
    """A configuration with an authority whose directory never responds."""

    def silent(_connection, stop):
        attempts.append(time.monotonic())
        stop.wait()

    with broken_server(silent) as port:
        document["authentication"]["hanging"] = {
            "backend": "ldap",
            "host": "127.0.0.1",
            "port": port,
            "base": "dc=example,dc=com",
            "domain": "example.com",
            "timeout": CALL,
        }
        document["registration_authority"]["hanging"] = document["registration_authority"][
            "default"
        ] | {"authentication": "hanging"}
        yield document


def tried_again(attempts):
    """True if the first calls have timed out, and the first call after the pause as well."""
    again = [moment for moment in attempts if moment - attempts[0] > PAUSE]
    return bool(again) and time.monotonic() > again[0] + CALL + 1


@pytest.mark.parametrize("server", ["uwsgi", "uwsgi.ini", "gunicorn", *GUNICORNS])
def test_an_authority_that_hangs_does_not_starve_the_others(tmp_path, hanging, attempts, server):
    statuses = []
    stop = threading.Event()
    csr = make_csr()

    def press(port):
        while not stop.is_set():
            statuses.append(post(port, "hanging", csr)[0])
            # Refusals come at once: asking more often would only take the processor's time.
            stop.wait(0.25)

    (tmp_path / "config.json").write_text(json.dumps(hanging))
    with serving(server, tmp_path) as service:
        port = service.port
        clients = [threading.Thread(target=press, args=(port,)) for _ in range(PRESSING)]
        for client in clients:
            client.start()
        answers = []
        try:
            end = time.monotonic() + SECONDS
            while time.monotonic() < end and not (tried_again(attempts) and len(answers) > ANSWERS):
                answers.append(post(port, "default", csr))
                time.sleep(0.02)
        finally:
            stop.set()
            for client in clients:
                client.join(60)

    slowest = max(took for _, took in answers)
    assert {200} == {status for status, _ in answers}
    assert {503} == set(statuses)
    assert slowest < 0.8 * CALL
    assert len(answers) > ANSWERS
    assert tried_again(attempts)
