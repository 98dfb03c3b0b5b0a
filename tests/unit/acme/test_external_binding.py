"""RFC 8555 section 7.3.4: an account is bound to a token, by a MAC with its secret."""

from __future__ import annotations

import datetime
import functools
import hmac
import json
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from anchor.auth.credentials import new_token_id
from anchor.auth.token import hash_secret, mac_key_of, new_secret
from anchor.store.database.acme_accounts import AcmeAccounts
from anchor.store.database.tokens import Tokens, take_use
from anchor.timestamps import utc_now
from tests.support import jwt
from tests.support.acme import (
    BASE_URL,
    URL,
    Client,
    acme_configuration,
    add_binding_token,
    make_binding,
    make_key,
)
from tests.support.acme_drafts import assert_problem
from tests.support.pki import make_ca
from tests.support.service import Service, small_configuration
from tests.unit.acme.test_key_change import inner

HOUR = datetime.timedelta(hours=1)


@pytest.fixture(scope="module")
def lazy_bound(tmp_path_factory):
    """A service whose accounts need tokens, made in the first test of the module."""

    @functools.cache
    def made():
        path = tmp_path_factory.mktemp("bound")
        document = acme_configuration(small_configuration(make_ca(path)), open=False)
        authorities = document["registration_authority"]
        # Failures of many tests come from one address.
        authorities["default"] |= {"max_failures": 0, "max_address_failures": 0}
        authorities["second"] = authorities["default"]
        service = Service(path, document, base_url=BASE_URL)
        return SimpleNamespace(service=service, database=service.settings.database)

    yield made
    made().database.close()


@pytest.fixture
def bound(lazy_bound):
    return lazy_bound()


def used(bound, token):
    return Tokens(bound.database).find(token[0]).used


def account_of(bound, client):
    return AcmeAccounts(bound.database).find(client.account.rpartition("/")[2])


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_an_account_is_bound_to_a_token_and_takes_a_use(bound, algorithm):
    token = add_binding_token(
        bound.database, names=["www.example.com"], groups=["web"], uses=2, requester="web machines"
    )
    client = Client(bound.service.http)
    binding = make_binding(client.key, *token, algorithm=algorithm)

    answer = client.register(externalAccountBinding=binding)

    assert answer.json["externalAccountBinding"] == binding
    assert client.post(client.account, None).json["externalAccountBinding"] == binding
    account = account_of(bound, client)
    assert (account.requester, account.token_id, account.groups, account.allowed_names) == (
        "web machines",
        token[0],
        ("web",),
        ("www.example.com",),
    )
    assert used(bound, token) == 1
    # The account exists: neither a binding nor a use is needed.
    client.register(status=200)
    client.register(binding=token, status=200)
    assert used(bound, token) == 1


def test_a_token_without_names_does_not_limit_them(bound):
    client = Client(bound.service.http)
    client.register(binding=add_binding_token(bound.database, names=None))

    assert account_of(bound, client).allowed_names is None


def test_a_token_is_good_for_as_many_accounts_as_it_has_uses(bound):
    token = add_binding_token(bound.database, uses=2)
    for _ in range(2):
        Client(bound.service.http).register(binding=token)

    answer = Client(bound.service.http).register(binding=token, status="*")

    assert_problem(answer, 403, "unauthorized", "used up")


@pytest.mark.parametrize("uses", [1, 2])
def test_a_use_that_is_given_back_binds_an_account(bound, uses):
    """The certificate of another client was not answered."""
    token = add_binding_token(bound.database, uses=uses)
    with bound.database.transaction() as transaction:
        assert take_use(transaction, token[0], utc_now())
    for _ in range(uses - 1):
        Client(bound.service.http).register(binding=token)
    Client(bound.service.http).register(binding=token, status=403)

    Tokens(bound.database).give_back(token[0])

    Client(bound.service.http).register(binding=token)
    Client(bound.service.http).register(binding=token, status=403)


