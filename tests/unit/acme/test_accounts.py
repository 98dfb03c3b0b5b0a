"""RFC 8555 section 7.3: accounts, their contacts, the terms, and their end."""

from __future__ import annotations

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from anchor.store.acme_records import AccountStatus, OrderStatus
from anchor.store.database.acme_accounts import AcmeAccounts
from anchor.store.database.acme_orders import AcmeOrders
from anchor.store.database.tokens import Tokens
from tests.support import jwt
from tests.support.acme import (
    BASE_URL,
    URL,
    Client,
    acme_configuration,
    add_account,
    add_binding_token,
    add_order,
    make_key,
)
from tests.support.acme_drafts import assert_problem, lazy_world, world
from tests.support.pki import make_csr
from tests.support.renewal import der

__all__ = ["lazy_world", "world"]


NAME = "www.example.com"
ORDER = {"identifiers": [{"type": "dns", "value": NAME}]}


@pytest.fixture
def open_service(serve, document):
    return lambda **options: serve(
        acme_configuration(document, open=True, **options), base_url=BASE_URL
    )


def stored(service, client):
    return AcmeAccounts(service.settings.database).find(client.account.rpartition("/")[2])


def test_an_account_is_made_for_a_key(world):
    client = Client(world.service.http)

    answer = client.register(contact=["mailto:admin@example.com", "MAILTO:b@example.com"])

    assert answer.json == {
        "status": "valid",
        "contact": ["mailto:admin@example.com", "MAILTO:b@example.com"],
        "orders": f"{client.account}/orders",
    }
    assert client.account.startswith(f"{URL}/account/")
    account = stored(world.service, client)
    assert (account.requester, account.token_id) == (f"acme:{account.id}", None)
    assert (account.groups, account.allowed_names, account.binding) == ((), None, None)


def test_the_identifiers_of_accounts_cannot_be_guessed(world):
    names = set()
    for _ in range(3):
        client = Client(world.service.http)
        client.register()
        names.add(client.account.rpartition("/")[2])

    assert len(names) == 3
    assert {len(name) for name in names} == {25}


def test_a_key_has_one_account_and_a_second_request_changes_nothing(world):
    client = Client(world.service.http)
    created = client.register(contact=["mailto:a@example.com"])

    again = client.register(
        status=200,
        contact=["tel:+491234"],
        termsOfServiceAgreed="perhaps",
        externalAccountBinding=7,
        onlyReturnExisting="perhaps",
    )

    assert again.headers["Location"] == created.headers["Location"]
    assert again.json == created.json


def test_a_key_has_another_account_at_another_directory(world):
    first, second = Client(world.service.http), Client(world.service.http, authority="second")
    second.key = first.key

    first.register()
    second.register()

    assert "/acme/second/account/" in second.account


def test_an_account_is_only_looked_up_if_the_client_asks_for_that(world):
    client = Client(world.service.http)
    answer = client.register(status="*", onlyReturnExisting=True)
    assert_problem(answer, 400, "accountDoesNotExist", "no account with this key")

    client.register(onlyReturnExisting=False)

    assert client.register(status=200, onlyReturnExisting=True).json["status"] == "valid"


def test_members_that_the_server_owns_or_does_not_know_are_ignored(world):
    client = Client(world.service.http)

    answer = client.register(
        status="*",
        orders=7,
        id="x",
        createdAt={},
        contact=None,
        termsOfServiceAgreed=None,
    )

    assert answer.status_int == 201
    assert answer.json == {"status": "valid", "orders": f"{client.account}/orders"}


MALFORMED = {
    "contact": ["mailto:a@example.com", {"a": 1}, [7], [None], [["mailto:a@example.com"]], 7, True],
    "onlyReturnExisting": ["true", 1, [], {}],
    "termsOfServiceAgreed": ["true", 1, [], {}],
}


