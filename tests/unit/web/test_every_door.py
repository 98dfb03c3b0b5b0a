"""One policy for every door: each refusal has its status, issues nothing and costs nothing."""

from __future__ import annotations

import contextlib
import copy
import datetime
import functools
import hashlib
import logging
import shutil
import time
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from anchor.errors import AuditError, DatabaseUnavailable
from anchor.policy import mandatory_checks
from anchor.store.bans import Ban
from anchor.store.database.bans import Bans
from anchor.timestamps import utc_now
from anchor.X509 import weak_keys
from tests.support import jwt
from tests.support.acme import BASE_URL
from tests.support.doors import (
    DOORS,
    RENEWALS,
    WITH_TOKEN,
    Visit,
    configuration,
    failed_checks,
    forget,
    good_csr,
    stored,
)
from tests.support.pki import make_ca, make_csr, now, shared_key
from tests.support.renewal import der
from tests.support.service import Service, small_configuration

NAME = "www.example.com"
HOUR = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class Case:
    """A refusal.

    Attributes:
        csr: makes the request, from the world of the tests.
        first: makes the request for the certificate to renew; by default the same.
        status: the status of the answer.
        change: changes the configuration, from the document and the world.
        during: prepares the service for the time of the requests.
        doors: the doors that the refusal concerns.
        names: the limit of the token.
        ahead: how far the clock of the service is ahead of the machine's.
        is_stored: True if the certificate is in the inventory, but not answered.
    """

    csr: Any = lambda _: good_csr()
    first: Any = None
    status: int = 400
    change: Any = lambda _document, _world: None
    during: Any = lambda _service, _patch: contextlib.nullcontext()
    doors: tuple[str, ...] = DOORS
    names: tuple[str, ...] | None = None
    ahead: datetime.timedelta = datetime.timedelta(0)
    is_stored: bool = False


def good(_world):
    return good_csr()


def validators(**options):
    """A change of the configuration: these are the only validators."""

    def change(document, world):
        section = {
            name: value(world) if callable(value) else value for name, value in options.items()
        }
        document["registration_authority"]["default"]["validators"] = section

    return change


def fixups(**options):
    def change(document, _world):
        document["registration_authority"]["default"]["fixups"] = options

    return change


def with_extension(extension, *, critical=False):
    return lambda _world: make_csr(NAME, NAME, extensions=[(extension, critical)])


def broken_signature(_world):
    octets = bytearray(der(make_csr(NAME, NAME, key=shared_key("rsa-2048"))))
    octets[-1] ^= 1
    return x509.load_der_x509_csr(bytes(octets)).public_bytes(Encoding.PEM)


def replace_ca(**changes):
    """A change of the configuration: the same CA with another certificate."""

    def change(document, world):
        path = world.path / "changed.crt"
        path.write_bytes(changed_ca(world.ca, **changes).public_bytes(Encoding.PEM))
        document["signing_ca"]["local"]["cert_path"] = str(path)

    return change


def changed_ca(ca, *, not_after=None, constraints=None):
    old = ca.certificate
    builder = x509.CertificateBuilder(
        old.issuer,
        old.subject,
        old.public_key(),
        x509.random_serial_number(),
        old.not_valid_before_utc,
        not_after or old.not_valid_after_utc,
        list(old.extensions),
    )
    if constraints:
        builder = builder.add_extension(constraints, True)
    return builder.sign(ca.key, hashes.SHA256())


def blocklist(world):
    """The options of compromised_keys, with the key of the requests."""
    number = shared_key().public_key().public_numbers().x
    digest = hashlib.sha256(number.to_bytes(32, "big").lstrip(b"\0")).digest()[:15]
    path = world.path / "blocklist.dat"
    path.write_bytes(digest + b"\1")
    return {"blocklist": str(path)}


MANDATORY = {
    "proof_of_possession": Case(broken_signature, first=good),
    "strong_key": Case(lambda world: make_csr(NAME, NAME, key=world.ca.key), first=good),
    "allowed_names": Case(
        lambda _: make_csr("b.example.com", "b.example.com"),
        first=good,
        names=(NAME,),
        doors=(*WITH_TOKEN, *RENEWALS),
    ),
    "critical_extensions": Case(
        with_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), critical=True
        ),
        first=good,
    ),
    "never_a_ca": Case(
        with_extension(x509.BasicConstraints(ca=True, path_length=None)), first=good
    ),
    "an_intermediate": Case(change=validators(ca_status={"ca_requested": True})),
    "printable_names": Case(lambda _: make_csr("www\x07.example.com"), first=good),
    "a_name": Case(lambda _: make_csr(None), first=good),
    "named_attributes": Case(change=fixups(third_party_organisation={"name": "Example"})),
    "name_constraints": Case(
        change=replace_ca(constraints=x509.NameConstraints([x509.DNSName("example.org")], None))
    ),
    "own_name": Case(
        lambda _: make_csr(
            "Test CA",
            extensions=[(x509.BasicConstraints(ca=True, path_length=0), True)],
        ),
        first=good,
        change=validators(ca_status={"ca_requested": True}),
        doors=WITH_TOKEN,
    ),
    "renewed_names": Case(
        lambda _: make_csr("b.example.com", "b.example.com"), first=good, doors=RENEWALS
    ),
}