def test_many_clients_at_once_get_as_many_accounts_as_the_token_has_uses(bound):
    token = add_binding_token(bound.database, uses=3)
    clients = [Client(bound.service.http) for _ in range(8)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda client: client.register(binding=token, status="*"), clients))

    assert sorted(answer.status_int for answer in answers) == [201] * 3 + [403] * 5
    assert used(bound, token) == 3
    assert len(AcmeAccounts(bound.database).of_token(token[0])) == 3


def test_the_end_of_a_token_is_not_the_end_of_its_account(tmp_path, document):
    clock = SimpleNamespace(now=utc_now().replace(microsecond=0))
    service = Service(
        tmp_path,
        acme_configuration(document, open=False),
        clock=lambda: clock.now,
        base_url=BASE_URL,
    )
    token = add_binding_token(service.settings.database, uses=2)
    client = Client(service.http)
    client.register(binding=token)

    clock.now += datetime.timedelta(days=2)

    client.nonces = []
    assert client.post(client.account, None).json["status"] == "valid"
    answer = Client(service.http).register(binding=token, status="*")
    assert_problem(answer, 403, "unauthorized", "expired")


def test_two_requests_with_a_token_for_one_account_are_answered_with_the_account(
    bound, monkeypatch
):
    """The second one has looked for the account before the first one has made it."""
    token, key = add_binding_token(bound.database), make_key()
    first, second = Client(bound.service.http, key), Client(bound.service.http, key)
    second.nonces = [second.nonce()]
    find, waiting = AcmeAccounts.find_key, [True]

    def find_too_early(self, *arguments):
        if waiting.pop() if waiting else False:
            assert find(self, *arguments) is None
            with ThreadPoolExecutor(1) as pool:
                pool.submit(first.register, binding=token).result()
            return None
        return find(self, *arguments)

    monkeypatch.setattr(AcmeAccounts, "find_key", find_too_early)
    second.register(binding=token, status=200)

    assert second.account == first.account
    assert used(bound, token) == 1


@pytest.mark.parametrize("change", ["the same", "members in another order"])
def test_a_binding_is_good_for_one_account_after_its_key_has_changed(bound, audit, change):
    """A thief of the old key has no secret, but the account shows the binding."""
    token = add_binding_token(bound.database, uses=3)
    client = Client(bound.service.http)
    client.register(binding=token)
    binding = client.post(client.account, None).json["externalAccountBinding"]
    old, new = client.key, make_key()
    client.post("/key-change", inner(client, new), status=200)
    client.key = new
    if change != "the same":
        binding = dict(reversed(binding.items()))

    thief = Client(bound.service.http, old)
    answer = thief.register(externalAccountBinding=binding, status="*")

    assert_problem(answer, 403, "unauthorized", "another account has the same binding")
    assert audit.events()[-1]["outcome"] == "failure"
    assert used(bound, token) == 1
    # The account itself needs none, and the token is good for other keys.
    client.register(status=200)
    Client(bound.service.http).register(binding=token)


def raw_binding(client, token, *, payload=None, header=None, secret=None, **changes):
    """A binding with a right MAC, of any header and payload."""
    made = {"alg": "HS256", "kid": token[0], "url": f"{URL}/new-account"} | changes
    octets = json.dumps({name: each for name, each in made.items() if each is not None}).encode()
    key = json.dumps(client.key.as_dict(private=False)).encode()
    parts = [jwt.b64(octets if header is None else header)]
    parts += [jwt.b64(key if payload is None else payload)]
    mac = hmac.digest(mac_key_of(secret or token[1]), ".".join(parts).encode(), "sha256")
    return dict(zip(("protected", "payload", "signature"), [*parts, jwt.b64(mac)], strict=True))


def with_members(**changes):
    def make(client, token):
        made = raw_binding(client, token) | changes
        return {name: each for name, each in made.items() if each is not None}

    return make


def binding(**changes):
    return lambda client, token: raw_binding(client, token, **changes)


def with_payload(**changes):
    def make(client, token):
        members = client.key.as_dict(private=False) | changes
        return raw_binding(client, token, payload=json.dumps(members).encode())

    return make