@pytest.mark.parametrize(
    ("member", "value"), [(name, value) for name, values in MALFORMED.items() for value in values]
)
def test_a_member_of_another_type_is_malformed(world, member, value):
    client = Client(world.service.http)

    assert_problem(client.register(status="*", **{member: value}), 400, "malformed", repr(member))
    assert_problem(client.register(status="*", onlyReturnExisting=True), 400, "accountDoesNotExist")


CONTACTS = {
    "mailto:admin@example.com": None,
    "mailto:a.b+c=d@example.com": None,
    "mailto:a%2Bb@example.com": None,
    "mailto:root@localhost": None,
    "Mailto:admin@EXAMPLE.com": None,
    "tel:+12025551212": "unsupportedContact",
    "https://example.com/": "unsupportedContact",
    "x-other:a@example.com": "unsupportedContact",
    "admin@example.com": "invalidContact",
    "": "invalidContact",
    "mailto:": "invalidContact",
    "mailto:admin": "invalidContact",
    "mailto:@example.com": "invalidContact",
    "mailto:admin@": "invalidContact",
    "mailto:a@b@example.com": "invalidContact",
    "mailto:a b@example.com": "invalidContact",
    "mailto:a@example.com,b@example.com": "invalidContact",
    "mailto:a%2Cb@example.com": "invalidContact",
    "mailto:a@example.com?subject=hello": "invalidContact",
    "mailto:a@example.com?": "invalidContact",
    "mailto:a@example.com\n": "invalidContact",
    "mailto:a%0A@example.com": "invalidContact",
    "mailto:a@example.com\0": "invalidContact",
    "mailto:admin@exämple.com": "invalidContact",
    "mailto:" + "a" * 320 + "@example.com": "invalidContact",
}


@pytest.mark.parametrize("url", CONTACTS)
def test_a_contact_is_the_url_of_one_mail_address(world, url):
    kind = CONTACTS[url]
    client = Client(world.service.http)

    answer = client.register(status="*", contact=["mailto:a@example.com", url])

    if kind is None:
        assert answer.json["contact"] == ["mailto:a@example.com", url]
    else:
        assert_problem(answer, 400, kind)


def test_an_account_has_ten_contacts_at_most(world):
    contacts = [f"mailto:a{number}@example.com" for number in range(11)]
    client = Client(world.service.http)

    answer = client.register(status="*", contact=contacts)
    assert_problem(answer, 400, "invalidContact", "more than 10")
    assert client.register(contact=contacts[:10]).json["contact"] == contacts[:10]


def test_without_a_token_no_account_is_made_unless_the_directory_is_open(serve, document):
    service = serve(acme_configuration(document, open=False), base_url=BASE_URL)
    client = Client(service.http)

    answer = client.register(status="*")

    assert_problem(answer, 403, "externalAccountRequired", "the id and the secret of a token")
    meta = service.http.get("/acme/default/directory").json["meta"]
    assert meta["externalAccountRequired"] is True


def test_an_account_from_a_time_when_the_directory_was_open_gets_nothing_any_more(serve, document):
    """Whoever closes a directory closes it to those who got in before, too."""
    service = serve(acme_configuration(document, open=True), base_url=BASE_URL)
    client = Client(service.http)
    client.register()
    order = client.post("/new-order", ORDER).json
    document["registration_authority"]["default"]["acme"]["open"] = False
    closed = serve(document, base_url=BASE_URL)
    client.http = closed.http

    for url, payload in (
        ("/new-order", ORDER),
        (order["finalize"], {"csr": jwt.b64(der(make_csr(NAME, NAME)))}),
    ):
        answer = client.post(url, payload)
        assert_problem(answer, 403, "unauthorized", "this directory is not open any more")
    assert client.post(client.account, {"status": "deactivated"}).status_int == 200


TERMS = "https://example.com/terms.html"


