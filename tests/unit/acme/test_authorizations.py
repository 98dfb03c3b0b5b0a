"""Authorizations: one for each name, valid at once or with challenges (RFC 8555 section 7.5)."""

from __future__ import annotations

import dataclasses

import pytest

from anchor.acme.authorizations import require_authorized
from anchor.store.acme_records import ChallengeStatus
from anchor.store.database import acme_challenges
from anchor.store.database.acme_orders import AcmeOrders
from anchor.timestamps import utc_now
from tests.support.acme import BASE_URL
from tests.support.acme_orders import (
    ERROR,
    acme_with,
    add_client,
    assert_problem,
    finalize,
    new_order,
)

NETWORKS = ["10.0.0.0/8"]


@pytest.fixture
def client_with(serve, document, clock):
    """Makes a client of a service with these options; ``account`` changes the account."""

    def make(account=None, **options):
        service = serve(acme_with(document, **options), base_url=BASE_URL, clock=clock)
        client = add_client(service, **(account or {}))
        client.service = service
        return client

    return make


def shown(client, order):
    return [client.post(url, None, status=200).json for url in order["authorizations"]]


def test_names_have_challenges_of_the_configured_types(client_with):
    client = client_with(challenges=["http-01", "dns-01"], networks=NETWORKS)

    order = new_order(client, "www.example.com", "*.example.com", "10.0.0.1").json

    assert order["status"] == "pending"
    authorizations = shown(client, order)
    assert [each["status"] for each in authorizations] == ["pending"] * 3
    types = [[challenge["type"] for challenge in each["challenges"]] for each in authorizations]
    assert types == [["http-01", "dns-01"], ["dns-01"], ["http-01"]]
    assert authorizations[1]["wildcard"] is True
    assert "wildcard" not in authorizations[0]
    tokens = [challenge["token"] for each in authorizations for challenge in each["challenges"]]
    assert len(set(tokens)) == 4
    refused = finalize(client, order, status=403)
    assert_problem(refused, "orderNotReady", 403, "the order is pending, and should be ready")


def test_a_name_without_a_challenge_that_fits_is_refused(client_with):
    client = client_with(challenges=["http-01"], networks=NETWORKS)

    answer = new_order(client, "www.example.com", "*.example.com", status=400)

    assert_problem(answer, "rejectedIdentifier", 400, "*.example.com is a wildcard")
    [problem] = answer.json["subproblems"]
    assert problem["identifier"] == {"type": "dns", "value": "*.example.com"}
    assert problem["type"] == f"{ERROR}rejectedIdentifier"


def test_names_of_the_token_need_no_challenge_if_they_are_trusted(client_with):
    names = ("www.example.com", "*.example.com", "10.0.0.1")
    client = client_with(
        {"allowed_names": names}, challenges=["http-01"], networks=NETWORKS, trust_token_names=True
    )

    order = new_order(client, *names).json

    assert order["status"] == "ready"
    assert [(each["status"], each["challenges"]) for each in shown(client, order)] == [
        ("valid", [])
    ] * 3
    assert finalize(client, order).json["status"] == "valid"


def test_a_token_without_names_is_trusted_for_none(client_with):
    client = client_with(
        {"allowed_names": None}, challenges=["http-01"], networks=NETWORKS, trust_token_names=True
    )

    assert new_order(client, "www.example.com").json["status"] == "pending"


def test_names_of_the_token_need_a_challenge_unless_they_are_trusted(client_with):
    client = client_with(
        {"allowed_names": ("www.example.com",)}, challenges=["http-01"], networks=NETWORKS
    )

    assert new_order(client, "www.example.com").json["status"] == "pending"


@pytest.fixture
def restarted(client_with, serve, document):
    """Restarts the service of a client with other options."""

    def restart(client, **options):
        section = document["registration_authority"]["default"]["acme"]
        section.clear()
        section.update({"challenges": [], "open": True} | options)
        client.service = serve(document, base_url=BASE_URL)
        client.http = client.service.http
        client.nonces.clear()

    return restart


def validate_with(client, order, challenge_type):
    """Make a challenge of each authorization valid, as a validation does it."""
    orders = client.service.settings.acme["default"].orders
    for url in order["authorizations"]:
        stored = orders.find_authorization(url.rpartition("/")[2])
        challenges = [
            dataclasses.replace(each, status=ChallengeStatus.VALID, validated=utc_now())
            if each.type == challenge_type
            else each
            for each in stored.challenges
        ]
        acme_challenges.settle(orders.database, stored, challenges, order_error=None, now=utc_now())


NAMES = ("a.example.com", "b.example.com")
WITH_CHALLENGES = {"challenges": ["http-01", "dns-01"], "networks": NETWORKS}
TRUSTING = WITH_CHALLENGES | {"trust_token_names": True}


