"""From a request to a certificate, through the WSGI application."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support.pki import (
    DAY,
    KEY_KINDS,
    assert_is_leaf,
    make_ca,
    make_csr,
    names_of,
    now,
    shared_key,
)


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_every_kind_of_key_is_certified(service, ca, kind):
    certificate = service.issue(
        make_csr("host.example.com", "host.example.com", key=shared_key(kind))
    )

    assert_is_leaf(certificate, issued_by=ca)
    assert certificate.public_key() == shared_key(kind).public_key()
    assert names_of(certificate) == ["host.example.com"]


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_every_kind_of_ca_key_signs(serve, document, tmp_path, kind):
    ca = make_ca(tmp_path, kind, name=kind)
    document["signing_ca"]["local"] |= {
        "cert_path": str(ca.cert_path),
        "key_path": str(ca.key_path),
        "signing_hash": "sha384",
    }

    certificate = serve(document).issue()

    assert_is_leaf(certificate, issued_by=ca)
    used = certificate.signature_hash_algorithm
    assert (used and used.name) == (None if kind.startswith("ed") else "sha384")


def test_the_certificate_is_stored_by_fingerprint_before_the_response(service):
    certificate = service.issue()

    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    stored = (service.path / "certs" / f"{fingerprint}.crt").read_bytes()
    assert certificate == x509.load_pem_x509_certificate(stored)
    assert [f"{fingerprint}.crt"] == [path.name for path in (service.path / "certs").glob("*.crt")]


@pytest.mark.parametrize(("hours", "seconds"), [(24, 86400), (0.5, 1800), (1.0003, 3601)])
def test_validity_counts_from_the_moment_of_issue_inclusively(serve, document, hours, seconds):
    document["signing_ca"]["local"]["valid_hours"] = hours

    before = now()
    certificate = serve(document).issue()
    after = now()

    moment = certificate.not_valid_before_utc + datetime.timedelta(seconds=60)
    assert before <= moment <= after
    inclusive = certificate.not_valid_after_utc - moment + datetime.timedelta(seconds=1)
    assert inclusive == datetime.timedelta(seconds=seconds)


def test_backdating_is_configurable(serve, document):
    document["signing_ca"]["local"] |= {"backdate_seconds": 0, "valid_hours": 1}

    certificate = serve(document).issue()

    validity = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert validity == datetime.timedelta(seconds=3599)


def test_a_certificate_ends_with_the_ca_and_the_log_says_so(serve, document, tmp_path, caplog):
    ca = make_ca(tmp_path, name="ending", not_after=now() + datetime.timedelta(hours=2))
    document["signing_ca"]["local"] |= {
        "cert_path": str(ca.cert_path),
        "key_path": str(ca.key_path),
    }

    certificate = serve(document).issue()

    assert certificate.not_valid_after_utc == ca.certificate.not_valid_after_utc
    assert "cut to the end of the CA" in caplog.text


@pytest.mark.parametrize(("floor", "status"), [(None, 500), (0.25, 200)])
def test_a_ca_that_expires_within_the_minimum_signs_nothing(
    serve, document, tmp_path, caplog, floor, status
):
    ca = make_ca(tmp_path, name="ending", not_after=now() + datetime.timedelta(minutes=30))
    document["signing_ca"]["local"] |= {
        "cert_path": str(ca.cert_path),
        "key_path": str(ca.key_path),
    }
    if floor is not None:
        document["signing_ca"]["local"]["min_valid_hours"] = floor

    service = serve(document)
    answer = service.sign(status=status)

    if status == 500:
        assert "internal error" in answer.text
        assert "replace the CA" in caplog.text
        assert list((service.path / "certs").iterdir()) == []


def test_a_service_of_short_certificates_is_ready_as_long_as_it_issues(serve, document, tmp_path):
    ca = make_ca(tmp_path, name="ending", not_after=now() + datetime.timedelta(minutes=30))
    document["signing_ca"]["local"] |= {
        "cert_path": str(ca.cert_path),
        "key_path": str(ca.key_path),
        "valid_hours": 0.25,
    }

    service = serve(document)
    service.issue()

    service.http.get("/readyz", status=200)


def test_a_certificate_never_outlives_a_certificate_of_the_chain(serve, document, tmp_path):
    root = make_ca(tmp_path, name="root", not_after=now() + datetime.timedelta(hours=3))
    intermediate = make_ca(tmp_path, name="intermediate", issuer=root, not_after=now() + 90 * DAY)
    document["signing_ca"]["local"] |= {
        "cert_path": str(intermediate.cert_path),
        "key_path": str(intermediate.key_path),
        "chain_path": str(root.cert_path),
    }

    certificate = serve(document).issue()

    assert certificate.not_valid_after_utc == root.certificate.not_valid_after_utc


def test_only_names_usages_and_key_are_copied_from_the_request(service, audit, ca):
    usage = x509.KeyUsage(True, False, True, False, False, False, False, False, False)
    extended = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    forged = x509.SubjectKeyIdentifier(b"\x01" * 20)
    policies = x509.CertificatePolicies(
        [x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), None)]
    )
    csr = make_csr(
        "www.example.com",
        "www.example.com",
        "192.0.2.1",
        extensions=[usage, extended, forged, policies, x509.BasicConstraints(False, None)],
    )

    certificate = service.issue(csr)

    assert_is_leaf(certificate, issued_by=ca)
    values = {extension.oid: extension.value for extension in certificate.extensions}
    own_identifier = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
    assert {
        x509.BasicConstraints.oid,
        x509.SubjectKeyIdentifier.oid,
        x509.AuthorityKeyIdentifier.oid,
        x509.SubjectAlternativeName.oid,
        x509.KeyUsage.oid,
        x509.ExtendedKeyUsage.oid,
    } == set(values)
    assert own_identifier == values[x509.SubjectKeyIdentifier.oid]
    assert usage == values[x509.KeyUsage.oid]
    assert extended == values[x509.ExtendedKeyUsage.oid]
    ca_identifier = ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    found = values[x509.AuthorityKeyIdentifier.oid].key_identifier
    assert ca_identifier.value.digest == found
    assert audit.events()[-1]["dropped_extensions"] == ["2.5.29.32"]


def test_subject_alternative_name_is_critical_only_without_a_subject(service):
    named = service.issue(make_csr("a.example.com", "a.example.com"))
    nameless = service.issue(make_csr(None, "a.example.com"))

    critical = [
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical
        for certificate in (named, nameless)
    ]
    assert critical == [False, True]


def test_the_same_request_twice_gets_two_certificates(service):
    csr = make_csr()

    first, second = service.issue(csr), service.issue(csr)

    assert first.serial_number != second.serial_number
    assert len(list((service.path / "certs").glob("*.crt"))) == 2


def test_both_steps_of_a_success_are_recorded(service, audit):
    certificate = service.issue(make_csr("www.example.com", "www.example.com"))

    authentication, signing = audit.events()
    assert (authentication["event"], authentication["outcome"]) == ("audit.auth", "success")
    assert (signing["event"], signing["outcome"]) == ("audit.sign", "success")
    assert authentication["request_id"] == signing["request_id"]
    assert signing["user"] == "alice"
    assert signing["address"] == "192.0.2.7"
    assert signing["authority"] == "default"
    assert signing["names"] == ["DNS:www.example.com"]
    assert signing["serial"] == f"{certificate.serial_number:x}"
    assert signing["fingerprint"] == certificate.fingerprint(hashes.SHA256()).hex()
    assert signing["not_after"] == certificate.not_valid_after_utc.isoformat()


def test_failures_are_recorded_with_reasons_and_without_secrets(service, audit, caplog):
    service.sign(secret="hunter2-wrong", status=401)
    service.sign(b"-----BEGIN nonsense", status=400)

    failed = [event for event in audit.events() if event["outcome"] == "failure"]
    assert [event["event"] for event in failed] == ["audit.auth", "audit.sign"]
    assert all(event["reasons"] for event in failed)
    assert "hunter2" not in caplog.text
    assert "s3cret" not in caplog.text
