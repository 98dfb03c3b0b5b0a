"""Machines that answer slowly leave a worker free, under each server."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from anchor.acme.challenges import offered
from anchor.acme.settings import AcmeSettings
from anchor.store.acme_records import OrderStatus
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
from tests.support.servers.processes import wait_for

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


@pytest.mark.parametrize(
    ("server", "capacity"), [("uwsgi", 4), ("gunicorn", 2), ("gunicorn in the image", 16)]
)
def test_slow_challenges_leave_a_worker_free(document, tmp_path, server, capacity):
    with DnsStub(lambda *_: SILENCE) as silent:
        address = f"{silent.address.host}:{silent.address.port}"
        options = {"challenges": ["dns-01"], "resolvers": [address], "challenge_seconds": SECONDS}
        acme_configuration(document, open=True, **options)
        (tmp_path / "config.json").write_text(json.dumps(document))
        text = (ROOT / "config.py").read_text()
        text = text.replace("web = {", f'web = {{\n    "base_url": "{BASE_URL}",', 1)
        (tmp_path / "config.py").write_text(text)
        with serving(server, tmp_path) as service:
            database = make_database(tmp_path)
            key = make_key()
            account = add_account(database, key)
            urls = []
            for _ in range(capacity + 3):
                order = add_order(
                    database,
                    account,
                    status=OrderStatus.PENDING,
                    challenges=lambda identifier: offered(AcmeSettings(**options), identifier),
                )
                [authorization] = AcmeOrders(database).authorizations(order.id)
                urls.append(f"/challenge/{authorization.id}/dns-01")
            nonces = [send(service, "/new-nonce", method="HEAD")[1]["Replay-Nonce"] for _ in urls]

            def respond(path, nonce):
                kid = f"{URL}/account/{account.id}"
                return send(service, path, signed(key, URL + path, {}, nonce=nonce, kid=kid))

            with ThreadPoolExecutor(len(urls)) as pool:
                answers = pool.map(respond, urls, nonces)
                wait_for(lambda: silent.queries, what="a lookup")
                # Those that get no slot wait for half a second.
                time.sleep(1.5)
                start = time.monotonic()
                assert send(service, "/directory")[0] == 200
                assert time.monotonic() - start < SECONDS / 2
                answers = list(answers)
            database.close()
    slow = [json.loads(body) for status, _, body in answers if status == 200]
    refused = [headers for status, headers, _ in answers if status == 429]
    assert len(slow) + len(refused) == len(urls)
    assert 1 <= len(slow) < capacity
    assert all(each["error"]["type"].endswith(":dns") for each in slow)
    assert all(int(headers["Retry-After"]) >= 1 for headers in refused)
