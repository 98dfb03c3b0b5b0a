"""No TLS server keeps a validation busy beyond its time, or lets it read without end."""

from __future__ import annotations

import time

import pytest

from anchor.acme.problems import ProblemType
from anchor.acme.validation import http_01, tls_alpn_01
from anchor.acme.validation.failures import ChallengeFailed
from anchor.acme.validation.time_limit import TimeLimit
from tests.support.servers.scripted import http_server, tls_server
from tests.support.servers.tls_floods import hello_requests, session_tickets

REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: https://other.example.com/\r\n\r\n"
MIB = 2**20


@pytest.fixture
def refuse(attempt, settings, connector):
    """The failure at a server, and the seconds it took: by the clock, and of CPU."""

    def run(server, kind, seconds=2):
        with server, http_server(lambda _: REDIRECT) as http:
            direct = connector(http)
            direct.by_port[443] = server.address
            module = tls_alpn_01 if kind == "tls-alpn-01" else http_01
            start, cpu = time.monotonic(), time.thread_time()
            with pytest.raises(ChallengeFailed) as caught:
                module.validate(attempt(kind=kind), settings, direct, TimeLimit(seconds))
            took, used = time.monotonic() - start, time.thread_time() - cpu
        assert caught.value.kind is ProblemType.CONNECTION
        return str(caught.value), took, used

    return run


@pytest.mark.parametrize("kind", ["http-01", "tls-alpn-01"])
def test_a_flood_of_hello_requests_is_not_read_to_its_end(refuse, kind):
    failure, took, used = refuse(hello_requests(), kind)
    assert "the other side sends too much" in failure
    assert took < 1.5
    assert used < 0.5


@pytest.mark.parametrize("kind", ["http-01", "tls-alpn-01"])
def test_hello_requests_that_drip_end_with_the_time(refuse, kind):
    failure, took, used = refuse(hello_requests(pause=0.05), kind, seconds=0.5)
    assert "no answer in time" in failure
    assert 0.45 < took < 1
    assert used < 0.5


def test_a_flood_of_session_tickets_is_not_read_to_its_end(refuse, tls_context, tmp_path):
    context = tls_context(protocols=())
    failure, took, used = refuse(session_tickets(context, tmp_path / "keys"), "http-01")
    assert "the other side sends too much" in failure
    assert took < 1.5
    assert used < 0.5


def test_a_response_over_tls_is_not_read_to_its_end(refuse, tls_context):
    sent = []

    def respond(tls):
        tls.sendall(b"HTTP/1.1 200 OK\r\n")
        while len(sent) < 64:
            tls.sendall(b"X: y\r\n" * (MIB // 6))
            sent.append(MIB)

    failure, took, _ = refuse(tls_server(tls_context(protocols=()), respond), "http-01", seconds=5)
    assert "the request to other.example.com failed" in failure
    assert len(sent) < 32
    assert took < 3


def test_a_server_that_ends_without_an_alert_of_tls_is_accepted(
    attempt, settings, connector, tls_context
):
    response = attempt()

    def respond(tls):
        tls.recv(4096)
        tls.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + response.key_authorization.encode())

    with (
        tls_server(tls_context(protocols=()), respond) as server,
        http_server(lambda _: REDIRECT) as http,
    ):
        direct = connector(http)
        direct.by_port[443] = server.address
        http_01.validate(response, settings, direct, TimeLimit(5))