def signed_with_the_account_key(client, token):
    header = {"alg": "ES256", "kid": token[0], "url": f"{URL}/new-account"}
    payload = json.dumps(client.key.as_dict(private=False)).encode()
    text = jwt.sign_raw(json.dumps(header).encode(), payload, client.key, "ES256")
    return dict(zip(("protected", "payload", "signature"), text.split("."), strict=True))


MALFORMED = (400, "malformed")
ALGORITHM = (400, "badSignatureAlgorithm")

REFUSED = {
    "a text": (lambda *_: "tk_a", MALFORMED, "should be an object"),
    "a list": (lambda *_: [], MALFORMED, "should be an object"),
    "false": (lambda *_: False, MALFORMED, "should be an object"),
    "an empty object": (lambda *_: {}, MALFORMED, "exactly the members"),
    "an unprotected header": (with_members(header={}), MALFORMED, "exactly the members"),
    "no signature": (with_members(signature=None), MALFORMED, "exactly the members"),
    "an empty signature": (with_members(signature=""), MALFORMED, "base64url"),
    "padding": (with_members(signature="AAA="), MALFORMED, "without padding"),
    "a payload that is an object": (with_members(payload={}), MALFORMED, "should be strings"),
    "a nonce": (binding(nonce="AAAA"), MALFORMED, "neither 'jwk' nor 'nonce'"),
    "a critical extension": (binding(crit=["b64"]), MALFORMED, "it has 'crit'"),
    "an unencoded payload": (binding(b64=False), MALFORMED, "it has 'b64'"),
    "a key": (binding(jwk={}), MALFORMED, "neither 'jwk' nor 'nonce'"),
    "no url": (binding(url=None), MALFORMED, "have 'alg', 'kid' and 'url'"),
    "no kid": (binding(kid=None), MALFORMED, "have 'alg', 'kid' and 'url'"),
    "a kid that is a number": (binding(kid=7), MALFORMED, "the id of a token"),
    "another url": (binding(url=f"{URL}/new-order"), MALFORMED, f"{URL}/new-account"),
    "a url of another directory": (
        binding(url=f"{BASE_URL}/acme/second/new-account"),
        MALFORMED,
        f"{URL}/new-account",
    ),
    "a member twice": (
        binding(header=b'{"alg":"HS256","alg":"HS256","kid":"tk_a","url":"u"}'),
        MALFORMED,
        "a member twice",
    ),
    "a header that is no JSON": (binding(header=b"alg"), MALFORMED, "not JSON"),
    "the algorithm none": (binding(alg="none"), ALGORITHM, "HS256, HS384, HS512"),
    "a signature": (signed_with_the_account_key, ALGORITHM, "HS256, HS384, HS512"),
    "an algorithm that is a list": (binding(alg=["HS256"]), ALGORITHM, "HS256, HS384, HS512"),
    "HS1": (binding(alg="HS1"), ALGORITHM, "HS256, HS384, HS512"),
    "another account's key": (
        lambda client, token: raw_binding(Client(client.http), token),
        MALFORMED,
        "another key",
    ),
    "another coordinate": (
        with_payload(y=jwt.b64(b"\1" * 32)),
        MALFORMED,
        "should be the key of the account",
    ),
    "no key in the payload": (binding(payload=b"{}"), MALFORMED, "'kty'"),
    "an empty payload": (binding(payload=b""), MALFORMED, "should be the key of the account"),
    "a payload that is a list": (binding(payload=b"[]"), MALFORMED, "not an object"),
    "a thumbprint": (binding(payload=b'"abc"'), MALFORMED, "not an object"),
    "a private key": (
        lambda client, token: raw_binding(
            client, token, payload=json.dumps(client.key.as_dict(private=True)).encode()
        ),
        MALFORMED,
        "send the public key only",
    ),
    "a small RSA key": (
        binding(payload=json.dumps({"kty": "RSA", "e": "AQAB", "n": "AQAB"}).encode()),
        MALFORMED,
        "too small",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_malformed_binding_is_refused_and_costs_nothing(bound, what):
    make, (status, kind), detail = REFUSED[what]
    token = add_binding_token(bound.database)
    client = Client(bound.service.http)

    answer = client.register(status="*", externalAccountBinding=make(client, token))

    document = assert_problem(answer, status, kind, detail)
    if kind == "badSignatureAlgorithm":
        assert document["algorithms"] == ["HS256", "HS384", "HS512"]
    assert used(bound, token) == 0
    assert AcmeAccounts(bound.database).of_token(token[0]) == []


def test_members_of_the_header_of_a_binding_without_meaning_are_ignored(bound):
    token = add_binding_token(bound.database)
    client = Client(bound.service.http)

    # Ruby's acme-client sends "typ".
    binding = raw_binding(client, token, typ="JWT", jku="https://evil.example/keys")
    client.register(externalAccountBinding=binding, status=201)

    assert used(bound, token) == 1


def revoked(bound):
    token = add_binding_token(bound.database)
    Tokens(bound.database).revoke(token[0])
    return token


def without_mac_key(bound):
    """A token that is older than ACME at the authority."""
    token_id, secret = add_binding_token(bound.database)
    with bound.database.write() as connection:
        connection.exec_driver_sql(f"UPDATE tokens SET mac_key = NULL WHERE id = '{token_id}'")
    return token_id, secret


def in_capitals(bound):
    token_id, secret = add_binding_token(bound.database)
    return token_id.upper(), secret


def swapped(bound):
    """The operator has exchanged the identifier and the secret."""
    token_id, secret = add_binding_token(bound.database)
    return secret, mac_secret_of(token_id)


def mac_secret_of(text):
    """A secret whose bytes are those of a text."""
    return jwt.b64(text.encode().ljust(32, b"\0"))


NOT_ACCEPTED = {
    "an unknown token": lambda _: (new_token_id(), new_secret()),
    "another token's secret": lambda bound: (
        add_binding_token(bound.database)[0],
        add_binding_token(bound.database)[1],
    ),
    "an expired token": lambda bound: add_binding_token(bound.database, expires=utc_now() - HOUR),
    "a revoked token": revoked,
    "a token that is used up": lambda bound: add_binding_token(bound.database, used=1),
    "a token of another authority": lambda bound: add_binding_token(
        bound.database, authority="second"
    ),
    "a token from before": without_mac_key,
    "an identifier that is none": lambda _: ("alice", new_secret()),
    "an empty identifier": lambda _: ("", new_secret()),
    "an identifier with NUL": lambda _: ("tk_\0", new_secret()),
    "an identifier that is no Unicode": lambda _: ("tk_\ud800", new_secret()),
    "a long identifier": lambda _: ("tk_" + "a" * 10_000, new_secret()),
    "an identifier in capitals": in_capitals,
    "the secret in the place of the identifier": swapped,
    "a MAC with no key": lambda _: (new_token_id(), jwt.b64(bytes(32))),
}


def test_each_binding_that_is_not_accepted_has_the_same_answer(bound):
    """Nobody learns from the answer which tokens there are."""
    answers = {}
    for what, make in NOT_ACCEPTED.items():
        token = make(bound)
        client = Client(bound.service.http)
        answer = client.register(status="*", externalAccountBinding=raw_binding(client, token))
        assert_problem(answer, 403, "unauthorized", "the token is unknown, used up, expired")
        answers[what] = json.dumps(answer.json | {"request_id": ""})

    assert len(set(answers.values())) == 1, answers


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("an unknown token", "there is no token ID"),
        ("another token's secret", "the token ID has another secret than the HMAC key"),
        ("an expired token", "the token ID has expired at "),
        ("a revoked token", "the token ID was revoked at "),
        ("a token that is used up", "the token ID is used up"),
        ("a token of another authority", "the token ID is of the authority second"),
        ("a token from before", "the token ID has no HMAC key, as it was created before the "),
        ("an identifier that is none", "its 'kid' is no identifier of a token"),
    ],
)
def test_only_the_log_says_why_a_binding_is_not_accepted(bound, caplog, audit, what, reason):
    caplog.set_level("INFO")
    token = NOT_ACCEPTED[what](bound)
    client = Client(bound.service.http)

    answer = client.register(status=403, externalAccountBinding=raw_binding(client, token))

    text = f"request {answer.json['request_id']}: a binding is refused: {reason}"
    assert text.replace("ID", token[0]) in caplog.text
    assert token[1] not in caplog.text
    [event] = audit.events()
    assert reason.replace("ID", token[0]) not in json.dumps(event) + answer.text


