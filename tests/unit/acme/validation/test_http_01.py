"""http-01 accepts the key authorization, and no machine can make it do anything else."""

from __future__ import annotations

import contextlib
import itertools
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anchor.acme.problems import ProblemType
from anchor.acme.validation import http_01
from anchor.acme.validation.failures import ChallengeFailed
from anchor.acme.validation.time_limit import TimeLimit
from anchor.acme.validation.web_location import WebLocation
from tests.support.servers.scripted import ScriptedServer, http_server, read_request, tls_server

NAME = "www.example.com"
PORTS = frozenset({80, 443})
SECRET = b"S3CRET-of-an-internal-service"


def ok(body, headers=b""):
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (headers, len(body), body)


def redirect(target, status=302):
    return f"HTTP/1.1 {status} Found\r\nLocation: {target}\r\n\r\n".encode("latin-1")


@pytest.fixture
def validate(connector, settings):
    """Validates a response to a challenge at a server with these responses."""

    def run(attempt, respond, seconds=5, https=None):
        with http_server(respond) as server, contextlib.ExitStack() as stack:
            direct = connector(server)
            if https is not None:
                direct.by_port[443] = stack.enter_context(https).address
            http_01.validate(attempt, settings, direct, TimeLimit(seconds))
            return direct.asked

    return run


@pytest.fixture
def refuse(validate, attempt):
    """The failure of the validation at a server with these responses."""

    def run(respond, seconds=5):
        respond = respond if callable(respond) else lambda _request, response=respond: response
        with pytest.raises(ChallengeFailed) as caught:
            validate(attempt(), respond, seconds)
        assert SECRET.decode() not in str(caught.value)
        assert len(str(caught.value)) < 600
        return caught.value

    return run


def test_the_key_authorization_is_asked_for_at_the_path_of_the_token(attempt, validate):
    requests = []
    response = attempt()

    def respond(request):
        requests.append(request)
        return ok(response.key_authorization.encode())

    assert validate(response, respond) == [(NAME, 80)]
    [request] = requests
    assert request.startswith(
        b"GET /.well-known/acme-challenge/DGyRejmCefe7v4NfDGDKfA HTTP/1.1\r\n"
    )
    assert b"\r\nHost: www.example.com\r\n" in request


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" \t\r\n\r\n"])
def test_whitespace_at_the_end_is_ignored(attempt, validate, end):
    response = attempt()
    validate(response, lambda _: ok(response.key_authorization.encode() + end))


def test_a_body_in_chunks_is_read(attempt, validate):
    response = attempt()
    text = response.key_authorization.encode()
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
    validate(response, lambda _: chunked % (len(text), text))


def test_an_address_is_in_the_host_header(attempt, validate):
    requests = []
    response = attempt("2001:db8::7", identifier_type="ip")

    def respond(request):
        requests.append(request)
        return ok(response.key_authorization.encode())

    assert validate(response, respond) == [("2001:db8::7", 80)]
    assert b"\r\nHost: [2001:db8::7]\r\n" in requests[0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        SECRET,
        b"DGyRejmCefe7v4NfDGDKfA",
        b"DGyRejmCefe7v4NfDGDKfA." + b"A" * 43,
        b"\xff\xfe\x00",
    ],
)
def test_another_body_is_refused_and_not_repeated(refuse, body):
    failure = refuse(ok(body))
    assert failure.kind is ProblemType.INCORRECT_RESPONSE


def test_text_before_or_after_the_key_authorization_is_refused(attempt, validate):
    response = attempt()
    for form in (b" %b", b"%b x", b"%b\0"):
        body = form % response.key_authorization.encode()
        with pytest.raises(ChallengeFailed, match="should be the key authorization"):
            validate(response, lambda _, body=body: ok(body))


@pytest.mark.parametrize("status", [b"204 No Content", b"404 Not Found", b"500 Oops", b"304 Same"])
def test_another_status_is_refused(refuse, status):
    failure = refuse(b"HTTP/1.1 %b\r\nX-Secret: %b\r\n\r\n" % (status, SECRET))
    assert failure.kind is ProblemType.INCORRECT_RESPONSE
    assert f"answers {status[:3].decode()}" in str(failure)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(attempt, validate, status):
    response = attempt()

    def respond(request):
        if b"/there?x=1 " in request:
            return ok(response.key_authorization.encode())
        return redirect("http://other.example.com:443/there?x=1#part", status)

    assert validate(response, respond) == [(NAME, 80), ("other.example.com", 443)]


