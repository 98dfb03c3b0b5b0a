"""Slow challenges under real servers: a worker stays free, and a kill leaves them pending."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from anchor.acme.challenges import offered
from anchor.acme.settings import AcmeSettings
from anchor.store.acme_records import AuthorizationStatus, OrderStatus
from anchor.store.database.acme_orders import AcmeOrders
from tests.support.acme import (
    BASE_URL,
    acme_configuration,
    add_account,
    add_order,
    make_key,
    signed,
)
from tests.support.database import make_database
from tests.support.paths import ROOT
from tests.support.servers.anchor import serving
from tests.support.servers.dns_stub import SILENCE, DnsStub
from tests.support.servers.processes import descendants, wait_for

SECONDS = 4
URL = f"{BASE_URL}/acme/default"


def send(service, path, body=None, method=None):
    """The status, the headers and the body of a response."""
    request = urllib.request.Request(
        f"{service.url}/acme/default{path}",
        body,
        {"Content-Type": "application/jose+json"} if body else {},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@pytest.fixture
def silent():
    """A DNS server that never answers."""
    with DnsStub(lambda *_: SILENCE) as stub:
        yield stub


class Site:
    """The configuration of a service whose DNS never answers, and an account with orders."""

    def __init__(self, directory, document, silent):
        address = f"{silent.address.host}:{silent.address.port}"
        self.options = {
            "challenges": ["dns-01"],
            "resolvers": [address],
            "challenge_seconds": SECONDS,
        }
        acme_configuration(document, open=True, **self.options)
        (directory / "config.json").write_text(json.dumps(document))
        text = (ROOT / "config.py").read_text()
        text = text.replace("web = {", f'web = {{\n    "base_url": "{BASE_URL}",', 1)
        (directory / "config.py").write_text(text)
        self.database = make_database(directory)
        self.orders = AcmeOrders(self.database)
        self.key = make_key()
        self.account = add_account(self.database, self.key)

    def add_challenge(self):
        """A pending challenge: its order, its authorization and its path."""
        settings = AcmeSettings(**self.options)
        order = add_order(
            self.database,
            self.account,
            status=OrderStatus.PENDING,
            challenges=lambda identifier: offered(settings, identifier),
        )
        [authorization] = self.orders.authorizations(order.id)
        return order.id, authorization.id, f"/challenge/{authorization.id}/dns-01"

    def respond(self, service, path, nonce=None):
        """The status, the headers and the body of the response to a challenge."""
        nonce = nonce or new_nonce(service)
        kid = f"{URL}/account/{self.account.id}"
        return send(service, path, signed(self.key, URL + path, {}, nonce=nonce, kid=kid))


@pytest.fixture
def site(document, tmp_path, silent):
    site = Site(tmp_path, document, silent)
    yield site
    site.database.close()


def new_nonce(service):
    return send(service, "/new-nonce", method="HEAD")[1]["Replay-Nonce"]


@pytest.mark.parametrize(
    ("server", "capacity"), [("uwsgi", 4), ("gunicorn", 2), ("gunicorn in the image", 16)]
)
def test_slow_challenges_leave_a_worker_free(site, silent, tmp_path, server, capacity):
    paths = [site.add_challenge()[2] for _ in range(capacity + 3)]
    with serving(server, tmp_path) as service, ThreadPoolExecutor(len(paths)) as pool:
        nonces = [new_nonce(service) for _ in paths]
        running = pool.map(partial(site.respond, service), paths, nonces)
        wait_for(lambda: silent.queries, what="a lookup")
        # Those that get no slot wait for half a second.
        time.sleep(1.5)
        start = time.monotonic()
        assert send(service, "/directory")[0] == 200
        assert time.monotonic() - start < SECONDS / 2
        answers = list(running)
    slow = [json.loads(body) for status, _, body in answers if status == 200]
    refused = [headers for status, headers, _ in answers if status == 429]
    assert len(slow) + len(refused) == len(paths)
    assert 1 <= len(slow) < capacity
    assert all(each["error"]["type"].endswith(":dns") for each in slow)
    assert all(int(headers["Retry-After"]) >= 1 for headers in refused)


def test_a_service_that_is_killed_leaves_the_challenge_pending(site, silent, tmp_path):
    order, authorization, path = site.add_challenge()
    with ThreadPoolExecutor(1) as pool:
        with serving("uwsgi", tmp_path) as service:
            answer = pool.submit(site.respond, service, path)
            wait_for(lambda: silent.queries, what="a lookup")
            for process in descendants(service.process.pid):
                os.kill(process, signal.SIGKILL)
        with pytest.raises(OSError):  # noqa: PT011  # the connection was cut
            answer.result(30)
    assert site.orders.find(order).status is OrderStatus.PENDING
    stored = site.orders.find_authorization(authorization)
    assert stored.status is AuthorizationStatus.PENDING
    with serving("uwsgi", tmp_path) as service:
        status, _, body = site.respond(service, path)
    assert (status, json.loads(body)["status"]) == (200, "invalid")
    assert site.orders.find(order).status is OrderStatus.INVALID
