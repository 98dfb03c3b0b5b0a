"""A certificate that a client revokes is banned for good (RFC 8555 section 7.6)."""

from __future__ import annotations

import functools
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from joserfc.jwk import RSAKey

from anchor.acme import revocation
from anchor.acme.problems import AcmeProblem
from anchor.acme.requests import SignedRequest
from anchor.acme.revocation import REASONS
from anchor.auth.presented import Origin
from anchor.errors import AuditError
from anchor.jose.compact import encode_base64url
from anchor.store.bans import Ban
from anchor.timestamps import timestamp, utc_now
from tests.support.acme import (
    BASE_URL,
    DAY,
    URL,
    Client,
    acme_configuration,
    add_account,
    add_order,
    certificate_id,
    issue_for,
    public_jwk,
)
from tests.support.pki import make_csr, make_key, shared_key
from tests.support.properties import examples
from tests.support.renewal import jose_key, renew_over_tls

ERROR = "urn:ietf:params:acme:error:"


@pytest.fixture
def acme(serve, document):
    document["registration_authority"]["default"]["renewal"] = {"enabled": True}
    return serve(acme_configuration(document), base_url=BASE_URL)


@pytest.fixture
def services(acme):
    return acme.settings.acme["default"]


def add_client(acme, **changes):
    """A client with an account."""
    client = Client(acme.http)
    client.row = add_account(acme.settings.database, client.key, **changes)
    client.account = f"{URL}/account/{client.row.id}"
    return client


@pytest.fixture
def client(acme):
    return add_client(acme)


@pytest.fixture
def key():
    return make_key()


@pytest.fixture
def issued(services, client, key):
    return issue_for(services, client.row, key=key)


def encoded(certificate):
    return encode_base64url(certificate.public_bytes(Encoding.DER))


def revoke(client, issued, *, signer=None, status=200, **members):
    """Revoke a certificate, signed by the account or by another key."""
    payload = {"certificate": encoded(issued.certificate)} | members
    return client.post("/revoke-cert", payload, key=signer, status=status)


def problem(answer):
    assert answer.content_type == "application/problem+json"
    return answer.json["type"].removeprefix(ERROR)


def bans(services):
    return [(ban.kind, ban.value) for ban in services.bans.all()]


def test_the_account_that_ordered_a_certificate_revokes_it(services, client, issued, audit):
    answer = revoke(client, issued, reason=4)
    assert answer.body == b""
    assert "Replay-Nonce" in answer.headers
    [ban] = services.bans.all()
    assert (ban.kind, ban.value, ban.until) == ("certificate", issued.fingerprint, None)
    assert ban.reason == f"revoked over ACME by account {client.row.id}; reason 4 (superseded)"
    event = audit.events()[-1]
    assert event["event"] == "audit.revoke"
    assert event["outcome"] == "success"
    assert event["user"] == "machines"
    assert event["acme_account"] == client.row.id
    assert event["fingerprint"] == issued.fingerprint
    assert event["revocation_reason"] == "superseded"
    assert event["banned"] == "certificate"


def test_a_compromised_key_is_banned(services, client, issued):
    record = services.authority.inventory.find(issued.fingerprint)
    revoke(client, issued, reason=1)
    assert bans(services) == [("key", record.key)]


def test_the_key_of_a_certificate_revokes_it_and_is_banned(services, client, issued, key, audit):
    record = services.authority.inventory.find(issued.fingerprint)
    signer = jose_key(key)[0]
    revoke(client, issued, signer=signer, reason=5)
    [ban] = services.bans.all()
    assert (ban.kind, ban.value) == ("key", record.key)
    assert ban.reason.startswith("revoked over ACME by the certificate's key; reason 5 ")
    event = audit.events()[-1]
    assert (event["user"], event["credential"]) == ("machines", "certificate")
    assert "acme_account" not in event


def largest_rsa_key(exponent):
    """A key of 8192 bits, which takes 20 seconds to generate.

    The numbers of steps to the primes were found with Fermat's test.
    """
    p, q = (
        (int.from_bytes(hashlib.shake_256(seed).digest(512), "big") | 3 << 4094 | 1) + 2 * steps
        for seed, steps in ((b"p", 1749), (b"q", 897))
    )
    d = pow(exponent, -1, (p - 1) * (q - 1))
    crt = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, *crt, rsa.RSAPublicNumbers(exponent, p * q))
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