DIGITAL_SIGNATURE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
OTHERS = {"allowed_domains": [".example.org"]}
VALIDATORS = {
    "alternative_names": Case(change=validators(alternative_names=OTHERS)),
    "alternative_names_ip": Case(change=validators(alternative_names_ip=OTHERS)),
    "blacklist_names": Case(change=validators(blacklist_names={"domains": [".example.com"]})),
    "ca_status": Case(
        with_extension(x509.BasicConstraints(ca=True, path_length=None)),
        first=good,
        change=validators(ca_status={"ca_requested": False}),
    ),
    "common_name": Case(change=validators(common_name=OTHERS)),
    "compromised_keys": Case(change=validators(compromised_keys=blocklist)),
    "ext_key_usage": Case(
        with_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])),
        change=validators(ext_key_usage={"allowed_usage": ["serverAuth"]}),
    ),
    "extensions": Case(
        with_extension(x509.TLSFeature([x509.TLSFeatureType.status_request])),
        change=validators(extensions={"allowed_extensions": ["subjectAltName"]}),
    ),
    "key_usage": Case(
        with_extension(DIGITAL_SIGNATURE),
        change=validators(key_usage={"allowed_usage": ["keyAgreement"]}),
    ),
    "public_key": Case(change=validators(public_key={"allowed_keys": {"RSA": 3072}})),
    "requester_names": Case(
        change=validators(requester_names={"names": ["{username}.example.org"]})
    ),
    "server_group": Case(
        lambda _: make_csr("nv-a.example.com"),
        change=validators(server_group={"group_prefixes": {"Nova": "nv"}}),
    ),
    "source_cidrs": Case(change=validators(source_cidrs={"cidrs": ["198.51.100.0/24"]})),
    "standards_compliance": Case(
        lambda _: make_csr("www1.example.com"),
        change=validators(standards_compliance={"label_re": "[a-z]+"}),
    ),
    "subject_attributes": Case(
        change=validators(subject_attributes={"allowed": {"C": ["DE"]}, "required": ["C"]})
    ),
    "whitelist_names": Case(
        change=validators(whitelist_names={"names": ["b.example.com"], "allow_cn_id": True})
    ),
}


def banned(kind, *values):
    @contextlib.contextmanager
    def during(service, _patch):
        for value in values:
            ban = Ban(kind=kind, value=value() if callable(value) else value, since=now())
            Bans(service.settings.database).add(ban)
        yield

    return during


def key_hash():
    public = shared_key().public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


@contextlib.contextmanager
def too_many_failures(service, _patch):
    """One failure of each authentication, where one is too many."""
    token = jwt.make_token(key=jwt.make_key(name="2"))
    for user, secret in (("alice", "wrong"), ("tk_" + "a" * 16, "ats_wrong"), ("", token)):
        service.sign(user=user, secret=secret)
    yield


def one_failure(document, _world):
    authority = document["registration_authority"]["default"]
    authority |= {"max_failures": 1, "max_address_failures": 1}


def raising(error):
    def fail(*_arguments, **_options):
        raise error

    return fail


@contextlib.contextmanager
def database_away(_service, patch):
    for method in ("read", "write", "transaction"):
        patch.setattr(
            f"anchor.store.database.engine.Database.{method}",
            raising(DatabaseUnavailable("the database is away")),
        )
    yield
    patch.undo()


@contextlib.contextmanager
def audit_off(_service, patch):
    patch.setattr(logging.getLogger("anchor.audit"), "level", logging.CRITICAL)
    logging.getLogger("anchor.audit").manager._clear_cache()
    yield
    patch.undo()
    logging.getLogger("anchor.audit").manager._clear_cache()


@contextlib.contextmanager
def signings_not_recorded(service, patch):
    kind = type(service.settings.authorities["default"].audit)
    record = kind.record

    def fail_for_signings(self, event):
        if event.kind == "audit.sign":
            raise AuditError("the disk is full")
        record(self, event)

    patch.setattr(kind, "record", fail_for_signings)
    yield
    patch.undo()


