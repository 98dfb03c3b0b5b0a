"""tls-alpn-01 accepts the certificate of RFC 8737 only."""

from __future__ import annotations

import ssl
import time

import pytest

from anchor.acme.problems import ProblemType
from anchor.acme.validation import tls_alpn_01
from anchor.acme.validation.failures import ChallengeFailed
from anchor.acme.validation.time_limit import TimeLimit
from tests.support.servers.scripted import ScriptedServer, tls_server

NAME = "www.example.com"


def identifier_value(attempt):
    return b"\x04\x20" + attempt.digest


@pytest.fixture
def validate(connector, settings, tls_context):
    """Validates a response to a challenge at a server; returns the server names it was asked for.

    The options are those of the server's certificate.
    """

    def run(attempt, *, tls_version=None, **options):
        context = tls_context(**options)
        if tls_version is not None:
            context.maximum_version = tls_version
        asked = []
        context.sni_callback = lambda _socket, name, _context: asked.append(name)
        with tls_server(context, lambda tls: asked.append(tls.selected_alpn_protocol())) as server:
            tls_alpn_01.validate(attempt, settings, connector(server), TimeLimit(5))
        return asked

    return run


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_certificate_of_the_challenge_is_accepted(attempt, validate, version):
    response = attempt(NAME)
    value = identifier_value(response)
    asked = validate(response, names=[NAME.upper()], value=value, tls_version=version)
    assert asked[0] == NAME


@pytest.mark.parametrize(
    ("address", "server_name"),
    [
        ("10.0.0.7", "7.0.0.10.in-addr.arpa"),
        ("2001:db8::7", "7" + ".0" * 23 + ".8.b.d.0.1.0.0.2.ip6.arpa"),
    ],
)
def test_an_address_is_asked_for_by_its_reverse_name(attempt, validate, address, server_name):
    response = attempt(address, identifier_type="ip")
    asked = validate(response, addresses=[address], value=identifier_value(response))
    assert asked[0] == server_name


@pytest.mark.parametrize(
    "change",
    [
        {"names": [NAME, "other.example.com"]},
        {"names": [NAME], "addresses": ["10.0.0.7"]},
        {"names": [NAME], "emails": ["a@example.com"]},
        {"names": ["other.example.com"]},
        {"names": [f"*.{NAME.partition('.')[2]}"]},
        {"names": []},
        {"names": [], "addresses": ["10.0.0.7"]},
        {"critical": False},
        {"value": None},
        {"value": b"\x04\x20" + bytes(32)},
        {"value": b"\x04\x00"},
        {"value": b""},
        {"self_signed": False},
    ],
    ids=str,
)
def test_another_certificate_is_refused(attempt, validate, change):
    response = attempt(NAME)
    options = {"names": [NAME], "value": identifier_value(response)} | change
    with pytest.raises(ChallengeFailed) as caught:
        validate(response, **options)
    assert caught.value.kind is ProblemType.INCORRECT_RESPONSE
    assert str(caught.value).startswith(f"port 443 of {NAME}: the certificate ")


def test_a_digest_without_its_header_or_with_more_bytes_is_refused(attempt, validate):
    response = attempt(NAME)
    for value in (response.digest, identifier_value(response) + b"\0"):
        with pytest.raises(ChallengeFailed, match="SHA-256 of the key authorization"):
            validate(response, names=[NAME], value=value)


@pytest.mark.parametrize("protocols", [(), ("http/1.1",), ("h2", "http/1.1")])
def test_a_server_that_does_not_select_the_protocol_is_refused(attempt, validate, protocols):
    response = attempt(NAME)
    with pytest.raises(ChallengeFailed) as caught:
        validate(response, names=[NAME], value=identifier_value(response), protocols=protocols)
    assert caught.value.kind is ProblemType.TLS


def behave_badly(kind):
    def run(connection):
        if kind == "silence":
            time.sleep(3)
        elif kind == "garbage":
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        elif kind == "drip":
            for byte in b"\x16\x03\x03\x40\x00" + bytes(100):
                connection.sendall(bytes([byte]))
                time.sleep(0.2)

    return run


@pytest.mark.parametrize("kind", ["silence", "garbage", "drip", "close"])
def test_what_is_not_tls_fails_in_time(attempt, settings, connector, kind):
    start = time.monotonic()
    with ScriptedServer(behave_badly(kind)) as server, pytest.raises(ChallengeFailed) as caught:
        tls_alpn_01.validate(attempt(NAME), settings, connector(server), TimeLimit(0.5))
    assert time.monotonic() - start < 1
    assert caught.value.kind in (ProblemType.TLS, ProblemType.CONNECTION)