@pytest.mark.parametrize(
    ("listed", "before", "validated", "now", "is_authorized"),
    [
        (None, {}, None, WITH_CHALLENGES, False),
        (None, {}, None, TRUSTING, False),
        (None, WITH_CHALLENGES, "dns-01", {"challenges": ["dns-01"]}, True),
        (None, WITH_CHALLENGES, "http-01", {"challenges": ["dns-01"]}, False),
        (None, WITH_CHALLENGES, "http-01", WITH_CHALLENGES, True),
        (None, WITH_CHALLENGES, "dns-01", {}, True),
        (NAMES, {}, None, TRUSTING, True),
        (NAMES, {}, None, WITH_CHALLENGES, False),
        (NAMES, TRUSTING, None, TRUSTING, True),
        (NAMES, TRUSTING, None, WITH_CHALLENGES, False),
        (NAMES, TRUSTING, None, {}, True),
    ],
)
def test_a_ready_order_gives_no_certificate_if_its_names_need_a_challenge_now(
    client_with, restarted, listed, before, validated, now, is_authorized
):
    client = client_with({"allowed_names": listed}, **before)
    order = new_order(client, *NAMES).json
    if validated:
        validate_with(client, order, validated)

    restarted(client, **now)

    answer = finalize(client, order, status="*")
    if is_authorized:
        assert answer.json["status"] == "valid"
    else:
        assert_problem(answer, "orderNotReady", 403, f"for {', '.join(NAMES)} now", "a new order")
        assert new_order(client, *NAMES).json["status"] == "pending"


def test_the_authorizations_are_read_for_the_certificate_only_if_there_are_challenges(
    client_with, monkeypatch
):
    client = client_with()
    order = new_order(client, "www.example.com").json
    services = client.service.settings.acme["default"]
    account = services.accounts.find(client.row.id)
    stored = services.orders.find(order["finalize"].split("/")[-2])

    def fail(*_):
        raise AssertionError

    monkeypatch.setattr(AcmeOrders, "authorizations", fail)
    require_authorized(services, account, stored)


@pytest.mark.parametrize(
    "options", [{}, {"challenges": ["http-01"], "networks": NETWORKS}], ids=["ready", "pending"]
)
def test_an_authorization_that_is_deactivated_makes_its_order_invalid(client_with, options):
    client = client_with(**options)
    answer = new_order(client, "a.example.com", "b.example.com")
    order = answer.json

    for _ in range(2):
        ended = client.post(order["authorizations"][0], {"status": "deactivated"}, status=200).json
        assert ended["status"] == "deactivated"

    first, second = shown(client, order)
    assert first == ended
    assert second["status"] in ("valid", "pending")
    final = client.post(answer.headers["Location"], None).json
    assert final["status"] == "invalid"
    assert final["error"] == {
        "type": f"{ERROR}unauthorized",
        "detail": "the authorization for a.example.com was deactivated",
        "status": 403,
    }
    assert_problem(finalize(client, order, status=403), "orderNotReady", 403, "is invalid")


def test_an_authorization_that_is_deactivated_later_leaves_its_valid_order(client_with):
    client = client_with()
    answer = new_order(client, "a.example.com")
    finalize(client, answer.json)

    client.post(answer.json["authorizations"][0], {"status": "deactivated"}, status=200)

    order = client.post(answer.headers["Location"], None).json
    assert order["status"] == "valid"
    client.post(order["certificate"], None, status=200)


def test_a_service_that_is_restarted_shows_the_same_authorizations(client_with, serve, document):
    client = client_with(challenges=["dns-01"])
    order = new_order(client, "*.example.com").json
    before = shown(client, order)

    client.http = serve(document, base_url=BASE_URL).http

    assert shown(client, order) == before


@pytest.mark.parametrize(
    ("options", "status"),
    [({}, "expired"), ({"challenges": ["dns-01"]}, "invalid")],
    ids=["valid", "pending"],
)
def test_an_authorization_ends_with_its_order(client_with, clock, options, status):
    client = client_with(order_hours=1, **options)
    order = new_order(client, "a.example.com").json
    url = order["authorizations"][0]

    clock.advance(hours=1, seconds=1)
    client.nonces.clear()

    assert client.post(url, None).json["status"] == status
    answer = client.post(url, {"status": "deactivated"})
    assert_problem(answer, "malformed", 400, f"the authorization is {status}")


@pytest.mark.parametrize(
    "payload", [{}, {"status": "valid"}, {"status": None}, {"status": ["deactivated"]}]
)
def test_an_authorization_can_only_be_deactivated(client_with, payload):
    client = client_with()
    url = new_order(client, "a.example.com").json["authorizations"][0]

    answer = client.post(url, payload)

    assert_problem(answer, "malformed", 400, "'status': 'deactivated'")
    assert client.post(url, None).json["status"] == "valid"


def test_the_authorization_of_another_account_cannot_be_deactivated(client_with):
    client = client_with()
    url = new_order(client, "a.example.com").json["authorizations"][0]
    other = add_client(client.service)

    assert_problem(other.post(url, {"status": "deactivated"}), "malformed", 404)

    assert client.post(url, None).json["status"] == "valid"
