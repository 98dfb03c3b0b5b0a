"""Which certificates can be renewed, for whom, and with which names."""

from __future__ import annotations

import datetime
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from anchor.store.bans import Ban
from anchor.store.database.bans import Bans
from anchor.store.database.certificates import Inventory
from anchor.store.database.tokens import Tokens
from anchor.store.record_reading import read_record
from tests.support import jwt
from tests.support.acme import (
    BASE_URL,
    acme_configuration,
    add_account,
    add_binding_token,
    issue_for,
)
from tests.support.clock import FixedClock
from tests.support.doors import RENEWALS, Visit
from tests.support.pki import DAY, assert_is_leaf, make_ca, make_csr, now, shared_key, subject
from tests.support.renewal import renew, renew_over_tls, renewed
from tests.support.service import Service
from tests.support.tokens import add_token, token_configuration
from tests.support.users import SECRET, user_line, write_users

HOUR = datetime.timedelta(hours=1)
NAME = "www.example.com"


@pytest.fixture
def clock():
    return FixedClock()


@pytest.fixture
def serve_at(tmp_path, clock):
    """Makes a service with the test's clock."""
    return lambda document: Service(tmp_path, document, clock=clock)


@pytest.fixture
def authority(document):
    """The section of the authority, which a test may change."""
    return document["registration_authority"]["default"]


def record_of(service, certificate):
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    return service.settings.authorities["default"].inventory.find(fingerprint)


def refusal(service, certificate, csr=None, **kwargs):
    return renew_over_tls(service, certificate, csr, status=401, **kwargs).text


# Which certificates


def test_a_certificate_of_another_authority_is_refused(serve, document, authority):
    document["registration_authority"]["other"] = authority
    service = serve(document)

    assert "not issued by this registration authority" in refusal(
        service, service.issue(authority="other")
    )


def test_a_certificate_of_another_ca_is_refused(serve, document, tmp_path):
    old = serve(document).issue()
    other = make_ca(tmp_path, name="Other CA")
    document["signing_ca"]["local"] |= {
        "cert_path": str(other.cert_path),
        "key_path": str(other.key_path),
    }

    assert "by a CA that this authority does not use" in refusal(serve(document), old)


def test_a_certificate_from_before_a_rollover_renews_after_it(serve_at, document, clock, tmp_path):
    second = make_ca(tmp_path, "ec-p384", name="Second CA", not_after=now() + 800 * DAY)
    document["signing_ca"]["local"]["next"] = {
        "from": (now() + HOUR).isoformat(),
        "cert_path": str(second.cert_path),
        "key_path": str(second.key_path),
    }
    service = serve_at(document)
    old = service.issue()
    clock.moment += 2 * HOUR

    new = renewed(service, old)

    assert_is_leaf(new, issued_by=second)
    assert_is_leaf(renewed(service, new), issued_by=second)


def certificate_of(ca):
    """A certificate that the CA's key has signed, but not for Anchor."""
    key = shared_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject(NAME))
        .issuer_name(ca.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - HOUR)
        .not_valid_after(now() + HOUR)
        .sign(ca.key, hashes.SHA256())
    )


def test_a_certificate_that_is_not_in_the_inventory_is_refused(service, ca):
    assert "not issued by this registration authority" in refusal(service, certificate_of(ca))
    answer = renew(service, certificate_of(ca), shared_key(), status=401)
    assert "not issued by this registration authority" in answer.text


def test_an_imported_certificate_without_a_requester_is_refused(service, ca):
    certificate = certificate_of(ca)
    inventory = Inventory(service.settings.database)
    inventory.add_all([read_record(certificate.public_bytes(Encoding.DER))])

    assert "not issued by this registration authority" in refusal(service, certificate)


@pytest.mark.parametrize("door", RENEWALS)
@pytest.mark.parametrize("has_token", [True, False])
def test_a_certificate_that_was_ordered_over_acme_is_no_credential(
    serve, document, door, has_token
):
    service = serve(acme_configuration(document), base_url=BASE_URL)
    database = service.settings.database
    token_id = add_binding_token(database)[0] if has_token else None
    account = add_account(database, token_id=token_id)
    issued = issue_for(service.settings.acme["default"], account, key=shared_key())
    old = x509.load_der_x509_certificate(issued.der)

    answer = getattr(Visit(service, make_csr(None, NAME), old), door)()

    assert answer.status_int == 401
    assert "the certificate was ordered over ACME: order the next one there" in answer.text


