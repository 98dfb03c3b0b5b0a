"""EST messages are base64 in the layout that clients read, and tolerant of any whitespace."""

from __future__ import annotations

import base64
import re
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import AttributeOID
from hypothesis import given
from hypothesis import strategies as st

from anchor.errors import UnreadableRequest
from anchor.est.messages import certs_only, encode, parse_request
from tests.support.paths import ROOT
from tests.support.pki import make_csr, shared_key, subject

CSR = x509.load_pem_x509_csr(make_csr())
DER = CSR.public_bytes(Encoding.DER)
BASE64 = base64.b64encode(DER)
CHANGE_SUBJECT_NAME = x509.ObjectIdentifier("1.3.6.1.5.5.7.7.36")
NOTHING = ("", " ", "\n", "\r\n\t", "\v\f")
NO_BASE64 = ("nonsense!", "Ä", "TUlJ=TUlJ", "TUl", "TUlJ\0", "<html>", "csr=TUlJ", "%4D%49")


def with_attribute(oid, value=b"secret"):
    builder = x509.CertificateSigningRequestBuilder(subject("www.example.com"))
    signed = builder.add_attribute(oid, value).sign(shared_key(), SHA256())
    return signed.public_bytes(Encoding.DER)


@given(st.lists(st.integers(0, len(BASE64))), st.text(" \t\r\n\v\f", min_size=1, max_size=3))
def test_any_whitespace_layout_decodes_to_the_same_request(places, blanks):
    text = BASE64
    for place in sorted(places, reverse=True):
        text = text[:place] + blanks.encode() + text[place:]

    assert DER == parse_request(text).submitted.der


@pytest.mark.parametrize("body", [DER, CSR.public_bytes(Encoding.PEM), BASE64])
def test_der_pem_and_base64_are_read(body):
    assert DER == parse_request(body).submitted.der


@pytest.mark.parametrize("body", NOTHING)
def test_a_body_without_a_request_is_refused(body):
    with pytest.raises(UnreadableRequest, match="no certificate signing request in the body"):
        parse_request(body.encode())


@pytest.mark.parametrize("body", NO_BASE64)
def test_a_body_that_is_not_base64_is_refused(body):
    with pytest.raises(UnreadableRequest, match="not base64"):
        parse_request(body.encode())


@pytest.mark.parametrize("name", ["cmc.der", "twice.der", "trailing-octets.der", "truncated.der"])
def test_a_body_that_is_not_one_request_is_refused(name):
    vector = (ROOT / "tests/vectors" / name).read_bytes()

    for body in (vector, base64.b64encode(vector)):
        with pytest.raises(UnreadableRequest):
            parse_request(body)


@given(st.binary(max_size=200))
def test_any_other_body_is_unreadable(body):
    with pytest.raises(UnreadableRequest):
        parse_request(body)


def test_a_challenge_password_is_refused_with_the_reason_and_is_not_shown():
    with pytest.raises(UnreadableRequest, match="challengePassword") as caught:
        parse_request(with_attribute(AttributeOID.CHALLENGE_PASSWORD))

    assert "secret" not in str(caught.value)


def test_a_challenge_password_in_any_form_is_refused():
    vector = (ROOT / "tests/vectors/challenge-password.der").read_bytes()

    with pytest.raises(UnreadableRequest, match="challengePassword"):
        parse_request(base64.b64encode(vector))


def test_a_changed_subject_is_refused():
    with pytest.raises(UnreadableRequest, match="ChangeSubjectName"):
        parse_request(with_attribute(CHANGE_SUBJECT_NAME))


def test_other_attributes_are_ignored():
    assert parse_request(with_attribute(AttributeOID.UNSTRUCTURED_NAME)).common_names


@given(st.binary(max_size=3000))
def test_a_message_has_lines_that_openssl_reads_or_one_line(der):
    lines, line = encode(der, one_line=False), encode(der, one_line=True)

    assert base64.b64decode(lines) == base64.b64decode(line) == der
    assert line == base64.b64encode(der) + b"\n"
    if len(line) <= 1001:
        assert lines == line
    else:
        assert re.fullmatch(rb"([A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/=]{1,64}\n", lines)


def test_openssl_decodes_a_message_of_any_length():
    for size in (1, 750, 751, 5000):
        message = encode(bytes(size), one_line=False)
        command = ["openssl", "base64", "-d"]
        decoded = subprocess.run(command, input=message, capture_output=True, check=True)
        assert bytes(size) == decoded.stdout


def test_a_certs_only_message_has_exactly_the_certificates(ca):
    assert [ca.certificate] == pkcs7.load_der_pkcs7_certificates(certs_only([ca.certificate]))


def test_a_key_of_any_kind_is_read():
    for kind in ("rsa-2048", "ec-p384", "ed25519"):
        csr = parse_request(make_csr(key=shared_key(kind)))
        assert csr.public_key == shared_key(kind).public_key()