KEYS = {
    "RSA with 8192 bits": lambda: largest_rsa_key(65537),
    "RSA with 8192 bits and the exponent 3": lambda: largest_rsa_key(3),
    **{kind: functools.partial(shared_key, kind) for kind in ("rsa-2048", "ec-p384", "ec-p521")},
    "ed25519": lambda: shared_key("ed25519"),
}


@pytest.mark.parametrize("make", KEYS.values(), ids=KEYS)
def test_every_kind_of_key_revokes_its_certificate(serve, document, make):
    document["registration_authority"]["default"]["allowed_rsa_exponents"] = [3, 65537]
    acme = serve(acme_configuration(document), base_url=BASE_URL)
    services = acme.settings.acme["default"]
    key = make()
    issued = issue_for(services, add_account(services.orders.database), key=key)
    is_rsa = isinstance(key, rsa.RSAPrivateKey)
    # jose_key() would test whether the numbers are primes.
    signer, algorithm = (RSAKey(key, key), "RS256") if is_rsa else jose_key(key)

    payload = {"certificate": encoded(issued.certificate)}
    Client(acme.http).post("/revoke-cert", payload, key=signer, alg=algorithm, status=200)

    assert [kind for kind, _ in bans(services)] == ["key"]


def test_a_key_that_is_larger_than_any_with_a_certificate_is_refused(client, issued):
    jwk = {"kty": "RSA", "e": "AQAB", "n": encode_base64url(b"\1" + b"\xf1" * 1024)}
    payload = {"certificate": encoded(issued.certificate)}
    answer = client.post("/revoke-cert", payload, key=client.key, jwk=jwk)
    assert (answer.status_int, problem(answer)) == (400, "badPublicKey")
    assert "more than 8192 bits" in answer.json["detail"]


def test_a_banned_key_gets_no_certificate(acme, client, issued, key):
    revoke(client, issued, reason=1)
    answer = acme.sign(make_csr(key=key))
    assert answer.status_int == 400
    assert "the key is banned" in answer.text


def test_a_revoked_certificate_is_no_credential_for_the_next_one(acme, client):
    certificate = acme.issue(make_csr())
    renew_over_tls(acme, certificate, status=200)
    database = acme.settings.database
    add_order(database, client.row)
    answer = client.post("/revoke-cert", {"certificate": encoded(certificate)})
    # Its common name is in no authorization, as it is the only name.
    assert problem(answer) == "unauthorized"


def test_after_a_revocation_renewal_fails_and_a_new_request_does_not(acme, services, client):
    csr = make_csr("www.example.com", "www.example.com")
    certificate = acme.issue(csr)
    renew_over_tls(acme, certificate, csr, status=200)
    add_order(acme.settings.database, client.row)
    client.post("/revoke-cert", {"certificate": encoded(certificate)}, status=200)
    answer = renew_over_tls(acme, certificate, csr, status=400)
    assert "the certificate to renew was revoked, or is banned" in answer.text
    acme.issue(csr)


def test_twice_is_already_revoked(services, client, issued, audit):
    revoke(client, issued)
    assert problem(revoke(client, issued, status=400)) == "alreadyRevoked"
    assert len(bans(services)) == 1
    assert audit.events()[-1]["reasons"] == ["the certificate is revoked already"]


def test_a_revoked_certificate_can_still_be_reported_as_compromised(services, client, issued):
    revoke(client, issued)
    revoke(client, issued, reason=1)
    assert {kind for kind, _ in bans(services)} == {"certificate", "key"}
    assert problem(revoke(client, issued, reason=1, status=400)) == "alreadyRevoked"
    assert problem(revoke(client, issued, status=400)) == "alreadyRevoked"


