"""HTTP requests of the client to servers and networks that are not as they should be."""

from __future__ import annotations

import socket

import pytest

from anchor.client.errors import Unavailable
from anchor.client.transport import URL, Transport
from tests.support.canned import response
from tests.support.servers.broken import black_hole, broken_server  # noqa: F401  # a fixture


@pytest.fixture
def heads():
    """The heads of the requests to the server of the fixture ``answering``."""
    return []


@pytest.fixture
def answering(heads):
    """The port of a server that answers every request with status 204."""

    def answer(connection, _stop):
        heads.append(connection.recv(65536).decode("ascii"))
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with broken_server(answer) as port:
        yield port


@pytest.fixture
def resolve(monkeypatch):
    """A function that leads every host name to local ports, whatever the port of the URL is."""
    lookup = socket.getaddrinfo

    def resolve(*ports):
        def look_up(host, _port, *arguments, **options):
            if host == "127.0.0.1":
                return lookup(host, _port, *arguments, **options)
            kind = socket.AF_INET, socket.SOCK_STREAM, 6, ""
            return [(*kind, ("127.0.0.1", port)) for port in ports]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)

    return resolve


@pytest.mark.parametrize("header", ["Date", "Retry_After"])
@pytest.mark.parametrize(
    "date",
    [
        "Mon, 01 Jan 99999999999999 00:00:00 GMT",
        "Mon, 01 Jan 2026 99999999999999:00:00 GMT",
        "Mon, 01 Jan 2026 00:00:00 +99999999999999",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon, 01 Jan 0001 00:00:00 +2359",
    ],
)
def test_a_date_far_away_does_not_end_the_client(machine, https_anchor, capsys, header, date):
    assert 0 == machine.request("www.example.com")
    https_anchor.wsgi = response("503 Busy", b"", **{header: date})

    assert 75 == machine.renew("--force")

    assert "is not available: status 503" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://anchor.example.com", "anchor.example.com"),
        ("https://anchor.example.com:443/pki", "anchor.example.com"),
        ("http://anchor.example.com", "anchor.example.com"),
        ("https://anchor.example.com:8443", "anchor.example.com:8443"),
        ("http://anchor.example.com:443", "anchor.example.com:443"),
        ("https://[2001:db8::1]", "[2001:db8::1]"),
        ("https://[2001:db8::1]:8443", "[2001:db8::1]:8443"),
    ],
)
def test_the_host_header_leaves_out_the_default_port(resolve, answering, heads, url, host):
    """Envoy and HAProxy compare the header with the name alone."""
    resolve(answering)

    assert 204 == Transport(URL.parse(url), None, 5).exchange("GET", "/").status

    assert f"\r\nHost: {host}\r\n" in heads[0]


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    resolve,
    answering,
    black_hole,  # noqa: F811
):
    resolve(black_hole, answering)
    transport = Transport(URL.parse("http://anchor.example.com"), None, 2)

    assert 204 == transport.exchange("GET", "/").status


def test_addresses_that_do_not_answer_share_the_time(resolve, black_hole):  # noqa: F811
    resolve(black_hole, black_hole, black_hole)
    transport = Transport(URL.parse("http://anchor.example.com"), None, 0.5)

    with pytest.raises(Unavailable, match=r"no answer within 0\.5 seconds"):
        transport.exchange("GET", "/")