@pytest.mark.parametrize("text", ["no certificate", "-----BEGIN CERTIFICATE-----\nAA==\n"])
def test_a_client_certificate_that_is_none_is_no_fault_of_the_service(service, text):
    answer = service.http.post(
        "/v1/renew/default",
        {"encoding": "pem", "csr": make_csr()},
        extra_environ={"ANCHOR_CLIENT_CERTIFICATE": text},
        expect_errors=True,
    )

    assert 400 <= answer.status_int < 500


# When


@pytest.mark.parametrize("grace", [0, 6])
def test_a_certificate_renews_until_its_end_and_the_grace(
    serve_at, document, authority, clock, grace
):
    authority["renewal"] = {"grace_hours": grace}
    service = serve_at(document)
    old = service.issue()

    clock.moment = old.not_valid_after_utc + grace * HOUR
    renewed(service, old)

    clock.moment += datetime.timedelta(seconds=1)
    end = old.not_valid_after_utc.isoformat()[:19]
    assert f"the certificate has expired, at {end}Z" in refusal(service, old)


def test_a_certificate_that_is_not_valid_yet_is_refused(serve_at, document, clock):
    service = serve_at(document)
    old = service.issue()
    clock.moment = old.not_valid_before_utc - 2 * datetime.timedelta(minutes=1)

    assert "the certificate is not valid yet" in refusal(service, old)


def test_after_max_renewals_a_secret_is_needed_again(serve, document, authority):
    authority["renewal"] = {"max_renewals": 2}
    service = serve(document)
    certificate = service.issue()
    for _ in range(2):
        certificate = renewed(service, certificate)

    assert "comes from 2 renewals in a row, and the limit is 2" in refusal(service, certificate)
    renewed(service, service.issue())


def test_after_max_age_a_secret_is_needed_again(serve_at, document, authority, clock):
    authority["renewal"] = {"max_age_hours": 30}
    service = serve_at(document)
    first = certificate = service.issue()
    since = clock.moment
    for _ in range(3):
        clock.moment += 10 * HOUR
        certificate = renewed(service, certificate)

    clock.moment += datetime.timedelta(seconds=1)
    assert f"last showed a secret at {since.isoformat()[:19]}Z" in refusal(service, certificate)
    assert first.not_valid_after_utc < certificate.not_valid_after_utc


def test_the_lineage_is_recorded(serve_at, document, clock, audit):
    service = serve_at(document)
    first = service.issue()
    since = clock.moment
    clock.moment += HOUR
    second, twin = renewed(service, first), renewed(service, first)
    third = renewed(service, second)

    lineage = [record_of(service, each).issuance for each in (first, second, twin, third)]
    assert [issuance.renewals for issuance in lineage] == [0, 1, 1, 2]
    assert [issuance.lineage_since for issuance in lineage] == [None, since, since, since]
    origins = [None, *(record_of(service, each).fingerprint for each in (first, first, second))]
    assert [issuance.renewed_from for issuance in lineage] == origins
    assert [issuance.credential for issuance in lineage] == ["password", *["certificate"] * 3]
    signed = [event for event in audit.events() if event["event"] == "audit.sign"]
    assert [event.get("renewed_from") for event in signed] == origins
    assert [event.get("renewals") for event in signed] == [None, 1, 1, 2]


# Who


def test_the_requester_groups_and_identifiers_are_those_of_the_first_certificate(
    serve, document, authority, tmp_path
):
    write_users(tmp_path / "users", user_line("carol", groups=["Nova", "Ops"]))
    document["authentication"]["static"] = {"backend": "static", "users_file": "users"}
    authority["validators"] = {"server_group": {"group_prefixes": {"Nova": "nv", "DB": "db"}}}
    service = serve(document)
    csr = make_csr("nv-compute1.example.com")
    old = service.issue(csr, user="carol", secret=SECRET)

    new = record_of(service, renewed(service, old, csr)).issuance

    assert (new.requester, new.groups) == ("carol", ("Nova", "Ops"))
    assert new.authentication == "static"


def test_a_policy_for_groups_applies_to_renewals_as_it_is_now(serve, document, authority, tmp_path):
    write_users(tmp_path / "users", user_line("carol", groups=["Nova"]))
    document["authentication"]["static"] = {"backend": "static", "users_file": "users"}
    csr = make_csr("nv-compute1.example.com")
    old = serve(document).issue(csr, user="carol", secret=SECRET)
    authority["validators"] = {"server_group": {"group_prefixes": {"DB": "nv"}}}

    answer = renew_over_tls(serve(document), old, csr, status=400)

    assert "server_group" in answer.text