def test_the_certificate_of_an_https_server_is_not_verified(attempt, validate, tls_context):
    response = attempt()
    context = tls_context(names=["wrong.example.com"])
    body = ok(response.key_authorization.encode())
    https = tls_server(context, lambda tls: read_request(tls) and tls.sendall(body))
    validate(response, lambda _: redirect("https://other.example.com/"), https=https)


def test_an_https_server_that_speaks_no_tls_is_refused(attempt, validate):
    https = ScriptedServer(lambda connection: connection.sendall(b"HTTP/1.1 400 No\r\n\r\n"))
    with pytest.raises(ChallengeFailed, match="TLS failed"):
        validate(attempt(), lambda _: redirect("https://other.example.com/"), https=https)


def test_ten_redirects_are_followed_and_not_eleven(attempt, validate, refuse):
    response = attempt()
    for count in (10, 11):
        steps = itertools.count()

        def respond(_request, steps=steps, count=count):
            if next(steps) < count:
                return redirect("/again")
            return ok(response.key_authorization.encode())

        if count == 10:
            assert len(validate(response, respond)) == 11
        else:
            assert "more than 10 redirects" in str(refuse(respond))


def test_redirects_in_a_circle_end(refuse):
    assert "more than 10 redirects" in str(refuse(redirect("/")))


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[fe80::1%25eth0]/",
        "http://other.example.com:22/",
        "http://other.example.com:8080/",
        "http://other.example.com:0/",
        "http://other.example.com:99999/",
        "http://other.example.com:x/",
        "http://user@other.example.com/",
        "http://user:password@other.example.com/",
        "http://other.example.com@127.0.0.1/",
        "http://127.0.0.1\\@other.example.com/",
        "http://*.example.com/",
        "http://other..example.com/",
        "http://-.example.com/",
        "ftp://other.example.com/",
        "file:///etc/passwd",
        "gopher://other.example.com/",
        "javascript:alert(1)",
        "http://bücher.example/",
        "http://other.example.com/a b",
        "http://other.example.com/\x00",
        "http://" + "a" * 64 + ".example.com/",
        "http://other.example.com/" + "a" * 2000,
        "",
    ],
)
def test_redirects_to_addresses_other_ports_and_other_schemes_are_refused(refuse, target):
    failure = refuse(redirect(target))
    assert failure.kind is ProblemType.CONNECTION
    assert "redirects: the target should" in str(failure)


@given(st.text(max_size=60).map(lambda text: f"http://{text}") | st.text(max_size=60))
def test_a_redirect_leads_to_a_dns_name_and_a_web_port_or_nowhere(target):
    start = WebLocation(is_https=False, host=NAME, port=80, target="/x")
    try:
        location = start.redirected(target, PORTS)
    except ValueError:
        return
    assert location.port in PORTS
    assert set(str(location.host)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.")
    assert not str(location.host).rpartition(".")[2].isdigit()
    assert not set("\r\n \0") & set(location.target)
    assert location.target.startswith("/")


def drip(first, piece, pause=0.1):
    """Parts of a response that never ends."""
    yield first
    while True:
        time.sleep(pause)
        yield piece


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"a"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    ],
    ids=["status", "headers", "body", "chunks"],
)
def test_a_response_that_drips_ends_with_the_time(refuse, first, piece):
    start = time.monotonic()
    failure = refuse(lambda _: drip(first, piece), seconds=0.4)
    assert 0.36 < time.monotonic() - start < 1.2
    assert "no answer in time" in str(failure)


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 4096),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 500),
        (b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 4096 + b"\r\n"),
        (b"HTTP/1.1 200 ", b"y" * 4096),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    ],
    ids=["body", "chunks", "headers", "status", "continue"],
)
def test_a_response_without_an_end_is_not_read_to_its_end(refuse, first, piece):
    start = time.monotonic()
    refuse(lambda _: drip(first, piece, pause=0), seconds=5)
    assert time.monotonic() - start < 3


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"\x00" * 100,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nx",
    ],
)
def test_what_is_not_http_is_refused(refuse, response):
    refuse(response)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
@given(
    st.binary(max_size=200)
    | st.binary(max_size=200).map(b"HTTP/1.1 ".__add__)
    | st.binary(max_size=200).map(b"HTTP/1.1 200 OK\r\n".__add__)
    | st.binary(max_size=200).map(b"HTTP/1.1 302 OK\r\nLocation: ".__add__)
    | st.binary(max_size=200).map(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".__add__)
)
def test_no_response_causes_another_error(refuse, response):
    refuse(response)