@pytest.mark.parametrize("agreed", [None, False])
def test_the_terms_have_to_be_agreed_to(open_service, agreed):
    service = open_service(terms_of_service=TERMS)
    client = Client(service.http)
    assert service.http.get("/acme/default/directory").json["meta"]["termsOfService"] == TERMS

    answer = client.register(status="*", termsOfServiceAgreed=agreed)

    # RFC 8555 section 7.3.3.
    document = assert_problem(answer, 403, "userActionRequired", TERMS)
    assert document["instance"] == TERMS
    assert f'<{TERMS}>;rel="terms-of-service"' in answer.headers.getall("Link")
    assert client.register(termsOfServiceAgreed=True).json["status"] == "valid"
    assert client.register(status=200).json["status"] == "valid"


def test_an_account_is_shown_to_itself_only(world):
    client, other = Client(world.service.http), Client(world.service.http)
    client.register(contact=["mailto:a@example.com"])
    other.register()

    shown = client.post(client.account, None)
    assert shown.json["contact"] == ["mailto:a@example.com"]
    unused = f"{URL}/account/" + "a" * 25
    for url in (other.account, unused):
        for payload in (None, {}, {"status": "deactivated"}, {"contact": []}):
            answer = client.post(url, payload)
            assert_problem(answer, 403, "unauthorized", "belongs to another account")
    assert other.post(other.account, None).json["status"] == "valid"


def test_the_contacts_of_an_account_can_be_changed(world):
    client = Client(world.service.http)
    client.register(contact=["mailto:a@example.com"])

    changed = client.post(client.account, {"contact": ["mailto:b@example.com"]})
    assert changed.json["contact"] == ["mailto:b@example.com"]
    assert client.post(client.account, None).json == changed.json
    assert client.post(client.account, {}).json == changed.json
    answer = client.post(client.account, {"contact": ["tel:+1"]})
    assert_problem(answer, 400, "unsupportedContact")
    assert client.post(client.account, None).json == changed.json
    assert "contact" not in client.post(client.account, {"contact": []}).json
    assert "contact" not in client.post(client.account, None).json


@pytest.mark.parametrize(
    "payload",
    [
        {"status": "valid"},
        {"status": "revoked"},
        {"status": "Deactivated"},
        {"orders": "https://evil.example/"},
        {"termsOfServiceAgreed": False},
        {"requester": "root", "groups": ["admins"], "token_id": "tk_a"},
        {"externalAccountBinding": {}},
        {"status": "valid", "contact": None},
    ],
)
def test_other_changes_of_an_account_are_ignored(world, payload):
    client = Client(world.service.http)
    client.register(contact=["mailto:a@example.com"])
    before = stored(world.service, client)

    answer = client.post(client.account, payload)

    assert (answer.status_int, answer.json["status"]) == (200, "valid")
    assert stored(world.service, client) == before


@pytest.mark.parametrize("status", [7, ["deactivated"], {}, True])
def test_a_status_that_is_no_text_is_malformed(world, status):
    answer = world.client.post(world.client.account, {"status": status})

    assert_problem(answer, 400, "malformed", "'status' should be a string")


def test_a_deactivated_account_is_of_no_use_any_more(world):
    client = Client(world.service.http)
    client.register()

    answer = client.post(client.account, {"status": "deactivated", "contact": ["tel:+1"]})

    assert (answer.status_int, answer.json["status"]) == (200, "deactivated")
    for url, payload in (
        (client.account, None),
        (client.account, {"status": "valid"}),
        ("/new-order", ORDER),
        ("/key-change", {}),
    ):
        answer = client.post(url, payload)
        assert_problem(answer, 401, "unauthorized", "the account is deactivated")
        assert "WWW-Authenticate" not in answer.headers
    for members in ({}, {"onlyReturnExisting": True}):
        answer = client.register(status="*", **members)
        assert_problem(answer, 401, "unauthorized", "the account is deactivated")