@pytest.fixture
def jobs(document, authority, tmp_path):
    """An authority that accepts JWTs, and names with a claim."""
    document["authentication"]["static"] = jwt.oidc_section(tmp_path, claims={"x": "/x"})
    authority["validators"] = {"requester_names": {"names": ["{claim:x}.example.com"]}}
    return document


def test_the_claims_of_a_jwt_bind_the_names_of_renewals_too(serve, jobs, authority):
    service = serve(jobs)
    csr = make_csr("shop.example.com", "shop.example.com")
    old = service.issue(csr, user=None, secret=jwt.make_token(x="shop"))

    new = renewed(service, old, csr)
    assert record_of(service, new).issuance.claims == {"x": "shop"}

    authority["validators"] = {"requester_names": {"names": ["{claim:x}-1.example.com"]}}
    answer = renew_over_tls(serve(jobs), new, csr, status=400)
    assert "requester_names" in answer.text


def test_the_names_of_a_token_limit_renewals_and_no_use_is_taken(serve, document, authority):
    token_configuration(document)
    authority["validators"] = {"requester_names": {"credential_names": "all"}}
    service = serve(document)
    token = add_token(service.settings.database, names=(NAME, "b.example.com"), uses=1)
    csr = make_csr(NAME, NAME, "b.example.com")
    old = service.issue(csr, **token)

    first = renewed(service, old, csr)
    second = renewed(service, first, csr)

    issuance = record_of(service, second).issuance
    assert issuance.allowed_names == (NAME, "b.example.com")
    assert issuance.token_id == token["user"]
    assert Tokens(service.settings.database).find(token["user"]).used == 1


def test_an_authority_that_renews_nothing_answers_403(serve, document, authority):
    old = serve(document).issue()
    authority["renewal"] = {"enabled": False}
    service = serve(document)

    for answer in (
        renew_over_tls(service, old, status=403),
        renew(service, old, shared_key(), status=403),
    ):
        assert "renews no certificates without a secret" in answer.text


def test_an_authentication_that_was_renamed_or_removed_renews_nothing(serve, document, authority):
    old = serve(document).issue()
    document["authentication"]["renamed"] = document["authentication"].pop("static")
    authority["authentication"] = "renamed"

    assert "an authentication that this authority no longer has" in refusal(serve(document), old)


def test_an_authority_that_was_renamed_renews_nothing(serve, document):
    old = serve(document).issue()
    authorities = document["registration_authority"]
    authorities["renamed"] = authorities.pop("default")

    assert "not issued by this registration authority" in refusal(
        serve(document), old, authority="renamed"
    )


def key_hash(key):
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


BANS = {
    "the old key": ("key", lambda: key_hash(shared_key())),
    "the new key": ("key", lambda: key_hash(shared_key("ec-p384"))),
    "the requester": ("requester", lambda: "ALICE"),
    "a name": ("name", lambda: NAME),
    "a name that is left out": ("name", lambda: "b.example.com"),
    "a domain": ("name", lambda: ".example.com"),
}


@pytest.mark.parametrize("banned", BANS)
def test_a_ban_ends_renewals(serve, document, authority, banned):
    authority["renewal"] = {"allow_fewer_names": True}
    service = serve(document)
    old = service.issue(make_csr(NAME, NAME, "b.example.com"))
    kind, value = BANS[banned]
    bans = Bans(service.settings.database)
    bans.add(Ban(kind=kind, value=value().lower(), since=now()))
    csr = make_csr(NAME, NAME, key=shared_key("ec-p384"))

    assert "not_banned" in renew_over_tls(service, old, csr, status=400).text

    bans.remove(kind, value().lower())
    renewed(service, old, csr)


def test_a_ban_of_a_certificate_ends_its_renewals_and_no_others(service):
    old = service.issue()
    other = service.issue()
    new = renewed(service, old)
    fingerprint = old.fingerprint(hashes.SHA256()).hex()
    Bans(service.settings.database).add(Ban(kind="certificate", value=fingerprint, since=now()))

    refused = "not_banned: the certificate to renew was revoked, or is banned"
    assert refused in renew_over_tls(service, old, status=400).text
    assert refused in renew(service, old, shared_key(), status=400).text
    renewed(service, other)
    # The renewals of before are other certificates: anchor certs --renewed-from lists them.
    renewed(service, new)
    service.issue()


