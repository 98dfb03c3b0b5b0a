"""RFC 8555 section 7.3.5: an account gets another key, which agrees to that."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from anchor.store.acme_records import OrderStatus
from anchor.store.database.acme_accounts import AcmeAccounts
from anchor.store.database.acme_orders import AcmeOrders
from tests.support import jwt
from tests.support.acme import URL, Client, add_order, make_key, public_jwk
from tests.support.acme_drafts import assert_problem, lazy_world, world

__all__ = ["lazy_world", "world"]

CHANGE = f"{URL}/key-change"


@pytest.fixture
def client(world):
    client = Client(world.service.http)
    client.register(contact=["mailto:a@example.com"])
    return client


def inner(client, new, *, header=None, payload=None, key=None, algorithm="ES256", **members):
    """The inner JWS: the new key has signed the account and the old key."""
    statement = {"account": client.account, "oldKey": client.key.as_dict(private=False)} | members
    made = {"alg": algorithm, "jwk": new.as_dict(private=False), "url": CHANGE} | (header or {})
    octets = json.dumps({name: each for name, each in made.items() if each is not None}).encode()
    payload = json.dumps(statement).encode() if payload is None else payload
    text = jwt.sign_raw(octets, payload, key or new, algorithm)
    return dict(zip(("protected", "payload", "signature"), text.split("."), strict=True))


def stored(world, client):
    return AcmeAccounts(world.service.settings.database).find(client.account.rpartition("/")[2])


@pytest.mark.parametrize(
    ("algorithm", "new"),
    [
        ("ES256", make_key()),
        ("EdDSA", jwt.make_key("OKP", "Ed25519", "key change")),
        ("RS256", jwt.make_key("RSA", 2048, "key change")),
    ],
)
def test_an_account_gets_another_key_and_keeps_all_else(world, client, algorithm, new):
    database = world.service.settings.database
    order = add_order(database, stored(world, client), status=OrderStatus.READY)
    before = stored(world, client)

    answer = client.post("/key-change", inner(client, new, algorithm=algorithm))

    assert (answer.status_int, answer.json["contact"]) == (200, ["mailto:a@example.com"])
    after = stored(world, client)
    assert (after.id, after.requester, after.jwk) == (
        before.id,
        before.requester,
        public_jwk(new).members,
    )
    assert AcmeOrders(database).find(order.id) == order
    assert_problem(
        client.post(client.account, None),
        400,
        "badSignatureAlgorithm" if algorithm != "ES256" else "malformed",
    )
    old, client.key = client.key, new
    assert client.post(client.account, None, alg=algorithm).json["status"] == "valid"
    # The old key is free for another account.
    client.key = old
    assert client.register().headers["Location"] != f"{URL}/account/{before.id}"


def test_a_new_key_that_has_an_account_is_a_conflict_with_the_place_of_that_account(world, client):
    other = Client(world.service.http)
    other.register()
    before = stored(world, client)

    for new, owner in ((other.key, other), (client.key, client)):
        answer = client.post("/key-change", inner(client, new))
        assert_problem(answer, 409, "malformed", "an account has the new key already")
        assert answer.headers["Location"] == owner.account

    assert stored(world, client) == before


def test_a_key_of_an_account_at_another_directory_is_no_conflict(world, client):
    other = Client(world.service.http, authority="second")
    other.register()

    assert client.post("/key-change", inner(client, other.key)).status_int == 200


def test_a_conflict_that_comes_about_meanwhile_is_one_too(world, client, monkeypatch):
    """Two accounts get the same key at once: the database decides."""
    other = Client(world.service.http)
    other.register()
    find, hidden = AcmeAccounts.find_key, [True]

    def find_later(self, *arguments):
        return None if hidden and hidden.pop() else find(self, *arguments)

    monkeypatch.setattr(AcmeAccounts, "find_key", find_later)
    answer = client.post("/key-change", inner(client, other.key))

    assert_problem(answer, 409, "malformed", "already")
    assert answer.headers["Location"] == other.account


def test_of_many_changes_at_once_one_wins(world, client):
    news = [make_key() for _ in range(6)]
    requests = [(Client(world.service.http, client.key), inner(client, new)) for new in news]
    for each, _ in requests:
        each.account = client.account
        each.nonces = [each.nonce()]

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda pair: pair[0].post("/key-change", pair[1]), requests))

    won = [new for new, answer in zip(news, answers, strict=True) if answer.status_int == 200]
    assert len(won) == 1, [answer.text for answer in answers]
    assert stored(world, client).jwk == public_jwk(won[0]).members


MALFORMED, BAD_KEY = (400, "malformed"), (400, "badPublicKey")
ALGORITHM = (400, "badSignatureAlgorithm")
NEW = make_key()


def with_members(**changes):
    def make(client):
        made = inner(client, NEW) | changes
        return {name: each for name, each in made.items() if each is not None}

    return make


def header(**changes):
    return lambda client: inner(client, NEW, header=changes)


def statement(**changes):
    return lambda client: inner(client, NEW, **changes)


REFUSED = {
    "an empty object": (lambda _: {}, MALFORMED, "exactly the members"),
    "no inner JWS": (lambda _: None, MALFORMED, "the payload is empty"),
    "the statement alone": (
        lambda client: {"account": client.account, "oldKey": {}},
        MALFORMED,
        "exactly the members",
    ),
    "an unprotected header": (with_members(header={}), MALFORMED, "exactly the members"),
    "no signature": (with_members(signature=None), MALFORMED, "exactly the members"),
    "padding": (with_members(signature="AAA="), MALFORMED, "without padding"),
    "a nonce": (header(nonce="AAAA"), MALFORMED, "neither 'kid' nor 'nonce'"),
    "an account": (header(kid="1"), MALFORMED, "neither 'kid' nor 'nonce'"),
    "no key": (header(jwk=None), MALFORMED, "have 'alg', 'jwk' and 'url'"),
    "no url": (header(url=None), MALFORMED, "have 'alg', 'jwk' and 'url'"),
    "a critical extension": (header(crit=["exp"]), MALFORMED, "it has 'crit'"),
    "another url": (header(url=f"{URL}/new-account"), MALFORMED, CHANGE),
    "the algorithm none": (header(alg="none"), ALGORITHM, "should be one of ES256"),
    "an HMAC": (header(alg="HS256"), ALGORITHM, "should be one of ES256"),
    "an algorithm of RSA": (header(alg="RS256"), ALGORITHM, "does not fit the key"),
    "a weak key": (
        header(jwk={"kty": "RSA", "e": "AQAB", "n": jwt.b64(b"\xf1" * 128)}, alg="RS256"),
        BAD_KEY,
        "too small",
    ),
    "a point off the curve": (
        lambda client: inner(
            client,
            NEW,
            header={"jwk": NEW.as_dict(private=False) | {"y": jwt.b64(b"\1" * 32)}},
        ),
        BAD_KEY,
        "not a valid EC key",
    ),
    "a private key": (
        lambda client: inner(client, NEW, header={"jwk": NEW.as_dict(private=True)}),
        BAD_KEY,
        "send the public key only",
    ),
    "the old key's signature": (
        lambda client: inner(client, NEW, key=client.key),
        MALFORMED,
        "the inner JWS is not accepted: its signature is wrong",
    ),
    "another account": (
        statement(account=f"{URL}/account/" + "a" * 25),
        MALFORMED,
        "the URL in the outer 'kid'",
    ),
    "no account": (statement(account=None), MALFORMED, "the URL in the outer 'kid'"),
    "no old key": (statement(oldKey=None), MALFORMED, "its 'oldKey' should be the key"),
    "another old key": (
        statement(oldKey=NEW.as_dict(private=False)),
        MALFORMED,
        "another key",
    ),
    "an old key that is a text": (statement(oldKey="EC"), MALFORMED, "not an object"),
    "a small old key": (
        statement(oldKey={"kty": "RSA", "e": "AQAB", "n": "AQAB"}),
        MALFORMED,
        "too small",
    ),
    "an empty statement": (statement(payload=b""), MALFORMED, "its payload is not accepted"),
    "a statement that is a list": (statement(payload=b"[]"), MALFORMED, "not an object"),
    "a member twice": (
        statement(payload=b'{"account": "a", "account": "b"}'),
        MALFORMED,
        "a member twice",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_changed_inner_jws_is_refused_and_changes_nothing(world, client, what):
    make, (status, kind), detail = REFUSED[what]
    before = stored(world, client)

    answer = client.post("/key-change", make(client))

    assert_problem(answer, status, kind, detail)
    assert stored(world, client) == before


def test_members_of_the_inner_header_without_meaning_are_ignored(world, client):
    changed = inner(client, make_key(), header={"typ": "JWT", "x5c": ["AA"]})

    assert client.post("/key-change", changed).status_int == 200


def test_the_old_key_may_have_other_members(world, client):
    old = client.key.as_dict(private=False) | {"kid": "1", "use": "sig"}

    assert client.post("/key-change", inner(client, make_key(), oldKey=old)).status_int == 200


def test_a_key_cannot_be_taken_without_the_key_of_the_account(world, client):
    """The attacker has an account, and signs the outer request with it."""
    attacker = Client(world.service.http)
    attacker.register()
    before = stored(world, client)

    answer = attacker.post("/key-change", inner(client, make_key()))

    assert_problem(answer, 400, "malformed", "the URL in the outer 'kid'")
    assert stored(world, client) == before
