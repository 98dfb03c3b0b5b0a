"""CMC full requests made by OpenSSL, in addition to the handmade vectors."""

from __future__ import annotations

import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support import der
from tests.support.pki import assert_is_leaf, key_pem, make_ca, make_csr, names_of, shared_key
from tests.support.servers.processes import program
from tests.unit.X509.test_hostile_requests import post_bare


def wrapped_by_openssl(directory, csr, *options, form="DER"):
    """SignedData around a PKIData, signed by an unknown signer."""
    signer = make_ca(directory, name="an enrolment agent")
    contents = directory / "pki-data.der"
    contents.write_bytes(der.pki_data(der.tagged(csr)))
    command = [
        program("openssl", "openssl"),
        "cms",
        "-sign",
        "-binary",
        "-nodetach",
        "-outform",
        form,
        *options,
    ]
    command += ["-econtent_type", der.PKI_DATA, "-in", str(contents)]
    command += ["-signer", str(signer.cert_path), "-inkey", str(signer.key_path)]
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


@pytest.fixture
def csr():
    request = x509.load_pem_x509_csr(make_csr("www.example.com", "www.example.com"))
    return request.public_bytes(Encoding.DER)


@pytest.mark.parametrize("options", [[], ["-nocerts"], ["-noattr"], ["-keyid"]])
def test_a_message_from_openssl_is_unwrapped(service, ca, tmp_path, csr, options):
    message = wrapped_by_openssl(tmp_path, csr, *options)

    answer = post_bare(service, message, "application/pkcs7-mime; smime-type=CMC-request")

    assert answer.status_int == 200, answer.text
    certificate = x509.load_pem_x509_certificate(answer.body)
    assert_is_leaf(certificate, issued_by=ca)
    assert ["www.example.com"] == names_of(certificate)
    assert certificate.public_key() == shared_key().public_key()


@pytest.mark.parametrize("label", ["CMS", "PKCS7", "CMC", "CERTIFICATE REQUEST"])
def test_a_message_in_pem_is_unwrapped_with_each_label(service, ca, tmp_path, csr, label):
    pem = wrapped_by_openssl(tmp_path, csr, form="PEM").replace(b" CMS-", f" {label}-".encode())

    assert_is_leaf(service.issue(pem), issued_by=ca)


def test_a_message_in_ber_is_rejected_with_the_reason(service, tmp_path, csr):
    message = wrapped_by_openssl(tmp_path, csr, "-stream", "-indef")

    answer = post_bare(service, message, "application/cmc")

    assert (400, True) == (answer.status_int, "a length in it is not in DER" in answer.text)


def test_the_outer_signature_is_no_proof_of_possession(service, tmp_path):
    key = shared_key("ed25519")
    foreign = der.request(key, signer=shared_key())
    message = wrapped_by_openssl(tmp_path, foreign)

    answer = post_bare(service, message, "application/cmc")

    assert (400, True) == (answer.status_int, "is not signed with its own key" in answer.text)


def test_a_private_key_instead_of_a_message_is_not_echoed(service):
    pem = key_pem(shared_key())

    answer = service.sign(pem, status=400)

    assert "PRIVATE KEY" in answer.text
    assert pem.splitlines()[1].decode() not in answer.text