def test_a_ban_of_a_key_does_not_follow_its_successors(service):
    """Bans of the requester or of the name do: doc/source/explanation/security-model.rst."""
    old = service.issue()
    new = renewed(service, old, make_csr(key=shared_key("ec-p384")))
    bans = Bans(service.settings.database)
    bans.add(Ban(kind="key", value=key_hash(shared_key()), since=now()))

    assert "not_banned" in renew_over_tls(service, old, status=400).text
    renewed(service, new, make_csr(key=shared_key("ec-p384")))
    bans.add(Ban(kind="requester", value="alice", since=now()))
    csr = make_csr(key=shared_key("ec-p384"))
    assert "not_banned" in renew_over_tls(service, new, csr, status=400).text


# Names and keys

TWO = (NAME, NAME, "b.example.com")


@pytest.mark.parametrize(
    "names",
    [
        TWO,
        (NAME, "b.example.com", NAME),
        (NAME, NAME, "B.Example.COM"),
        (NAME, NAME, "b.example.com", NAME),
    ],
)
def test_the_same_names_in_another_order_or_case_are_the_same(service, names):
    old = service.issue(make_csr(*TWO))

    renewed(service, old, make_csr(*names))


@pytest.mark.parametrize(
    "names",
    [
        (NAME, NAME),
        (NAME,),
        (*TWO, "c.example.com"),
        (NAME, NAME, "c.example.com"),
        (NAME, NAME, "b.example.com", "192.0.2.1"),
        (NAME, NAME, x509.RFC822Name("b.example.com")),
        ("b.example.com", NAME, "b.example.com"),
        ("WWW.example.com", NAME, "b.example.com"),
        (None, NAME, "b.example.com"),
        (NAME, NAME, "*.example.com"),
        (NAME, NAME, "b.example.com."),
    ],
)
def test_other_names_are_refused(service, names):
    old = service.issue(make_csr(*TWO))

    answer = renew_over_tls(service, old, make_csr(*names), status=400)

    assert "renewed_names" in answer.text or "standards" in answer.text


def test_fewer_names_are_accepted_by_option_and_do_not_come_back(serve, document, authority):
    authority["renewal"] = {"allow_fewer_names": True}
    service = serve(document)
    old = service.issue(make_csr(*TWO))

    new = renewed(service, old, make_csr(NAME, NAME))

    for csr in (make_csr(*TWO), make_csr("b.example.com", NAME), make_csr(None, NAME)):
        answer = renew_over_tls(service, new, csr, status=400)
        assert "renewed_names" in answer.text


def csr_with_organization():
    return (
        x509.CertificateSigningRequestBuilder(subject(NAME, (NameOID.ORGANIZATION_NAME, "Example")))
        .sign(shared_key(), hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


def test_names_are_compared_after_the_fixups(serve, document, authority):
    """The policy drops the organization and adds the common name as an alternative name."""
    authority["fixups"] = {"enforce_alternative_names_present": {}}
    service = serve(document)
    old = service.issue(csr_with_organization())

    new = renewed(service, old, csr_with_organization())

    assert (new.subject, len(new.extensions)) == (old.subject, len(old.extensions))
    renewed(service, new, make_csr(NAME))
    renewed(service, new, make_csr(NAME, NAME))


def test_a_policy_that_changes_the_names_by_now_refuses_the_renewal(serve, document, authority):
    old = serve(document).issue(make_csr(NAME))
    authority["fixups"] = {"enforce_alternative_names_present": {}}

    answer = renew_over_tls(serve(document), old, make_csr(NAME), status=400)

    assert "not have names that the old certificate does not have" in answer.text


@pytest.mark.parametrize("kind", ["rsa-2048", "ec-p384", "ec-p521", "ed25519"])
def test_the_new_key_may_be_of_another_kind(service, kind):
    old = service.issue(make_csr(NAME))
    csr = make_csr(NAME, key=shared_key(kind))

    answer = renew(service, old, shared_key(), csr, status=200)

    new = x509.load_pem_x509_certificate(answer.body)
    assert key_hash(shared_key(kind)) == record_of(service, new).key
    renew(service, new, shared_key(kind), make_csr(NAME), status=200)
