"""Nodes with one PostgreSQL database race for an order, and share all orders."""

from __future__ import annotations

import pytest

from anchor.store.database.certificates import Selection
from anchor.store.database.tokens import Tokens
from tests.support.acme import BASE_URL, add_binding_token, certificate_id
from tests.support.acme_orders import (
    acme_with,
    add_client,
    assert_problem,
    at_once,
    download,
    finalize,
    new_order,
    obtain,
    same_client,
)
from tests.support.database import anchor_url, server_database


@pytest.fixture
def nodes(serve, document, postgresql_url, tmp_path):
    """Two nodes with one database on a server."""
    document["database"] = {"url": anchor_url(postgresql_url)}
    database = server_database(postgresql_url, tmp_path, timeout_seconds=20)
    database.prepare()
    acme_with(document, max_duplicates=2, max_pending_orders=4)
    made = [serve(document, base_url=BASE_URL) for _ in range(2)]
    yield made
    for each in (*(node.settings.database for node in made), database):
        each.close()


@pytest.fixture
def client(nodes):
    return add_client(nodes[0])


def count(node):
    return node.settings.authorities["default"].inventory.count(Selection())


def test_of_eight_requests_to_two_nodes_one_gets_the_certificate(nodes, client):
    for _ in range(3):
        order = new_order(client, f"{count(nodes[0])}.example.com").json
        clients = [same_client(client, nodes[number % 2]) for number in range(8)]
        before = count(nodes[0])

        answers = at_once(
            [lambda each=each, order=order: finalize(each, order, status="*") for each in clients]
        )

        assert sorted(answer.status_int for answer in answers) == [200, *[403] * 7]
        for answer in answers:
            if answer.status_int == 403:
                assert_problem(answer, "orderNotReady", 403)
        assert count(nodes[1]) == before + 1


def test_an_order_goes_from_node_to_node(nodes, client):
    one, other = client, same_client(client, nodes[1])
    # The nonce of one node is good on the other.
    order = new_order(one, "www.example.com")
    other.nonces, one.nonces = one.nonces, []

    for url in order.json["authorizations"]:
        assert other.post(url, None, status=200).json["status"] == "valid"
    final = finalize(one, order.json).json
    assert other.post(order.headers["Location"], None).json == final
    assert len(download(other, final)) == 2
    listed = other.post(f"{other.account}/orders", None).json
    assert listed == {"orders": [order.headers["Location"]]}


def test_a_deactivation_and_finalizing_at_once_never_give_both(nodes, client):
    for number in range(4):
        order = new_order(client, f"{number}.example.com").json
        one, other = (same_client(client, node) for node in nodes)
        before = count(nodes[0])

        final, deactivated = at_once(
            [
                lambda one=one, order=order: finalize(one, order, status="*"),
                lambda other=other, order=order: other.post(
                    order["authorizations"][0], {"status": "deactivated"}, status=200
                ),
            ]
        )

        assert deactivated.json["status"] == "deactivated"
        assert (final.status_int == 200) == (count(nodes[0]) == before + 1)
        if final.status_int == 200:
            assert final.json["status"] == "valid"
        else:
            assert_problem(final, "orderNotReady", 403)


def test_a_revoked_token_and_finalizing_at_once_leave_no_certificate_after_it(nodes):
    database = nodes[0].settings.database
    token_id, _ = add_binding_token(database)
    client = add_client(nodes[0], token_id=token_id)
    order = new_order(client, "www.example.com").json
    other = same_client(client, nodes[1])

    answer, _ = at_once(
        [
            lambda: finalize(other, order, status="*"),
            lambda: Tokens(database).revoke(token_id),
        ]
    )

    assert count(nodes[0]) == (1 if answer.status_int == 200 else 0)
    assert_problem(new_order(client, "www.example.com", status=401), "unauthorized", 401)


def test_the_limits_count_over_all_nodes(nodes, client):
    other = same_client(client, nodes[1])
    first = obtain(client, "www.example.com")
    obtain(other, "www.example.com")

    for each in (client, other):
        answer = new_order(each, "www.example.com", status=429)
        assert_problem(answer, "rateLimited", 429, "2 certificates for these names")
    replaced = new_order(other, "a.example.com", status=201)
    assert replaced.json["status"] == "ready"
    answer = new_order(client, "a.example.com", replaces=certificate_id(first), status=409)
    assert_problem(answer, "alreadyReplaced", 409, "has none of the order's names")
    assert nodes[0].settings.acme["default"].accounts.find(client.row.id).refused == 2


def test_an_account_has_a_limited_number_of_orders_without_certificate_on_all_nodes(nodes, client):
    other = same_client(client, nodes[1])
    for number in range(4):
        new_order(client if number % 2 else other, f"{number}.example.com")

    for each in (client, other):
        assert_problem(new_order(each, "more.example.com", status=429), "rateLimited", 429)


def test_of_orders_at_once_on_two_nodes_one_replaces_a_certificate(nodes, client):
    replaces = certificate_id(obtain(client, "www.example.com"))
    clients = [same_client(client, nodes[number % 2]) for number in range(4)]

    answers = at_once(
        [
            lambda each=each: new_order(each, "www.example.com", status="*", replaces=replaces)
            for each in clients
        ]
    )

    assert sorted(answer.status_int for answer in answers) == [201, 409, 409, 409]
