"""The metrics count requests to finalize an order as requests for a certificate, and no others."""

from __future__ import annotations

import pytest

from anchor.store.database.tokens import Tokens
from tests.support.acme import (
    BASE_URL,
    Client,
    acme_configuration,
    add_binding_token,
)
from tests.support.acme_orders import new_order
from tests.support.jwt import b64
from tests.support.pki import make_csr
from tests.support.renewal import der

NAME = "www.example.com"


@pytest.fixture
def count(serve, document):
    """Makes a service, and returns a client without an account and the counters that are not 0."""

    def make(**options):
        acme_configuration(document, **options)
        authority = document["registration_authority"]["default"]
        authority["validators"] = {"blacklist_names": {"domains": [".bad.example.com"]}}
        service = serve(document, base_url=BASE_URL, metrics_networks=["192.0.2.0/24"])

        def counters(prefix):
            lines = service.http.get("/metrics").text.splitlines()
            pairs = [line.rsplit(" ", 1) for line in lines if line.startswith(prefix)]
            return {name.removeprefix(prefix): int(value) for name, value in pairs if value != "0"}

        return service, Client(service.http), counters

    return make


def finalize(client, name=NAME, ordered=NAME):
    order = new_order(client, ordered)
    csr = b64(der(make_csr(name, name)))
    return client.post(order.json["finalize"], {"csr": csr})


def test_a_certificate_is_counted_once_and_for_the_token_of_the_account(count):
    service, client, counters = count(open=False)
    client.register(binding=add_binding_token(service.settings.database))

    assert finalize(client).json["status"] == "valid"

    assert counters("anchor_requests_total") == {'{authority="default",outcome="issued"}': 1}
    assert counters("anchor_authentications_total") == {
        '{authentication="tokens",credential="token"}': 1,
        '{authentication="tokens",credential="acme"}': 1,
    }
    assert counters("anchor_certificates_issued_total") == {'{signing_ca="local"}': 1}


def test_an_account_without_a_token_is_counted_for_no_authentication(count):
    _, client, counters = count()
    client.register()

    assert finalize(client).json["status"] == "valid"

    assert counters("anchor_authentications_total") == {
        '{authentication="none",credential="acme"}': 1
    }


def test_refusals_are_counted_by_their_reason(count):
    service, client, counters = count(open=False)
    token = add_binding_token(service.settings.database)
    client.register(binding=token)
    other_names = finalize(client, "other.example.com")
    assert other_names.status_int == 400

    order = new_order(client, NAME)
    Tokens(service.settings.database).revoke(token[0])
    client.post(order.json["finalize"], {"csr": b64(der(make_csr(NAME, NAME)))}, status=401)

    # The account ends with its token, so nobody has asked for a certificate then.
    assert counters("anchor_requests_total") == {'{authority="default",outcome="malformed"}': 1}


def test_a_refusal_of_the_policy_is_counted_for_its_check(count, monkeypatch):
    _, client, counters = count()
    client.register()
    # The configuration has changed since the order was made.
    monkeypatch.setattr("anchor.acme.orders.require_allowed_names", lambda *_: None)

    answer = finalize(client, "www.bad.example.com", "www.bad.example.com")

    assert "blacklist_names: " in answer.json["detail"]
    assert counters("anchor_requests_total") == {'{authority="default",outcome="refused"}': 1}
    assert counters("anchor_refusals_total") == {'{authority="default",check="blacklist_names"}': 1}