def test_the_end_of_an_account_is_that_of_its_unfinished_orders(world):
    database = world.service.settings.database
    client = Client(world.service.http)
    client.register()
    orders = {
        status: add_order(database, stored(world.service, client), status=status)
        for status in OrderStatus
    }
    others = add_order(database, stored(world.service, world.client))

    client.post(client.account, {"status": "deactivated"})

    found = {status: AcmeOrders(database).find(order.id) for status, order in orders.items()}
    assert {status: order.status for status, order in found.items()} == {
        OrderStatus.PENDING: OrderStatus.INVALID,
        OrderStatus.READY: OrderStatus.INVALID,
        OrderStatus.PROCESSING: OrderStatus.PROCESSING,
        OrderStatus.VALID: OrderStatus.VALID,
        OrderStatus.INVALID: OrderStatus.INVALID,
    }
    assert "deactivated" in found[OrderStatus.READY].error["detail"]
    assert AcmeOrders(database).find(others.id).status is OrderStatus.READY


def test_a_revoked_account_is_refused_as_a_deactivated_one(world):
    key = make_key()
    account = add_account(world.service.settings.database, key, status=AccountStatus.REVOKED)
    client = Client(world.service.http, key)
    client.account = f"{URL}/account/{account.id}"

    assert_problem(client.post(client.account, None), 401, "unauthorized", "account is revoked")
    answer = client.post("/new-account", {}, key=key)
    assert_problem(answer, 401, "unauthorized", "the account is revoked")


def test_the_client_of_an_account_is_written_only_when_it_has_changed(world, monkeypatch):
    accounts = AcmeAccounts(world.service.settings.database)
    account = add_account(world.service.settings.database, user_agent="certbot/5.8")

    accounts.seen(account, "certbot/5.9\0")
    changed = accounts.find(account.id)
    assert changed == dataclasses.replace(account, user_agent=changed.user_agent)
    assert changed.user_agent.startswith("certbot/5.9")
    monkeypatch.setattr(accounts, "database", None)
    accounts.seen(account, "certbot/5.8")


def test_the_client_calls_itself_at_most_200_characters(world):
    client = Client(world.service.http)
    body = world.new_account(client.key)
    path = body.url.removeprefix(BASE_URL)
    headers = {"Content-Type": "application/jose+json", "User-Agent": "a" * 300}

    client.account = world.service.http.post(path, body.body, headers=headers).headers["Location"]

    assert stored(world.service, client).user_agent == "a" * 200


def test_the_same_request_many_times_at_once_makes_one_account_and_costs_one_use(serve, document):
    service = serve(acme_configuration(document, open=False), base_url=BASE_URL)
    database = service.settings.database
    key, token = make_key(), add_binding_token(database, uses=2)
    clients = [Client(service.http, key) for _ in range(8)]
    for client in clients:
        client.nonces = [client.nonce()]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda client: client.register(binding=token, status="*"), clients))

    assert sorted(answer.status_int for answer in answers) == [200] * 7 + [201]
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert Tokens(database).find(token[0]).used == 1


def test_the_creation_and_the_end_of_an_account_are_logged(serve, document, caplog):
    caplog.set_level("INFO", "anchor.acme")
    service = serve(acme_configuration(document, open=False), base_url=BASE_URL)
    token = add_binding_token(service.settings.database, requester="web machines")
    client = Client(service.http)

    client.register(binding=token)
    client.post(client.account, {"status": "deactivated"})

    account = client.account.rpartition("/")[2]
    created, ended = (
        record.getMessage() for record in caplog.records if record.name == "anchor.acme.accounts"
    )
    assert f"account {account} of 'web machines' at the authority default is created" in created
    assert f"the token {token[0]}" in created
    assert f"account {account} of 'web machines' is deactivated" in ended
    assert token[1] not in caplog.text


def test_the_key_of_an_account_is_stored_without_members_that_are_not_required(world):
    client = Client(world.service.http)
    draft = world.new_account(client.key)
    draft.header["jwk"] |= {"kid": "1", "use": "sig", "more": {"a": 1}}

    client.account = world.send(draft).headers["Location"]

    assert stored(world.service, client).jwk == jwt.public(client.key, None)
    assert json.dumps(client.register(status=200).json)