@pytest.mark.parametrize("kind", ["certificate", "key"])
@pytest.mark.parametrize("reason", ["", "INC-1234"])
def test_a_ban_with_an_end_becomes_one_without_and_keeps_the_rest(
    services, client, issued, kind, reason
):
    record = services.authority.inventory.find(issued.fingerprint)
    value = {"certificate": record.fingerprint, "key": record.key}[kind]
    now = utc_now().replace(microsecond=0)
    temporary = Ban(kind=kind, value=value, since=now - DAY, until=now + DAY, reason=reason)
    services.bans.add(temporary)
    revoke(client, issued, reason=1 if kind == "key" else 0)
    [ban] = services.bans.all()
    assert (ban.kind, ban.value, ban.since, ban.until) == (kind, value, now - DAY, None)
    assert ban.reason.removeprefix("INC-1234; ").startswith("revoked over ACME by account")
    assert ban.reason.startswith(reason)


def test_a_ban_that_has_ended_leaves_its_reason_to_the_revocation(services, client, issued):
    now = utc_now().replace(microsecond=0)
    ended = Ban(
        kind="certificate",
        value=issued.fingerprint,
        since=now - 2 * DAY,
        until=now - DAY,
        reason="INC-1234",
    )
    services.bans.add(ended)
    revoke(client, issued)
    [ban] = services.bans.all()
    assert ban.since >= now
    assert ban.until is None
    assert ban.reason.startswith("INC-1234; revoked over ACME by account")


def test_a_stranger_may_not_revoke(acme, services, issued, audit):
    stranger = add_client(acme)
    assert problem(revoke(stranger, issued, status=403)) == "unauthorized"
    answer = revoke(stranger, issued, signer=stranger.key, status=403)
    assert problem(answer) == "unauthorized"
    assert bans(services) == []
    assert [event["outcome"] for event in audit.events()[-2:]] == ["failure", "failure"]


def test_an_account_with_authorizations_for_all_names_may_revoke(acme, services, client):
    names = ("a.example.com", "*.b.example.com", "192.0.2.1")
    issued = issue_for(services, client.row, *names)
    other = add_client(acme)
    database = acme.settings.database
    add_order(database, other.row, *names[:1])
    add_order(database, other.row, "b.example.com")
    assert problem(revoke(other, issued, status=403)) == "unauthorized"
    add_order(database, other.row, *names[1:2])
    add_order(database, other.row, names[2], expires=utc_now() - DAY)
    assert problem(revoke(other, issued, status=403)) == "unauthorized"
    add_order(database, other.row, names[2])
    revoke(other, issued)


@pytest.mark.parametrize("reason", REASONS)
def test_an_account_that_is_only_authorized_bans_no_key(acme, services, client, reason):
    key = make_key()
    csr = make_csr(None, "www.example.com", key=key)
    other = add_client(acme)
    add_order(acme.settings.database, other.row)
    for certificate in (
        x509.load_der_x509_certificate(issue_for(services, client.row, key=key).der),
        acme.issue(csr),
    ):
        payload = {"certificate": encoded(certificate), "reason": reason}
        other.post("/revoke-cert", payload, status=200)
        answer = other.post("/revoke-cert", payload, status=400)
        assert problem(answer) == "alreadyRevoked"

    assert [kind for kind, _ in bans(services)] == ["certificate", "certificate"]
    acme.issue(csr)


@pytest.mark.parametrize("reason", [2, 6, 7, 8, 10, 11, -1, 1 << 70])
def test_a_reason_that_is_not_for_clients_is_refused(services, client, issued, reason):
    answer = revoke(client, issued, reason=reason, status=400)
    assert problem(answer) == "badRevocationReason"
    assert "4 (superseded)" in answer.json["detail"]
    assert bans(services) == []


@pytest.mark.parametrize("reason", [*REASONS, None])
def test_each_reason_for_clients_is_accepted(services, client, issued, reason):
    revoke(client, issued, reason=reason)
    assert len(bans(services)) == 1


@pytest.mark.parametrize(
    "members",
    [
        {"reason": "1"},
        {"reason": True},
        {"reason": 1.0},
        {"certificate": None},
        {"certificate": 1},
        {"certificate": ""},
        {"certificate": "AAAA"},
        {"certificate": "-----BEGIN CERTIFICATE-----"},
    ],
)
def test_malformed_members_are_named(services, client, issued, members):
    answer = revoke(client, issued, status=400, **members)
    assert problem(answer) == "malformed"
    assert next(iter(members)) in answer.json["detail"]
    assert bans(services) == []


