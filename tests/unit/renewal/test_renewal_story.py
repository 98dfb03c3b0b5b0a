"""The certificate in force gets the next one, with a proof or as a TLS client certificate."""

from __future__ import annotations

import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.store.database.certificates import Selection
from tests.support.pki import make_csr, shared_key
from tests.support.renewal import make_proof, renew

NAMES = ("www.example.com", "www.example.com", "b.example.com")


def test_a_proof_renews_the_certificate_once(service, audit):
    csr = make_csr(*NAMES)
    old = service.issue(csr)
    proof = make_proof(old, shared_key(), csr)
    form = {"encoding": "pem", "csr": csr, "proof": proof}

    answer = service.http.post("/v1/renew/default", form)
    again = service.http.post("/v1/renew/default", form, status=401)

    new = x509.load_pem_x509_certificate(answer.body)
    assert new.subject == old.subject and new.serial_number != old.serial_number
    assert "was used before" in again.text
    event = audit.events()[3]
    assert (event["event"], event["user"], event["renewals"]) == ("audit.sign", "alice", 1)


def test_a_certificate_can_be_renewed_again_and_again(service):
    csr = make_csr(*NAMES)
    certificate = service.issue(csr)

    for _ in range(3):
        answer = renew(service, certificate, shared_key(), csr, status=200)
        certificate = x509.load_pem_x509_certificate(answer.body)

    authority = service.settings.authorities["default"]
    records = list(authority.inventory.select(Selection()))
    assert sorted(record.issuance.renewals for record in records) == [0, 1, 2, 3]


def test_a_client_certificate_renews_itself(service):
    csr = make_csr(*NAMES)
    old = service.issue(csr)
    pem = urllib.parse.quote(old.public_bytes(Encoding.PEM))

    answer = service.http.post(
        "/v1/renew/default",
        {"encoding": "pem", "csr": csr},
        extra_environ={"ANCHOR_CLIENT_CERTIFICATE": pem},
    )

    assert x509.load_pem_x509_certificate(answer.body).subject == old.subject


def test_other_names_are_refused(service):
    old = service.issue(make_csr(*NAMES))

    answer = renew(service, old, shared_key(), make_csr(*NAMES, "c.example.com"), status=400)

    assert "renewed_names" in answer.text and "c.example.com" in answer.text


def test_without_a_credential_the_answer_is_a_401(service):
    answer = service.http.post(
        "/v1/renew/default", {"encoding": "pem", "csr": make_csr()}, status=401
    )

    assert answer.headers["WWW-Authenticate"] == 'Certificate realm="anchor"'
