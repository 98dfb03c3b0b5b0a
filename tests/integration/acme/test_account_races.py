"""Accounts of ACME clients on two nodes with one PostgreSQL database."""

from __future__ import annotations

import json

import pytest

from anchor.store.acme_records import AccountStatus, OrderStatus
from anchor.store.database.acme_accounts import AcmeAccounts
from anchor.store.database.acme_orders import AcmeOrders
from anchor.store.database.tokens import Tokens
from tests.support.acme import (
    BASE_URL,
    URL,
    Client,
    acme_configuration,
    add_binding_token,
    add_order,
    make_key,
    public_jwk,
    signed,
)
from tests.support.acme_drafts import assert_problem
from tests.support.acme_orders import at_once
from tests.support.database import anchor_url, server_database


@pytest.fixture
def nodes(serve, document, postgresql_url, tmp_path):
    """Two nodes with one database on a server."""
    acme_configuration(document, open=False)["database"] = {"url": anchor_url(postgresql_url)}
    database = server_database(postgresql_url, tmp_path, timeout_seconds=20)
    database.prepare()
    made = [serve(document, base_url=BASE_URL), serve(document, base_url=BASE_URL)]
    yield made
    for each in (*(node.settings.database for node in made), database):
        each.close()


def clients(nodes, number, key=None):
    """Clients that ask one node and the other, each with a nonce."""
    made = [Client(nodes[index % 2].http, key) for index in range(number)]
    for client in made:
        client.nonces = [client.nonce()]
    return made


def register_at_once(some, token):
    return at_once(
        [lambda client=client: client.register(binding=token, status="*") for client in some]
    )


def statuses(answers):
    return sorted(answer.status_int for answer in answers)


def find(nodes, client):
    accounts = AcmeAccounts(nodes[0].settings.database)
    return accounts.find(client.account.rpartition("/")[2])


def test_one_key_at_two_nodes_gets_one_account_and_costs_one_use(nodes):
    database = nodes[0].settings.database
    for uses in (1, 5):
        token = add_binding_token(database, uses=uses)

        answers = register_at_once(clients(nodes, 8, make_key()), token)

        assert statuses(answers) == [200] * 7 + [201]
        assert len({answer.headers["Location"] for answer in answers}) == 1
        assert Tokens(database).find(token[0]).used == 1


def test_a_token_is_good_for_its_number_of_accounts_at_all_nodes(nodes):
    database = nodes[0].settings.database
    token = add_binding_token(database, uses=3)

    answers = register_at_once(clients(nodes, 8), token)

    assert statuses(answers) == [201] * 3 + [403] * 5
    assert len(AcmeAccounts(database).of_token(token[0])) == 3


def test_a_nonce_is_good_for_one_request_at_all_nodes(nodes):
    [client] = clients(nodes, 1)
    client.register(binding=add_binding_token(nodes[0].settings.database))
    nonce = client.nonce()
    some = clients(nodes, 8, client.key)
    for each in some:
        each.account = client.account

    answers = at_once(
        [lambda each=each: each.post(each.account, None, nonce=nonce) for each in some]
    )

    assert statuses(answers) == [200] + [400] * 7
    for answer in answers:
        if answer.status_int != 200:
            assert_problem(answer, 400, "badNonce", "used before")


def change_to(client, new):
    statement = {"account": client.account, "oldKey": client.key.as_dict(private=False)}
    return json.loads(signed(new, f"{URL}/key-change", statement))


def test_of_several_changes_of_a_key_one_wins(nodes):
    [client] = clients(nodes, 1)
    client.register(binding=add_binding_token(nodes[0].settings.database))
    news = [make_key() for _ in range(6)]
    some = clients(nodes, 6, client.key)
    for each in some:
        each.account = client.account

    answers = at_once(
        [
            lambda each=each, new=new: each.post("/key-change", change_to(client, new))
            for each, new in zip(some, news, strict=True)
        ]
    )

    [won] = [new for new, answer in zip(news, answers, strict=True) if answer.status_int == 200]
    assert find(nodes, client).jwk == public_jwk(won).members


def test_of_two_accounts_that_change_to_one_key_one_wins(nodes):
    token = add_binding_token(nodes[0].settings.database, uses=6)
    some, new = clients(nodes, 6), make_key()
    for client in some:
        client.register(binding=token)

    answers = at_once(
        [
            lambda client=client: client.post("/key-change", change_to(client, new))
            for client in some
        ]
    )

    assert statuses(answers) == [200] + [409] * 5
    [winner] = [
        client for client, answer in zip(some, answers, strict=True) if answer.status_int == 200
    ]
    for answer in answers:
        if answer.status_int == 409:
            assert answer.headers["Location"] == winner.account


def test_an_account_that_ends_at_one_node_has_ended_at_the_other(nodes):
    one, other = clients(nodes, 2, make_key())
    one.register(binding=add_binding_token(nodes[0].settings.database), contact=["mailto:a@b.de"])
    other.account = one.account
    order = add_order(nodes[0].settings.database, find(nodes, one))
    assert other.post(one.account, {"contact": ["mailto:ü@b.de"]}).status_int == 400
    assert other.post(one.account, {"contact": ["mailto:c@d.de"]}).json["contact"] == [
        "mailto:c@d.de"
    ]

    assert one.post(one.account, {"status": "deactivated"}).json["status"] == "deactivated"

    assert_problem(other.post(one.account, None), 401, "unauthorized", "deactivated")
    assert find(nodes, one).status is AccountStatus.DEACTIVATED
    ended = AcmeOrders(nodes[1].settings.database).find(order.id)
    assert (ended.status, "deactivated" in ended.error["detail"]) == (OrderStatus.INVALID, True)


def test_no_text_of_a_client_is_an_error_of_the_database(nodes):
    [client] = clients(nodes, 1)
    token = add_binding_token(nodes[0].settings.database)
    client.register(binding=token)
    for text in ("\0", "a\0b", "\ud800", "ü", "'; --", "a" * 60_000):
        for url, payload, header in (
            (client.account, None, {"kid": f"{URL}/account/{text}"}),
            (client.account, None, {"kid": text}),
            (client.account, None, {"nonce": text}),
            (client.account, {"contact": [f"mailto:{text}@example.com"]}, {}),
            (client.account, {"status": text, text: text}, {}),
            ("/new-order", {"identifiers": [{"type": "dns", "value": text}]}, {}),
            ("/new-order", {"identifiers": [{"type": text, "value": "a.example.com"}]}, {}),
            ("/new-order", {"identifiers": [], "replaces": text, "profile": text}, {}),
        ):
            answer = client.post(url, payload, **header)
            assert answer.status_int < 500, (url, payload, header, answer.text)
        bound = Client(nodes[1].http).register(binding=(text, token[1]), status="*")
        assert bound.status_int in {403, 413}
    assert client.post(client.account, None).json["status"] == "valid"
