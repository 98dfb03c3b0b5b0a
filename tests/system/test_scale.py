"""The cost of a request does not depend on stored certificates or on the number of authorities."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time

import pytest
import webtest

from anchor.app import Application
from anchor.authorities import load_authorities
from anchor.store.certificate_files import load_store
from anchor.web.settings import WebSettings
from tests.support.pace import assert_cpu_below, least_seconds
from tests.support.pki import make_csr
from tests.support.service import Service

STORED = 100_000
AUTHORITIES = 1000


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A directory with as many files as there are certificates after months."""
    path = tmp_path_factory.mktemp("full")
    directory = os.open(path, os.O_RDONLY)
    for _ in range(STORED):
        flags = os.O_WRONLY | os.O_CREAT
        os.close(os.open(f"{secrets.token_hex(32)}.crt", flags, 0o644, dir_fd=directory))
    os.close(directory)
    return path


def test_storing_costs_the_same_in_a_full_directory(full, tmp_path):
    stores = [load_store(path) for path in (tmp_path / "certs", full)]
    least = [1.0, 1.0]
    # Alternate, so that other load on the machine affects both; go on as long as it affects one.
    for attempt in range(1500):
        if attempt % 300 == 0 and least[1] < 1.5 * least[0] < 1:
            break
        for number, store in enumerate(stores):
            name = secrets.token_hex(32)
            start = time.process_time()
            store.put(name, b"x" * 1200)
            least[number] = min(least[number], time.process_time() - start)

    empty, many = least
    assert many < 1.5 * empty


def test_no_request_lists_the_stored_certificates(serve, document, full):
    document["signing_ca"]["local"]["output_path"] = str(full)
    with watching("os.scandir", "os.listdir", "glob.glob") as looked_at:
        service = serve(document)
        service.issue()
        service.http.get("/readyz", status=200)
        service.http.get("/metrics", extra_environ={"REMOTE_ADDR": "127.0.0.1"}, status=200)

    assert not [place for place in looked_at if str(place).startswith(str(full))]
    assert STORED < sum(1 for _ in full.iterdir())


_watched: dict[str, list[object]] = {}


@contextlib.contextmanager
def watching(*events):
    """The arguments of these functions, from Python's audit events."""
    if not _watched:
        # An audit hook cannot be removed, so install only one.
        sys.addaudithook(lambda event, given: event in _watched and _watched[event].extend(given))
    found = []
    _watched.update(dict.fromkeys(events, found))
    try:
        yield found
    finally:
        for event in events:
            _watched[event] = []


@pytest.fixture
def thousand(document):
    """The small configuration with a thousand authorities."""
    authority = document["registration_authority"]["default"]
    authority["validators"] = {
        "standards_compliance": {},
        "common_name": {"allowed_domains": [".example.com"]},
        "source_cidrs": {"cidrs": ["192.0.2.0/24", "2001:db8::/32"]},
    }
    return document | {
        "registration_authority": {
            "default": authority,
            **{f"ra{number}": authority for number in range(AUTHORITIES - 1)},
        }
    }


def test_a_request_costs_the_same_with_a_thousand_authorities(tmp_path, document, thousand):
    csr = make_csr("www.example.com", "www.example.com")
    form = {"user": "alice", "secret": "s3cret", "encoding": "pem", "csr": csr}
    first = document["registration_authority"]["default"]
    one = Service(tmp_path, document | {"registration_authority": {"default": first}}).http
    many = Service(tmp_path, thousand).http
    last = f"ra{AUTHORITIES - 2}"

    def requests(http, authority):
        return lambda: [http.post(f"/v1/sign/{authority}", form, status=200) for _ in range(20)]

    seconds = {"one": 1.0, "many": 1.0}
    for _ in range(10):
        seconds["one"] = min(seconds["one"], least_seconds(requests(one, "default"), 1))
        seconds["many"] = min(seconds["many"], least_seconds(requests(many, last), 1))

    assert seconds["many"] < 1.3 * seconds["one"]


def test_a_thousand_authorities_start_in_a_second(tmp_path, thousand):
    Service(tmp_path, thousand)

    def start():
        loaded = load_authorities(tmp_path / "config.json")
        webtest.TestApp(Application(loaded.authorities, WebSettings()))

    assert_cpu_below(1, start, 3)
