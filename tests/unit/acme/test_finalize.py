"""Finalizing an order gives exactly one certificate, or says what is wrong with the CSR."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc.jwk import ECKey, OKPKey, RSAKey

from anchor.audit.events import SIGNING
from anchor.authority import RegistrationAuthority
from anchor.errors import DatabaseUnavailable
from anchor.jose.compact import decode_base64url, encode_base64url
from anchor.store.database import certificates
from anchor.store.database.acme_orders import AcmeOrders
from anchor.store.database.certificates import Selection
from anchor.store.database.tokens import Tokens
from tests.support.acme import BASE_URL, Client, add_account, add_binding_token
from tests.support.acme_orders import (
    acme_with,
    add_client,
    assert_problem,
    at_once,
    csr_text,
    download,
    finalize,
    new_order,
    same_client,
)
from tests.support.pki import assert_is_leaf, names_of


class Crash(BaseException):
    """The process is killed."""


@pytest.fixture
def order(client):
    answer = new_order(client, "www.example.com")
    return answer.json | {"url": answer.headers["Location"]}


def status_of(client, order):
    client.nonces.clear()
    return client.post(order["url"], None, status=200).json["status"]


def count(service):
    return service.settings.authorities["default"].inventory.count(Selection())


def test_a_ready_order_becomes_valid_with_a_certificate(client, order, ca):
    answer = finalize(client, order)

    assert answer.headers["Location"] == order["url"]
    final = answer.json
    assert final["status"] == "valid"
    assert {key: final[key] for key in final.keys() - {"certificate", "status"}} == {
        key: order[key] for key in order.keys() - {"url", "status"}
    }
    certificate, issuer = download(client, final)
    assert_is_leaf(certificate, issued_by=ca)
    assert issuer == ca.certificate
    assert client.post(order["url"], None).json == final


def test_the_certificate_is_in_the_inventory_and_in_the_audit_with_its_account(
    acme, client, order, audit
):
    finalize(client, order)

    [record] = acme.settings.authorities["default"].inventory.select(Selection())
    issuance = record.issuance
    assert (issuance.door, issuance.requester, issuance.credential, issuance.acme_account) == (
        "acme",
        "machines",
        "acme",
        client.row.id,
    )
    events = audit.events()
    assert [event["event"] for event in events] == ["audit.auth", "audit.sign"]
    for event in events:
        assert event["acme_account"] == client.row.id
        assert event["acme_order"] == order["url"].rpartition("/")[2]


CSRS = [
    (("www.example.com", "a.example.com"), None, ["not in the order: 'DNS:a.example.com'"]),
    (("a.example.com",), None, ["missing: 'www.example.com'", "order: 'DNS:a.example.com'"]),
    (("www.example.com", "10.0.0.1"), None, ["not in the order: 'IP:10.0.0.1'"]),
    ((), "a.example.com", ["missing: 'www.example.com'", "'CN:a.example.com'"]),
    (("www.example.com",), "Web server", ["not in the order: 'CN:Web server'"]),
    (("www.example.com",), "10.0.0.1", ["not in the order: 'CN:10.0.0.1'"]),
    (("www.example.com",), "www.example.com.", ["not in the order: 'CN:www.example.com.'"]),
    (("www.example.com.",), None, ["missing: 'www.example.com'"]),
    (("*.example.com",), None, ["missing: 'www.example.com'"]),
    ((), None, ["missing: 'www.example.com'"]),
    ((x509.DNSName("10.0.0.1"), "www.example.com"), None, ["not in the order: 'DNS:10.0.0.1'"]),
    (("www.example.com", x509.RFC822Name("a@example.com")), None, ["'email:a@example.com'"]),
    (
        ("www.example.com", x509.UniformResourceIdentifier("https://www.example.com")),
        None,
        ["'URI:https://www.example.com'"],
    ),
]


@pytest.mark.parametrize(("names", "common_name", "words"), CSRS)
def test_a_csr_with_other_names_is_refused_and_the_order_stays_ready(
    acme, client, order, names, common_name, words
):
    text = csr_text(*names, common_name=common_name)

    answer = client.post(order["finalize"], {"csr": text})

    assert_problem(answer, "badCSR", 400, "exactly the names of the order", *words)
    assert status_of(client, order) == "ready"
    assert count(acme) == 0
    finalize(client, order)


@pytest.mark.parametrize(
    ("names", "common_name"),
    [
        (("WWW.Example.com",), None),
        (("www.example.com",), "www.example.com"),
        (("www.example.com",), "WWW.example.com"),
        ((), "www.example.com"),
        ((), "WWW.example.com"),
        (("WWW.example.com", "www.example.com"), None),
    ],
)
def test_the_names_of_the_order_can_be_written_in_other_ways(client, order, names, common_name):
    answer = client.post(
        order["finalize"], {"csr": csr_text(*names, common_name=common_name)}, status=200
    )

    assert answer.json["status"] == "valid"
    [certificate, _] = download(client, answer.json)
    assert list(map(str.lower, names_of(certificate))) == ["www.example.com"]


@pytest.mark.parametrize(
    ("ordered", "names", "common_name"),
    [
        (["www.example.com"], [], "www.example.com"),
        (["*.example.com"], [], "*.example.com"),
        (["10.0.0.1"], [], "10.0.0.1"),
        (["2001:db8::1"], [], "2001:DB8::1"),
        (["b.example.com", "a.example.com"], ["a.example.com"], "b.example.com"),
        (["a.example.com", "10.0.0.1"], ["a.example.com"], "10.0.0.1"),
    ],
)
def test_a_name_that_is_only_a_common_name_gets_into_the_alternative_names(
    client, ordered, names, common_name
):
    order = new_order(client, *ordered).json
    text = csr_text(*names, common_name=common_name)

    final = client.post(order["finalize"], {"csr": text}, status=200).json

    [certificate, _] = download(client, final)
    assert names_of(certificate) == ordered
    assert not certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


def test_addresses_and_wildcards_are_compared_too(client):
    names = ("*.example.com", "10.0.0.1", "2001:DB8::1")
    order = new_order(client, *names).json

    for others in (("*.example.com", "10.0.0.1"), (*names, "example.com")):
        assert_problem(finalize(client, order, *others, status=400), "badCSR", 400)
    final = finalize(client, order, *names, common_name="10.0.0.1").json

    assert final["status"] == "valid"


def test_only_the_first_of_many_wrong_names_are_listed(client, order):
    names = [f"{number}.example.com" for number in range(50)]

    answer = client.post(order["finalize"], {"csr": csr_text(*names)})

    assert_problem(answer, "badCSR", 400, "and 45 more")


UNREADABLE = [
    ({}, "malformed", "'csr' should be a string"),
    ({"csr": None}, "malformed", "'csr' should be a string"),
    ({"csr": 7}, "malformed", "'csr' should be a string"),
    ({"csr": ""}, "malformed", "'csr' is not base64url"),
    ({"csr": "AA=="}, "malformed", "'csr' is not base64url"),
    ({"csr": "-----BEGIN CERTIFICATE REQUEST-----"}, "malformed", "'csr' is not base64url"),
    ({"csr": "AAAA"}, "badCSR", "the request is not accepted"),
    ({"csr": encode_base64url(b"0\x03\x02\x01\x00")}, "badCSR", "the request is not accepted"),
]


@pytest.mark.parametrize(("payload", "kind", "words"), UNREADABLE)
def test_an_unreadable_csr_is_refused_and_the_order_stays_ready(
    client, order, audit, payload, kind, words
):
    answer = client.post(order["finalize"], payload)

    assert_problem(answer, kind, 400, words)
    assert status_of(client, order) == "ready"
    assert words in str(audit.events()[-1])


def test_a_csr_needs_a_payload(client, order):
    assert_problem(client.post(order["finalize"], None), "malformed", 400, "the payload is empty")
    assert status_of(client, order) == "ready"


def test_a_csr_with_the_key_of_the_account_is_refused(client, order):
    text = csr_text("www.example.com", key=client.key.private_key)

    answer = client.post(order["finalize"], {"csr": text})

    assert_problem(answer, "badCSR", 400, "the key belongs to the account")
    assert status_of(client, order) == "ready"


OF_CLIENTS = [
    lambda: RSAKey.generate_key(2048),
    *(lambda curve=curve: ECKey.generate_key(curve) for curve in ("P-256", "P-384", "P-521")),
    lambda: OKPKey.generate_key("Ed25519"),
]


@pytest.mark.parametrize("make", OF_CLIENTS)
def test_a_csr_with_the_key_of_another_account_is_refused(acme, client, order, make):
    other = Client(acme.http, make())
    add_account(acme.settings.database, other.key)

    answer = client.post(
        order["finalize"], {"csr": csr_text("www.example.com", key=other.key.private_key)}
    )

    assert_problem(answer, "badCSR", 400, "the key belongs to another account")
    assert status_of(client, order) == "ready"


def test_a_key_may_have_an_account_at_another_authority(acme, client, order):
    other = Client(acme.http)
    add_account(acme.settings.database, other.key, authority="other")

    text = csr_text("www.example.com", key=other.key.private_key)

    assert client.post(order["finalize"], {"csr": text}).json["status"] == "valid"


def test_only_the_holder_of_a_key_learns_that_it_has_an_account(acme, client, order):
    other = Client(acme.http)
    add_account(acme.settings.database, other.key)
    der = bytearray(decode_base64url(csr_text("www.example.com", key=other.key.private_key)))
    der[-1] ^= 1

    answer = client.post(order["finalize"], {"csr": encode_base64url(bytes(der))})

    assert_problem(answer, "badCSR", 400, "proof_of_possession: ")
    assert "account" not in answer.json["detail"]


def test_a_csr_that_the_policy_refuses_names_each_check(serve, document):
    policy = {"key_usage": {"allowed_usage": []}, "public_key": {"allowed_keys": {"RSA": 2048}}}
    client = add_client(serve(acme_with(document, validators=policy), base_url=BASE_URL))
    order = new_order(client, "www.example.com").json

    answer = finalize(client, order, status=400)

    assert_problem(answer, "badCSR", 400, "public_key: keys of this kind are not allowed")
    assert [each["check"] for each in answer.json["failures"]] == ["public_key"]


def test_a_csr_that_is_signed_with_another_key_proves_nothing(client, order):
    der = bytearray(decode_base64url(csr_text("www.example.com")))
    der[-1] ^= 1

    answer = client.post(order["finalize"], {"csr": encode_base64url(bytes(der))})

    assert_problem(answer, "badCSR", 400)
    assert status_of(client, order) == "ready"


def test_an_order_has_one_certificate_and_not_two(acme, client, order):
    finalize(client, order)

    answer = finalize(client, order, status=403)

    assert_problem(answer, "orderNotReady", 403, "the order is valid, and should be ready")
    assert count(acme) == 1


def test_of_eight_requests_at_once_one_gets_the_certificate(acme, client, order):
    clients = [same_client(client, acme) for _ in range(8)]

    answers = at_once([lambda each=each: finalize(each, order, status="*") for each in clients])

    assert sorted(answer.status_int for answer in answers) == [200, *[403] * 7]
    for answer in answers:
        if answer.status_int == 403:
            assert_problem(answer, "orderNotReady", 403)
    assert count(acme) == 1


def test_the_nodes_of_one_database_share_orders(serve, document, client, order):
    second = serve(document, base_url=BASE_URL)
    other = same_client(client, second)

    answers = at_once(
        [
            lambda each=each: finalize(each, order, status="*")
            for each in (client, other, same_client(client, second))
        ]
    )

    assert sorted(answer.status_int for answer in answers) == [200, 403, 403]
    assert status_of(other, order) == "valid"
    assert download(other, client.post(order["url"], None).json)


def kill(monkeypatch, owner, name, *, after=False):
    """Kill the process before or after a call."""
    original = getattr(owner, name)

    def crash(*args, **kwargs):
        if after:
            original(*args, **kwargs)
        raise Crash

    monkeypatch.setattr(owner, name, crash)


def assert_can_go_on(acme, client, order):
    assert status_of(client, order) == "ready"
    final = finalize(client, order).json
    assert len(download(client, final)) == 2


def test_a_process_that_is_killed_before_the_certificate_is_stored_leaves_a_ready_order(
    acme, client, order, monkeypatch
):
    inventory = acme.settings.authorities["default"].inventory
    with monkeypatch.context() as patch:
        kill(patch, type(inventory), "add")
        with pytest.raises(Crash):
            finalize(client, order)

    assert count(acme) == 0
    assert_can_go_on(acme, client, order)


def test_a_process_that_is_killed_while_the_certificate_is_stored_leaves_a_ready_order(
    acme, client, order, monkeypatch
):
    with monkeypatch.context() as patch:
        kill(patch, certificates, "insert_certificate", after=True)
        with pytest.raises(Crash):
            finalize(client, order)

    assert count(acme) == 0
    assert_can_go_on(acme, client, order)


def give_nothing_back(patch):
    """A process that is killed undoes nothing."""
    patch.setattr(RegistrationAuthority, "_give_back", lambda *_: None)


@pytest.fixture(params=["file", "audit", "completion"])
def killed(request, acme, client, order, monkeypatch):
    """An order whose process was killed in the step after the certificate was stored."""
    authority = acme.settings.authorities["default"]
    with monkeypatch.context() as patch:
        give_nothing_back(patch)
        match request.param:
            case "file":
                kill(patch, type(authority.signing_ca.store), "put")
            case "audit":
                record = type(authority)._record
                kinds = []

                def crash(self, kind, *args):
                    kinds.append(kind)
                    if len(kinds) == 2:
                        raise Crash
                    record(self, kind, *args)

                patch.setattr(type(authority), "_record", crash)
            case _:
                kill(patch, AcmeOrders, "complete")
        with pytest.raises(Crash):
            finalize(client, order)
    return order


def test_a_process_that_is_killed_later_leaves_an_order_that_is_soon_invalid(
    acme, client, killed, clock
):
    assert count(acme) == 1
    assert status_of(client, killed) == "processing"
    answer = client.post(killed["url"], None)
    assert answer.headers["Retry-After"] == "1"
    assert_problem(finalize(client, killed, status=403), "orderNotReady", 403, "is processing")

    clock.advance(minutes=2, seconds=1)

    assert status_of(client, killed) == "invalid"
    shown = client.post(killed["url"], None).json
    assert "create another order" in shown["error"]["detail"]
    assert "certificate" not in shown
    number = killed["url"].rpartition("/")[2]
    assert_problem(client.post(f"/certificate/{number}", None), "malformed", 404)
    assert_problem(finalize(client, killed, status=403), "orderNotReady", 403, "is invalid")
    assert client.post(f"{client.account}/orders", None).json == {"orders": []}
    again = new_order(client, "www.example.com").json
    assert finalize(client, again).json["status"] == "valid"


def test_an_order_that_clients_saw_as_invalid_never_becomes_valid(
    acme, client, order, clock, monkeypatch
):
    complete = AcmeOrders.complete

    def slow(self, order_id, until):
        clock.advance(minutes=2, seconds=1)
        return complete(self, order_id, until)

    monkeypatch.setattr(AcmeOrders, "complete", slow)

    answer = finalize(client, order)

    assert answer.json["status"] == "invalid"
    assert status_of(client, order) == "invalid"


@pytest.mark.parametrize("what", ["file", "audit"])
def test_an_order_that_clients_saw_as_invalid_is_not_ready_again_after_an_error(
    acme, client, order, clock, monkeypatch, what
):
    """What follows on the certificate takes too long, and fails then."""
    other = same_client(client, acme)
    seen = []

    def slow(*_):
        clock.advance(minutes=2, seconds=1)
        seen.append(status_of(other, order))
        raise OSError("full")

    authority = acme.settings.authorities["default"]
    with monkeypatch.context() as patch:
        if what == "file":
            patch.setattr(type(authority.signing_ca.store), "put", slow)
        else:
            record = RegistrationAuthority._record
            patch.setattr(
                RegistrationAuthority,
                "_record",
                lambda self, kind, *args: (
                    slow() if kind == SIGNING and len(args) == 3 else record(self, kind, *args)
                ),
            )
        finalize(client, order, status=500)

    assert seen == ["invalid"]
    assert status_of(client, order) == "invalid"
    assert_problem(finalize(client, order, status=403), "orderNotReady", 403, "is invalid")


def test_a_database_that_is_away_when_the_order_should_become_valid_ends_the_order(
    acme, client, order, clock, monkeypatch
):
    def away(*_):
        raise DatabaseUnavailable("it is away")

    with monkeypatch.context() as patch:
        patch.setattr(AcmeOrders, "complete", away)
        answer = finalize(client, order, status=503)

    assert_problem(answer, "serverInternal", 503, "the database cannot be used now")
    assert answer.headers["Retry-After"] == "5"
    assert (status_of(client, order), count(acme)) == ("processing", 1)
    clock.advance(minutes=2, seconds=1)
    assert status_of(client, order) == "invalid"


def test_a_database_that_is_away_leaves_the_order_ready(acme, client, order, monkeypatch):
    def away(*_, **__):
        raise DatabaseUnavailable("it is away")

    with monkeypatch.context() as patch:
        patch.setattr(type(acme.settings.authorities["default"].inventory), "add", away)
        answer = finalize(client, order, status=503)

    assert_problem(answer, "serverInternal", 503, "the database cannot be used now")
    assert count(acme) == 0
    assert_can_go_on(acme, client, order)


@pytest.mark.parametrize("what", ["file", "audit"])
def test_an_error_after_the_certificate_is_stored_leaves_a_ready_order(
    acme, client, order, monkeypatch, what
):
    authority = acme.settings.authorities["default"]
    with monkeypatch.context() as patch:
        if what == "file":

            def fail(*_):
                raise SystemExit

            patch.setattr(type(authority.signing_ca.store), "put", fail)
            with pytest.raises(SystemExit):
                finalize(client, order)
        else:
            record = authority.audit.record
            calls = []

            def fail_second(event):
                calls.append(event)
                if len(calls) == 2:
                    raise OSError("full")
                record(event)

            patch.setattr(type(authority.audit), "record", lambda _, event: fail_second(event))
            finalize(client, order, status=500)

    # The certificate was not answered, but somebody might have seen it.
    assert count(acme) == 1
    assert_can_go_on(acme, client, order)
    assert count(acme) == 2


def test_the_certificate_of_an_account_whose_token_was_revoked_is_refused(acme):
    database = acme.settings.database
    token_id, _ = add_binding_token(database)
    client = add_client(acme, token_id=token_id)
    order = new_order(client, "www.example.com").json

    Tokens(database).revoke(token_id)

    answer = finalize(client, order, status=401)
    assert_problem(answer, "unauthorized", 401, "is revoked: ", "another key and another token")
    assert count(acme) == 0


def test_a_token_that_is_revoked_while_the_certificate_is_signed_gives_none(acme, monkeypatch):
    database = acme.settings.database
    token_id, _ = add_binding_token(database)
    client = add_client(acme, token_id=token_id)
    order = new_order(client, "www.example.com").json
    signing_ca = acme.settings.authorities["default"].signing_ca
    issue = type(signing_ca).issue

    def revoke_first(self, *args, **kwargs):
        Tokens(database).revoke(token_id)
        return issue(self, *args, **kwargs)

    monkeypatch.setattr(type(signing_ca), "issue", revoke_first)

    answer = finalize(client, order, status=403)

    assert_problem(answer, "unauthorized", 403, "the token of the account was revoked")
    assert count(acme) == 0


def test_an_account_takes_no_more_uses_of_its_token(acme):
    database = acme.settings.database
    token_id, _ = add_binding_token(database, uses=1)
    client = add_client(acme, token_id=token_id)

    for _ in range(3):
        order = new_order(client, "www.example.com").json
        finalize(client, order)

    assert Tokens(database).find(token_id).used == 1
    assert count(acme) == 3


def test_the_file_of_a_certificate_has_the_certificate_that_the_client_gets(acme, client, order):
    certificate = download(client, finalize(client, order).json)[0]

    [path] = (acme.path / "certs").iterdir()
    assert certificate.public_bytes(Encoding.PEM) == path.read_bytes()


def test_an_authorization_that_is_deactivated_while_the_certificate_is_signed_gives_none(
    acme, client, order, monkeypatch
):
    signing_ca = acme.settings.authorities["default"].signing_ca
    other = same_client(client, acme)
    issue = type(signing_ca).issue

    def deactivate_first(self, *args, **kwargs):
        url, payload = order["authorizations"][0], {"status": "deactivated"}
        # In another thread, since Pecan knows one request of a thread.
        at_once([lambda: other.post(url, payload, status=200)])
        return issue(self, *args, **kwargs)

    monkeypatch.setattr(type(signing_ca), "issue", deactivate_first)

    answer = finalize(client, order, status=403)

    assert_problem(answer, "orderNotReady", 403)
    assert count(acme) == 0