def test_the_certificate_of_another_ca_is_unknown(client, ca):
    payload = {"certificate": encoded(ca.certificate)}
    answer = client.post("/revoke-cert", payload, status=404)
    assert problem(answer) == "malformed"


def test_a_certificate_is_revoked_at_its_own_authority_only(serve, document):
    acme_configuration(document)
    authorities = document["registration_authority"]
    authorities["other"] = dict(authorities["default"])
    acme = serve(document, base_url=BASE_URL)
    key = make_key()
    account = add_account(acme.settings.database)
    issued = issue_for(acme.settings.acme["default"], account, key=key)
    other = Client(acme.http, jose_key(key)[0], authority="other")
    answer = other.post("/revoke-cert", {"certificate": encoded(issued.certificate)}, key=other.key)
    assert (answer.status_int, problem(answer)) == (404, "malformed")


def test_an_expired_certificate_is_revoked_too(serve, document):
    document["signing_ca"]["local"].update(valid_hours=0.001, min_valid_hours=0.001)
    acme = serve(acme_configuration(document), base_url=BASE_URL)
    services = acme.settings.acme["default"]
    client = add_client(acme)
    issued = issue_for(services, client.row)
    object.__setattr__(services, "clock", lambda: utc_now() + DAY)
    revoke(client, issued)
    assert bans(services) == [("certificate", issued.fingerprint)]


def test_a_revocation_that_cannot_be_recorded_holds_but_is_not_answered(
    services, client, issued, monkeypatch
):
    def fail(_event):
        raise AuditError("the disk is full")

    client.nonces = [client.nonce()]
    monkeypatch.setattr(services.authority.audit, "record", fail, raising=False)
    assert revoke(client, issued, status=500).json["type"] == f"{ERROR}serverInternal"
    assert bans(services) == [("certificate", issued.fingerprint)]


def test_a_page_explains_the_revocation(acme, client, issued):
    path = f"/acme/default/explanation/{certificate_id(issued.certificate)}"
    acme.http.get(path, status=404)
    revoke(client, issued, reason=9)
    answer = acme.http.get(path)
    assert answer.content_type == "text/plain"
    assert f"stays valid until {timestamp(issued.not_after)}" in " ".join(answer.text.split())
    assert issued.serial in answer.text
    # The reason of a ban is for operators.
    assert "privilegeWithdrawn" not in answer.text
    assert client.row.id not in answer.text


def test_the_page_tells_to_make_a_new_key(acme, client, issued):
    revoke(client, issued, reason=1)
    answer = acme.http.get(f"/acme/default/explanation/{certificate_id(issued.certificate)}")
    assert "make a new key" in answer.text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=5,
)


def refused(services, client, **members):
    """Require a problem, and that nothing is banned."""
    request = SignedRequest(
        url=f"{URL}/revoke-cert",
        payload=members,
        key=public_jwk(client.key),
        account=client.row,
    )
    with pytest.raises(AcmeProblem):
        revocation.revoke(services, request, Origin(address="192.0.2.7", request_id="1"))
    assert bans(services) == []


@settings(max_examples=examples(100), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(certificate=JSON, reason=JSON)
def test_members_of_any_type_are_a_problem(services, client, issued, certificate, reason):
    refused(services, client, certificate=certificate)
    assume(isinstance(reason, bool) or reason not in (None, *REASONS))
    refused(services, client, certificate=encoded(issued.certificate), reason=reason)


@settings(max_examples=examples(100), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_certificate_is_malformed_or_unknown(services, client, issued, data):
    der = bytearray(issued.der)
    der[data.draw(st.integers(0, len(der) - 1))] ^= data.draw(st.integers(1, 255))
    refused(services, client, certificate=encode_base64url(bytes(der)))
    end = data.draw(st.integers(1, len(der) - 1))
    refused(services, client, certificate=encode_base64url(issued.der[:end]))
    refused(services, client, certificate=encode_base64url(issued.der + b"\0"))
