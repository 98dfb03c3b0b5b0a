"""Tokens of an issuer, under uwsgi with four worker processes."""

from __future__ import annotations

import threading

import pytest
from cryptography import x509

from tests.support import jwt
from tests.support.pki import assert_is_leaf, key_pem, make_csr, make_key
from tests.support.servers.oidc_issuer import running_issuer, sending
from tests.support.servers.tls_server import TLSServer, handshake


@pytest.fixture
def issuer():
    with running_issuer() as issuer:
        yield issuer


@pytest.fixture
def service(workers, document, issuer):
    """A service that accepts the tokens of the issuer, and does not limit failures."""
    document["authentication"]["static"] = {
        "backend": "oidc",
        "issuer": issuer.url,
        "audience": jwt.AUDIENCE,
        "discovery": True,
        "require": {"sub": "system:serviceaccount:shop:*"},
    }
    document["registration_authority"]["default"] |= {"max_failures": 0, "max_address_failures": 0}
    return workers(document)


POD = {"sub": "system:serviceaccount:shop:web"}


def in_threads(count, function):
    """The results of calls at the same time."""
    results = []
    threads = [
        threading.Thread(target=lambda n=n: results.append(function(n))) for n in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_a_pod_serves_tls_with_the_certificate_for_its_token(service, issuer, ca, tmp_path):
    key = make_key()

    status, pem = service.sign(make_csr("localhost", "localhost", key=key), issuer.token(**POD))

    assert status == 200
    certificate = x509.load_pem_x509_certificate(pem)
    assert_is_leaf(certificate, issued_by=ca)
    (tmp_path / "pod.crt").write_bytes(pem)
    (tmp_path / "pod.key").write_bytes(key_pem(key))
    with TLSServer(tmp_path, tmp_path / "pod.crt", tmp_path / "pod.key") as server:
        assert certificate == handshake(server.port, ca.cert_path)


def test_a_flood_of_unknown_keys_at_all_workers_causes_one_fetch(service, issuer):
    csr = make_csr()
    attacker = jwt.make_key(name="attacker")

    def flood(number):
        kid = {"kid": f"unknown-{number}"}
        return service.sign(csr, issuer.token(attacker, header=kid, **POD))[0]

    statuses = [service.sign(csr, issuer.token(**POD))[0]]
    statuses += in_threads(8, lambda _: service.sign(csr, issuer.token(**POD))[0])
    assert {200} == set(statuses)
    refused = [status for round_ in range(10) for status in in_threads(8, flood)]
    assert {401} == set(refused)

    assert len(service.answering()) >= 2
    assert issuer.fetches == 1


def test_workers_serve_on_with_known_keys_while_the_issuer_is_away(service, issuer):
    csr = make_csr()
    assert 200 == service.sign(csr, issuer.token(**POD))[0]
    issuer.answers["/keys"] = sending(b"", 500)

    assert {200} == set(in_threads(8, lambda _: service.sign(csr, issuer.token(**POD))[0]))


def test_an_issuer_that_is_away_at_the_start_is_a_503_in_every_worker(service, issuer):
    csr = make_csr()
    issuer.answers["/keys"] = sending(b"", 500)

    assert {503} == set(in_threads(8, lambda _: service.sign(csr, issuer.token(**POD))[0]))
    assert {401} == set(in_threads(8, lambda _: service.sign(csr, issuer.token(aud="other"))[0]))
    assert issuer.fetches == 1
