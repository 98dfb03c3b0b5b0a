"""An HTTP backend with an oversized or endless answer causes a 503 in bounded time and memory."""

from __future__ import annotations

import contextlib
import functools
import gzip
import itertools
import json
import threading
import time
import tracemalloc
import zlib

import pytest

from anchor.auth.loading import load_authenticator
from anchor.auth.results import AuthDetails
from anchor.client.errors import Misconfigured, Unavailable
from anchor.client.keystone import fetch_token
from anchor.errors import BackendUnavailable
from tests.support.servers.broken import broken_server

TOKEN = {"user": {"id": "1", "name": "alice"}, "project": {"id": "2", "name": "compute"}}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
MEMORY = 30_000_000  # far less than the server sends
BOUND = 10  # seconds; far longer than the timeout, even on a busy machine


def answer_of(size):
    """A valid answer of this size in bytes."""
    empty = json.dumps({"token": TOKEN, "padding": ""})
    return json.dumps({"token": TOKEN, "padding": "a" * (size - len(empty))}).encode()


def whole(body, encoding=None):
    head = HEAD + f"Content-Length: {len(body)}\r\n".encode()
    if encoding:
        head += f"Content-Encoding: {encoding}\r\n".encode()
    return [head + b"\r\n" + body]


def chunked(pieces):
    yield HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    for piece in pieces:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


@functools.cache
def bomb(layers=1, wbits=31):
    """A compressed valid answer that ends with 300 MB of spaces."""
    compressor = zlib.compressobj(9, wbits=wbits)
    body = compressor.compress(answer_of(200))
    for _ in range(300):
        body += compressor.compress(b" " * 1_000_000)
    body += compressor.flush()
    for _ in range(layers - 1):
        body = gzip.compress(body)
    return body


@contextlib.contextmanager
def keystone(pieces, tmp_path, timeout=0.5, pause=0.0):
    """An authenticator whose Keystone answers with these bytes."""

    def behave(connection, stop):
        connection.recv(65536)
        for piece in pieces():
            if stop.wait(pause) if pause else stop.is_set():
                return
            connection.sendall(piece)
        if not stop.is_set():
            connection.close()

    with broken_server(behave) as port:
        options = {"backend": "keystone", "url": f"http://127.0.0.1:{port}", "timeout": timeout}
        yield load_authenticator("it", options, tmp_path)


