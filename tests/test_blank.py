"""What is signed is written here; the builder of ``cryptography`` writes the very same octets."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from anchor.ca.blank import CertificateTemplate
from anchor.ca.template import extensions
from anchor.ca.verify_issued import verify_issued
from anchor.errors import UnreadableRequest
from anchor.X509 import der
from anchor.X509.ca_certificate import CACertificate
from anchor.X509.signatures import algorithm
from anchor.X509.signing_request import X509Csr
from tests.pki import DAY, KEY_KINDS, a_key, general_name, hash_for, make_ca, make_csr, subject

NOON = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC)
HASHES = (hashes.SHA224(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512())
SHA256 = hashes.SHA256()


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    return CACertificate.of(make_ca(tmp_path_factory.mktemp("ca")).certificate, ())


def blank_for(csr, issuer, serial_number=4711, begin=NOON, end=NOON + DAY):
    return CertificateTemplate(issuer, csr, serial_number, begin, end, extensions(csr, issuer))


def by_the_library(blank, key, signing_hash):
    builder = x509.CertificateBuilder(
        blank.issuer.certificate.subject,
        blank.csr.subject,
        blank.csr.public_key,
        blank.serial_number,
        blank.not_before,
        blank.not_after,
        list(blank.extensions),
    )
    return builder.sign(key, signing_hash if hash_for(key) else None)


def assert_the_same(blank, key, signing_hash=SHA256):
    ours = x509.load_der_x509_certificate(blank.sign(algorithm(key, signing_hash)))
    theirs = by_the_library(blank, key, signing_hash)
    assert ours.tbs_certificate_bytes == theirs.tbs_certificate_bytes
    assert ours.signature_algorithm_oid == theirs.signature_algorithm_oid
    # All around the signature, which ECDSA makes anew each time, is the same as well.
    assert ours.public_bytes(Encoding.DER).endswith(ours.signature)
    assert ours.signature_algorithm_parameters.__class__ is (
        theirs.signature_algorithm_parameters.__class__
    )


@pytest.mark.parametrize("signing_hash", HASHES, ids=lambda each: each.name)
@pytest.mark.parametrize("kind", KEY_KINDS)
def test_every_kind_of_ca_key_signs_with_every_hash(issuer, kind, signing_hash):
    assert_the_same(blank_for(X509Csr.from_pem(make_csr()), issuer), a_key(kind), signing_hash)


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_every_kind_of_requested_key_is_certified(issuer, kind):
    csr = X509Csr.from_pem(make_csr("www.example.com", "192.0.2.1", key=a_key(kind)))
    assert_the_same(blank_for(csr, issuer), a_key())


def test_a_key_of_another_kind_signs_nothing():
    with pytest.raises(UnsupportedAlgorithm):
        algorithm(x25519.X25519PrivateKey.generate(), SHA256)


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).with_name("vectors").glob("*.der")), ids=lambda path: path.name
)
def test_whatever_can_be_read_is_written_as_the_library_would(issuer, path):
    try:
        csr = X509Csr.from_der(path.read_bytes())
    except UnreadableRequest:
        return
    assert_the_same(blank_for(csr, issuer), a_key())


MOMENTS = st.datetimes(
    datetime.datetime(1950, 1, 1), datetime.datetime(9999, 12, 30), timezones=st.just(datetime.UTC)
).map(lambda moment: moment.replace(microsecond=0))
NAMES = st.lists(
    st.tuples(
        st.sampled_from([NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.LOCALITY_NAME]),
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=16),
    ),
    max_size=5,
)
USAGES = st.lists(st.booleans(), min_size=7, max_size=7).filter(any)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    serial_number=st.integers(1, (1 << 159) - 1),
    moments=st.tuples(MOMENTS, MOMENTS).map(sorted),
    names=NAMES,
    alternative_names=st.lists(st.from_regex(r"[a-z]{1,60}(\.[a-z]{1,60}){0,3}", fullmatch=True)),
    usages=USAGES,
    critical=st.booleans(),
)
def test_any_certificate_is_what_the_library_would_make(
    issuer, serial_number, moments, names, alternative_names, usages, critical
):
    wanted = [(x509.KeyUsage(*usages, False, False), critical)] if usages[4] is False else []
    csr = X509Csr.from_pem(make_csr(None, *alternative_names, extensions=wanted))
    csr = csr.with_subject(subject(None, *names))
    csr = csr.with_alternative_names([general_name(name) for name in alternative_names])
    blank = blank_for(csr, issuer, serial_number, *moments)

    assert_the_same(blank, a_key())


@given(st.integers(0, 1 << 200))
def test_integers_are_as_short_as_der_wants_them(number):
    octets = der.integer(number)

    assert octets[1] == len(octets) - 2
    assert number == int.from_bytes(octets[2:], "big", signed=True)
    assert octets[2:] == b"\0" or octets[2] or octets[3] & 0x80


@pytest.mark.parametrize(("size", "header"), [(0x7F, "7f"), (0x80, "8180"), (0x1234, "821234")])
def test_lengths_are_as_short_as_der_wants_them(size, header):
    assert der.value(4, bytes(size)) == bytes.fromhex(f"04{header}") + bytes(size)


def test_what_is_written_is_what_is_read_back(issuer, tmp_path):
    ca = make_ca(tmp_path)
    issuer = CACertificate.of(ca.certificate, ())
    blank = blank_for(X509Csr.from_pem(make_csr()), issuer)

    certificate = verify_issued(blank.sign(algorithm(ca.key, SHA256)), blank, issuer)

    assert certificate.serial_number == 4711
