"""EST: a certificate for a secret, and the next one for a certificate."""

from __future__ import annotations

import base64
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from tests.support.pki import make_csr

EST = "/.well-known/est"
NAMES = ("www.example.com", "www.example.com", "b.example.com")
BASIC = {"Authorization": "Basic " + base64.b64encode(b"alice:s3cret").decode()}


def enroll(service, csr=None, path="/simpleenroll", *, headers=None, certificate=None, **kwargs):
    """Send a request in PEM as the base64 of its DER."""
    der = x509.load_pem_x509_csr(csr or make_csr(*NAMES)).public_bytes(Encoding.DER)
    environ = {}
    if certificate is not None:
        pem = certificate.public_bytes(Encoding.PEM)
        environ["ANCHOR_CLIENT_CERTIFICATE"] = urllib.parse.quote(pem)
    return service.http.post(
        EST + path,
        base64.b64encode(der),
        headers={"Content-Type": "application/pkcs10", **(headers or {})},
        extra_environ=environ,
        **kwargs,
    )


def certificates_in(answer):
    return pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.body))


def test_a_requester_with_a_secret_enrolls_and_renews_by_certificate(service, audit):
    [first] = certificates_in(enroll(service, headers=BASIC))
    answer = enroll(service, path="/default/simplereenroll", certificate=first)

    [second] = certificates_in(answer)
    assert answer.headers["Content-Type"] == "application/pkcs7-mime; smime-type=certs-only"
    assert second.subject == first.subject and second.serial_number != first.serial_number
    inventory = service.settings.authorities["default"].inventory
    records = [inventory.find(each.fingerprint(SHA256()).hex()) for each in (first, second)]
    assert [record.issuance.door for record in records] == ["est-enroll", "est-reenroll"]
    assert [event["event"] for event in audit.events()] == ["audit.auth", "audit.sign"] * 2