TOO_LARGE = {
    "2 GB with its length": lambda: itertools.chain(
        [HEAD + b"Content-Length: 2147483648\r\n\r\n"], itertools.repeat(b" " * 65536, 32768)
    ),
    "2 GB in chunks": lambda: chunked(itertools.repeat(b" " * 65536, 32768)),
    "2 GB until the end": lambda: itertools.chain(
        [HEAD + b"\r\n"], itertools.repeat(b" " * 65536, 32768)
    ),
    "one byte too many": lambda: whole(answer_of(1_000_001)),
    "one byte too many in chunks": lambda: chunked([answer_of(1_000_001)]),
    "one byte too many compressed": lambda: whole(gzip.compress(answer_of(1_000_001)), "gzip"),
    "chunks without end": lambda: chunked(itertools.repeat(b" " * 1000)),
    "small chunks without end": lambda: chunked(itertools.repeat(b" ")),
    "a gzip bomb": lambda: whole(bomb(), "gzip"),
    "a gzip bomb by another name": lambda: whole(bomb(), "x-gzip"),
    "a gzip bomb in gzip": lambda: whole(bomb(2), "gzip, gzip"),
    "a gzip bomb in chunks": lambda: itertools.chain(
        [HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"],
        itertools.islice(chunked([bomb()]), 1, None),
    ),
    "a deflate bomb": lambda: whole(bomb(wbits=15), "deflate"),
    "a header without end": lambda: itertools.chain([HEAD + b"X: "], itertools.repeat(b"a" * 999)),
    "headers without end": lambda: itertools.chain([HEAD], itertools.repeat(b"X: a\r\n")),
    "100 Continue without end": lambda: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "trailers without end": lambda: itertools.chain(
        itertools.islice(chunked([]), 1), [b"0\r\n"], itertools.repeat(b"X: a\r\n")
    ),
    "deep": lambda: whole(b"[" * 999_999),
    "an error that is too large": lambda: whole_error(b" " * 2_000_000),
}


def whole_error(body):
    head = f"HTTP/1.1 401 Unauthorized\r\nContent-Length: {len(body)}\r\n\r\n"
    return [head.encode() + body]


@pytest.mark.slow
@pytest.mark.parametrize("name", TOO_LARGE)
def test_an_answer_that_is_too_large_is_unavailable(tmp_path, name):
    with keystone(TOO_LARGE[name], tmp_path, timeout=5) as authenticator:
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            with pytest.raises(BackendUnavailable) as unavailable:
                authenticator.authenticate("default", "alice", "the-token")
            peak = tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()

    assert "the-token" not in str(unavailable.value)
    # The compressed answer, which this process generates, is smaller.
    assert peak < MEMORY


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NOT_HTTP = {
    "a chunk of negative length": CHUNKED + b"-5\r\n     \r\n0\r\n\r\n",
    "a chunk of no length": CHUNKED + b"zz\r\n",
    "a chunk of a huge length": CHUNKED + b"f" * 40 + b"\r\n  ",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 7\r\n\r\n{}     ",
    "not what it says it is": whole(b"not compressed", "gzip")[0],
    "compressed many times": whole(b"{}", ", ".join(["gzip"] * 20))[0],
    "another protocol": b"\0" * 5000,
    "nothing": b"",
    "an unknown charset": HEAD.replace(b"json", b"json; charset=idna") + b"\r\n\xff",
}


@pytest.mark.parametrize("what", NOT_HTTP)
def test_an_answer_that_is_not_http_is_unavailable(tmp_path, what):
    with (
        keystone(lambda: [NOT_HTTP[what]], tmp_path, timeout=10) as authenticator,
        pytest.raises(BackendUnavailable),
    ):
        authenticator.authenticate("default", "alice", "the-token")


SLOW = {
    "headers": lambda: itertools.chain([HEAD + b"X: "], itertools.repeat(b"a")),
    "many headers": lambda: itertools.chain([HEAD], itertools.repeat(b"X: a\r\n")),
    "100 Continue": lambda: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body": lambda: itertools.chain(
        [HEAD + b"Content-Length: 1000\r\n\r\n"], itertools.repeat(b" ")
    ),
    "chunks": lambda: chunked(itertools.repeat(b" ")),
    "the length of a chunk": lambda: itertools.chain(
        itertools.islice(chunked([]), 1), itertools.repeat(b"0")
    ),
    "trailers": lambda: itertools.chain(
        itertools.islice(chunked([]), 1), [b"0\r\n"], itertools.repeat(b"X: a\r\n")
    ),
    "what is compressed": lambda: itertools.chain(
        [HEAD + b"Content-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n"],
        [gzip.compress(b"")[:10]],
        itertools.repeat(b"\0"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", SLOW)
def test_a_slow_answer_is_unavailable_and_its_reader_ends(tmp_path, what):
    def asking():
        return [thread for thread in threading.enumerate() if thread.name == "anchor-question"]

    before = len(asking())
    with keystone(SLOW[what], tmp_path, pause=0.05) as authenticator:
        start = time.monotonic()
        with pytest.raises(BackendUnavailable):
            authenticator.authenticate("default", "alice", "the-token")
        assert time.monotonic() - start < BOUND
        # The server keeps sending without a reader.
        end = time.monotonic() + BOUND
        while len(asking()) > before:
            assert time.monotonic() < end
            time.sleep(0.02)


def pieces_of(body):
    return (body[start : start + 1000] for start in range(0, len(body), 1000))


FITTING = {
    "with its length": lambda: whole(answer_of(1_000_000)),
    "in chunks": lambda: chunked([answer_of(1_000_000)]),
    "in chunks of 1000": lambda: chunked(pieces_of(answer_of(1_000_000))),
    "until the end": lambda: [HEAD + b"\r\n" + answer_of(1_000_000)],
    "gzip": lambda: whole(gzip.compress(answer_of(1_000_000)), "gzip"),
    "deflate": lambda: whole(zlib.compress(answer_of(1_000_000)), "deflate"),
    "small": lambda: whole(answer_of(200)),
    "after 100 Continue": lambda: [b"HTTP/1.1 100 Continue\r\n\r\n", *whole(answer_of(200))],
}


@pytest.mark.parametrize("name", FITTING)
def test_an_answer_within_the_limit_is_read(tmp_path, name):
    with keystone(FITTING[name], tmp_path, timeout=20) as authenticator:
        identity = authenticator.authenticate("default", "alice", "the-token")

    assert AuthDetails("alice", (), "1", "2") == identity


def test_an_answer_through_a_proxy_is_limited_too(tmp_path, monkeypatch):
    def behave(connection, _stop):
        connection.recv(65536)
        for piece in TOO_LARGE["2 GB in chunks"]():
            connection.sendall(piece)

    with broken_server(behave) as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        options = {"backend": "keystone", "url": "http://keystone.invalid:5000", "timeout": 20}
        authenticator = load_authenticator("it", options, tmp_path)
        with pytest.raises(BackendUnavailable, match="larger than the limit"):
            authenticator.authenticate("default", "alice", "the-token")


@pytest.mark.slow
def test_the_requester_gets_a_503(serve, document):
    def behave(connection, _stop):
        connection.recv(65536)
        connection.sendall(whole(bomb(), "gzip")[0])

    with broken_server(behave) as port:
        document["authentication"]["static"] = {
            "backend": "keystone",
            "url": f"http://127.0.0.1:{port}",
        }
        answer = serve(document).sign(status=503)
    assert int(answer.headers["Retry-After"]) > 0


def test_the_client_limits_the_answer_of_keystone_too(tmp_path):
    def behave(connection, _stop):
        connection.recv(65536)
        for piece in TOO_LARGE["2 GB in chunks"]():
            connection.sendall(piece)

    environment = {"OS_USERNAME": "alice", "OS_PASSWORD": "the-secret", "OS_PROJECT_ID": "2"}
    with broken_server(behave) as port:
        environment["OS_AUTH_URL"] = f"http://127.0.0.1:{port}/v3"
        tracemalloc.start()
        try:
            with pytest.raises((Unavailable, Misconfigured)) as failed:
                fetch_token(None, 20, environment)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert "the-secret" not in str(failed.value)
    assert peak < MEMORY