@contextlib.contextmanager
def no_output_directory(service, _patch):
    shutil.rmtree(service.path / "certs")
    yield
    (service.path / "certs").mkdir()


@contextlib.contextmanager
def broken_signer(service, patch):
    [generation] = service.settings.authorities["default"].signing_ca.generations
    patch.setattr(type(generation.signer), "issue", raising(RuntimeError("no slot")))
    yield
    patch.undo()


FAULTS = {
    "ban of the name": Case(during=banned("name", NAME)),
    "ban of the key": Case(during=banned("key", key_hash)),
    "ban of the requester": Case(during=banned("requester", "alice", "web1")),
    # An account of ACME was bound to its token before: nobody guesses its key.
    "throttle": Case(
        status=429,
        change=one_failure,
        during=too_many_failures,
        doors=tuple(door for door in DOORS if door != "acme"),
    ),
    "expired CA": Case(status=500, change=replace_ca(not_after=now() + HOUR), ahead=2 * HOUR),
    "database away": Case(status=503, during=database_away),
    "audit that takes nothing": Case(status=500, during=audit_off),
    "audit of the signing fails": Case(status=500, during=signings_not_recorded, is_stored=True),
    "no output directory": Case(status=500, during=no_output_directory, is_stored=True),
    "signer fails": Case(status=500, during=broken_signer),
}

CASES = MANDATORY | VALIDATORS | FAULTS


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A directory with a CA, and a service that signs everything; it is made on first use."""
    path = tmp_path_factory.mktemp("doors")
    ca = make_ca(path)
    document = configuration(small_configuration(ca), path)
    world = SimpleNamespace(path=path, ca=ca, document=document)
    world.permissive = functools.cache(lambda: Service(path, document, base_url=BASE_URL))
    yield world
    world.permissive().settings.database.close()


@pytest.fixture
def world(shared):
    yield shared
    forget(shared.permissive().settings.database)


def first_certificate(world, case):
    """The certificate to renew, from a policy that allows it."""
    service = world.permissive()
    csr = (case.first or case.csr)(world)
    if case.names:
        token = Visit(service, csr, service.issue(good_csr()), case.names).token
        return service.issue(csr, **token)
    return service.issue(csr)


@pytest.mark.parametrize("name", CASES)
def test_every_door_refuses_issues_nothing_and_costs_nothing(world, monkeypatch, name):
    case = CASES[name]
    old = first_certificate(world, case)
    forget(world.permissive().settings.database)
    document = copy.deepcopy(world.document)
    case.change(document, world)
    # A service does not start with an expired CA: its clock is set after the start.
    ahead = [datetime.timedelta(0)]
    service = Service(world.path, document, clock=lambda: utc_now() + ahead[0], base_url=BASE_URL)
    ahead[0] = case.ahead
    at = int(time.time() + case.ahead.total_seconds())
    visit = Visit(service, case.csr(world), old, case.names, now=at)
    before = stored(service)

    with case.during(service, monkeypatch):
        answers = {door: getattr(visit, door)() for door in case.doors}

    assert {door: answer.status_int for door, answer in answers.items()} == dict.fromkeys(
        case.doors, case.status
    )
    for door, answer in answers.items():
        assert b"BEGIN" not in answer.body, door
        if name in MANDATORY | VALIDATORS:
            assert f"{name}: " in failed_checks(answer), door
    # Each door has at most one certificate that nobody got.
    assert stored(service) == before + len(case.doors) * case.is_stored
    assert visit.spent() == 0
    assert visit.order_is_ready()
    service.settings.database.close()


def test_every_door_issues_a_certificate_for_a_good_request(world):
    service = world.permissive()
    old = service.issue(good_csr())

    for door in DOORS:
        before = stored(service)
        answer = getattr(Visit(service, good_csr(), old), door)()
        assert (answer.status_int, stored(service)) == (200, before + 1), door


def test_every_mandatory_check_and_every_validator_has_a_case():
    checks = [
        *mandatory_checks.key_checks(frozenset(), weak_keys.Allowed()),
        *mandatory_checks.content_checks(intermediate=True),
        *mandatory_checks.content_checks(intermediate=False),
        *mandatory_checks.result_checks(),
    ]
    # The three bans are the cases of this check.
    assert {check.name for check in checks} - {"not_banned"} == set(MANDATORY)
    shipped = {
        point.name
        for point in entry_points(group="anchor.validators")
        if point.module.startswith("anchor.")
    }
    assert shipped == set(VALIDATORS)