def test_a_refused_binding_shows_no_secret_anywhere(bound, caplog, audit):
    caplog.set_level("DEBUG")
    for make in (swapped, NOT_ACCEPTED["another token's secret"]):
        token = make(bound)
        client = Client(bound.service.http)
        answer = client.register(status="*", externalAccountBinding=raw_binding(client, token))
        assert answer.status_int == 403
        for secret in (token[1], token[0] if token[0][:3] != "tk_" else token[1]):
            assert secret not in caplog.text + answer.text
    assert [event["outcome"] for event in audit.events()] == ["failure", "failure"]


def test_a_binding_is_audited_with_its_token(bound, audit):
    token = add_binding_token(bound.database, requester="web machines")
    Client(bound.service.http).register(binding=token)
    Client(bound.service.http).register(binding=token, status=403)

    accepted, refused = audit.events()
    assert (accepted["event"], accepted["outcome"]) == ("audit.auth", "success")
    assert (accepted["user"], accepted["token"]) == ("web machines", token[0])
    assert (refused["event"], refused["outcome"]) == ("audit.auth", "failure")
    assert (refused["user"], refused["credential"]) == (token[0], "token")


def test_bindings_that_fail_too_often_are_throttled(serve, document):
    acme_configuration(document, open=False)
    document["registration_authority"]["default"] |= {
        "max_failures": 1,
        "max_address_failures": 2,
    }
    service = serve(document, base_url=BASE_URL)
    for status in (403, 403, 429):
        client = Client(service.http)
        answer = client.register(binding=(new_token_id(), new_secret()), status=status)

    assert_problem(answer, 429, "rateLimited", "too many failed attempts")
    assert int(answer.headers["Retry-After"]) > 0


