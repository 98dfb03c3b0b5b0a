"""A process that is killed while it finalizes an order leaves nothing that cannot go on or end."""

from __future__ import annotations

import os
import signal

import pytest

from anchor.authority import RegistrationAuthority
from anchor.controllers.acme.exchange import Exchange
from anchor.store.certificate_files import CertificateDirectory
from anchor.store.database import acme_claims, certificates
from anchor.store.database.acme_orders import AcmeOrders
from anchor.store.database.certificates import Inventory, Selection
from tests.support.acme_orders import (
    assert_problem,
    download,
    finalize,
    new_order,
)

# The steps in their order, with what a process that is killed leaves: the status of the order.
STEPS = [
    (RegistrationAuthority, "authenticate", "ready"),
    (RegistrationAuthority, "issue", "ready"),
    (Inventory, "add", "ready"),
    (acme_claims, "claim", "ready"),
    (certificates, "insert_certificate", "ready"),
    (CertificateDirectory, "put", "processing"),
    (RegistrationAuthority, "_record", "processing"),
    (AcmeOrders, "complete", "processing"),
    (Exchange, "respond", "valid"),
]


def finalize_and_be_killed(client, order, owner, name):
    """Finalize an order in a process that is killed when a step begins."""
    child = os.fork()
    if child == 0:
        original = getattr(owner, name)
        calls = []

        def kill(*args, **kwargs):
            calls.append(name)
            # The first record is that of the authentication.
            if name == "_record" and len(calls) == 1:
                return original(*args, **kwargs)
            return os.kill(os.getpid(), signal.SIGKILL)

        setattr(owner, name, kill)
        try:
            finalize(client, order)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.parametrize(
    ("owner", "name", "left"), STEPS, ids=[f"{step[1]}-{step[2]}" for step in STEPS]
)
def test_an_order_of_a_process_that_was_killed_goes_on_or_ends(
    acme, client, clock, owner, name, left
):
    answer = new_order(client, "www.example.com")
    order, url = answer.json, answer.headers["Location"]

    finalize_and_be_killed(client, order, owner, name)

    client.nonces.clear()
    stored = acme.settings.authorities["default"].inventory.count(Selection())
    shown = client.post(url, None, status=200).json
    assert (shown["status"], stored) == (left, 0 if left == "ready" else 1)
    if left == "ready":
        shown = finalize(client, order).json
    if left == "processing":
        clock.advance(minutes=2, seconds=1)
        client.nonces.clear()
        assert client.post(url, None, status=200).json["status"] == "invalid"
        assert_problem(finalize(client, order, status=403), "orderNotReady", 403)
    else:
        assert len(download(client, shown)) == 2


def test_a_process_that_is_killed_after_the_new_order_leaves_an_order_in_the_list(client):
    client.nonces = [client.nonce()]
    child = os.fork()
    if child == 0:
        Exchange.respond = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        try:
            new_order(client, "www.example.com")
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    client.nonces.clear()

    [url] = client.post(f"{client.account}/orders", None, status=200).json["orders"]

    order = client.post(url, None, status=200).json
    assert len(order["authorizations"]) == 1
    assert finalize(client, order).json["status"] == "valid"
