"""A signed certificate is compared with the approved template before it is sent."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.ca.profile import Profile
from anchor.ca.template import build_template
from anchor.ca.verify_issued import verify_issued
from anchor.errors import SigningError
from anchor.timestamps import utc_now
from anchor.X509.ca_certificate import CACertificate
from anchor.X509.csr_reader import read_csr
from anchor.X509.signing_request import X509Csr
from tests.support.pki import make_ca, make_csr, make_key, subject

HOUR = datetime.timedelta(hours=1)


def unchanged(thing):
    return thing


@pytest.fixture
def issue(tmp_path):
    """Builds, signs and verifies a certificate; each step can be tampered with."""
    ca = make_ca(tmp_path)
    issuer = CACertificate.of(ca.certificate, ())
    profile = Profile(HOUR, HOUR, HOUR, hashes.SHA256())
    csr = read_csr(make_csr("www.example.com", "www.example.com", key=make_key()), "pem")

    def once(change=unchanged, *, key=ca.key, afterwards=unchanged):
        template = build_template(csr, issuer, profile, utc_now())
        der = change(template).sign(key, profile.signing_hash).public_bytes(Encoding.DER)
        certificate = x509.load_der_x509_certificate(afterwards(der))
        verify_issued(certificate, template)
        return template, certificate

    return once


def test_certificates_for_one_request_have_different_serial_numbers(issue):
    numbers = set()
    for _ in range(300):
        template, certificate = issue()
        numbers.add(certificate.serial_number)
        assert certificate.serial_number == template.serial_number
    assert len(numbers) == 300


DIFFERENT = {
    "a serial number": (lambda it: replace(it, serial_number=4711), "serial number"),
    "a beginning": (lambda it: replace(it, not_before=it.not_before - HOUR), "not before"),
    "an end": (lambda it: replace(it, not_after=it.not_after + HOUR), "not after"),
    "a subject": (
        lambda it: replace(it, csr=it.csr.with_subject(subject("other.example.com"))),
        "subject",
    ),
    "a key": (
        lambda it: replace(it, csr=X509Csr.from_pem(make_csr(key=make_key()))),
        "public key",
    ),
    "no extensions": (lambda it: replace(it, extensions=()), "extensions"),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_contents_that_differ_from_the_approved_ones_are_rejected(issue, what):
    change, field = DIFFERENT[what]
    with pytest.raises(SigningError, match=f"differs from what was approved: .*'{field}'"):
        issue(change)


def test_a_signature_by_another_key_is_rejected(issue):
    with pytest.raises(SigningError, match="does not verify"):
        issue(key=make_key())


def test_another_issuer_name_is_rejected(issue, tmp_path):
    other = CACertificate.of(make_ca(tmp_path, name="Other CA").certificate, ())
    with pytest.raises(SigningError, match="not issued in the CA's name"):
        issue(lambda it: replace(it, issuer=other))


def test_a_wrong_signature_algorithm_is_rejected(issue):
    """The outer signatureAlgorithm, which is not signed, is checked too."""
    sha256, sha512 = bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06082a8648ce3d040304")

    def mislabelled(octets):
        signed, _, signature = octets.rpartition(sha256)
        return signed + sha512 + signature

    with pytest.raises(SigningError, match="does not verify"):
        issue(afterwards=mislabelled)