def test_an_open_directory_honours_a_binding(serve, document):
    service = serve(acme_configuration(document, open=True), base_url=BASE_URL)
    token = add_binding_token(service.settings.database, names=["www.example.com"])
    client = Client(service.http)

    client.register(binding=token)

    account = AcmeAccounts(service.settings.database).find(client.account.rpartition("/")[2])
    assert account.allowed_names == ("www.example.com",)
    answer = Client(service.http).register(binding=token, status="*")
    assert_problem(answer, 403, "unauthorized", "used up")
    assert Client(service.http).register().json["status"] == "valid"


def test_an_open_directory_without_tokens_says_that_it_takes_none(serve, document):
    acme_configuration(document, open=True)
    document["registration_authority"]["default"]["authentication"] = "static"
    service = serve(document, base_url=BASE_URL)
    token = add_binding_token(service.settings.database)

    answer = Client(service.http).register(binding=token, status="*")

    assert_problem(answer, 403, "unauthorized", "accepts no tokens")


def test_the_metrics_count_bindings_and_no_request_for_a_certificate(serve, document):
    service = serve(
        acme_configuration(document, open=False),
        base_url=BASE_URL,
        metrics_networks=["192.0.2.0/24"],
    )
    token = add_binding_token(service.settings.database)
    Client(service.http).register(binding=token)
    Client(service.http).register(binding=token, status=403)

    lines = service.http.get("/metrics").text.splitlines()

    assert 'anchor_authentications_total{authentication="tokens",credential="token"} 1' in lines
    assert 'anchor_authentications_total{authentication="tokens",credential="acme"} 0' in lines
    failure = 'anchor_authentication_failures_total{authentication="tokens",kind="unauthenticated"}'
    assert f"{failure} 1" in lines
    assert not [
        line for line in lines if line.startswith("anchor_requests_total") and line[-2:] != " 0"
    ]


def test_the_secret_is_kept_as_bytes_only(bound):
    token_id, secret = add_binding_token(bound.database)
    token = Tokens(bound.database).find(token_id)

    assert (token.mac_key, token.secret_hash) == (mac_key_of(secret), hash_secret(secret))
    assert secret not in repr(token)
