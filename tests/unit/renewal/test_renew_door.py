"""``/v1/renew/NAME``: its URL in proofs, and submissions that are no renewal."""

from __future__ import annotations

import json
import urllib.parse

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.pki import make_csr, shared_key
from tests.support.renewal import URL, make_proof


def proof_for(service, url):
    csr = make_csr()
    return {
        "encoding": "pem",
        "csr": csr,
        "proof": make_proof(service.issue(csr), shared_key(), csr, url=url),
    }


HERE = "http://localhost"
CONFIGURED = "https://a.example.com"


@pytest.mark.parametrize(
    ("base_url", "environ", "url", "status"),
    [
        (None, {}, HERE, 200),
        (None, {"HTTP_HOST": "A.example.com"}, CONFIGURED, 200),
        (None, {"HTTP_HOST": "[2001:db8::1]:8443"}, "https://[2001:DB8::1]:8443", 200),
        # nginx's $host has no port.
        (None, {"HTTP_HOST": "a.example.com"}, "https://a.example.com:8443", 200),
        (None, {"HTTP_HOST": "a.example.com:5016"}, "http://a.example.com", 200),
        (None, {"HTTP_HOST": "a.example.com:x"}, "http://a.example.com", 400),
        (None, {"SCRIPT_NAME": "/pki"}, "http://localhost/pki", 200),
        (None, {"SCRIPT_NAME": "/pki"}, HERE, 401),
        (None, {"SCRIPT_NAME": "/\xc3\xbc"}, "http://localhost/%c3%bc", 200),
        (None, {"HTTP_HOST": ""}, HERE, 400),
        (None, {"HTTP_HOST": "a b"}, HERE, 400),
        (None, {"HTTP_HOST": "user@localhost"}, HERE, 400),
        (None, {"HTTP_HOST": "localhost/x?"}, HERE, 400),
        (None, {"HTTP_HOST": "\xff"}, HERE, 400),
        (CONFIGURED, {}, CONFIGURED, 200),
        ("https://A.example.com:443/", {}, CONFIGURED, 200),
        ("https://a.example.com/pki/", {}, "https://a.example.com/pki", 200),
        (CONFIGURED, {"HTTP_HOST": "\xff"}, CONFIGURED, 200),
        (CONFIGURED, {}, HERE, 401),
        (CONFIGURED, {}, "http://a.example.com", 401),
        (CONFIGURED, {"HTTP_HOST": "b.example.com"}, "https://b.example.com", 401),
    ],
)
def test_the_url_is_that_of_the_host_or_the_configured_one(
    serve, document, base_url, environ, url, status
):
    service = serve(document, base_url=base_url)
    form = proof_for(service, f"{url}/v1/renew/default")

    service.http.post("/v1/renew/default", form, extra_environ=environ, status=status)


def test_an_error_in_base_url_shows_a_right_one(serve, document):
    with pytest.raises(ValueError, match=r"such as https://anchor\.example\.com \["):
        serve(document, base_url="anchor.example.com")


def test_a_bare_request_cannot_carry_a_proof(service):
    old = service.issue()
    proof = make_proof(old, shared_key(), make_csr())

    for headers in ({}, {"Authorization": f"Bearer {proof}"}, {"Proof": proof}):
        answer = service.http.post(
            "/v1/renew/default",
            make_csr(),
            headers={"Content-Type": "application/pkcs10", **headers},
            status=401,
        )
        assert "neither a client certificate nor a proof" in answer.text


def test_a_request_is_only_parsed_for_a_good_proof(service, audit):
    csr = make_csr()
    good = {"csr": csr, "proof": make_proof(service.issue(csr), shared_key(), csr)}

    def send(encoding="pem", **changes):
        form = good | {"encoding": encoding, **changes}
        return service.http.post("/v1/renew/default", form, status="*").status_int

    assert send(csr="no request", proof=good["proof"][:-1]) == 401
    assert send(csr="no request") == send(encoding="der") == send(encoding="x") == 400
    events = audit.events()[2:]
    assert {(event["event"], event["outcome"]) for event in events} == {("audit.auth", "failure")}
    assert send() == 200


def test_a_proof_of_33_kb_or_twice_is_a_400(service):
    form = proof_for(service, URL)

    for fields in (
        form | {"proof": "a" * 33 * 1024},
        [*form.items(), ("proof", form["proof"])],
        form | {"proof": "\udcff".encode("utf-8", "surrogatepass")},
    ):
        service.http.post("/v1/renew/default", fields, status=400)
    service.http.post("/v1/renew/default", form, status=200)


def test_a_proof_counts_more_than_the_client_certificate(service):
    other = service.issue(make_csr(key=shared_key("ec-p384")))
    csr = make_csr("b.example.com")
    old = service.issue(csr)
    form = {"encoding": "pem", "csr": csr, "proof": make_proof(old, shared_key(), csr)}
    pem = urllib.parse.quote(other.public_bytes(Encoding.PEM))

    answer = service.http.post(
        "/v1/renew/default", form, extra_environ={"ANCHOR_CLIENT_CERTIFICATE": pem}, status=200
    )

    new = x509.load_pem_x509_certificate(answer.body)
    assert new.subject == old.subject


def test_a_wrong_proof_is_not_replaced_by_the_client_certificate(service):
    old = service.issue()
    pem = urllib.parse.quote(old.public_bytes(Encoding.PEM))

    service.http.post(
        "/v1/renew/default",
        {"encoding": "pem", "csr": make_csr(), "proof": "nonsense"},
        extra_environ={"ANCHOR_CLIENT_CERTIFICATE": pem},
        status=401,
    )


def test_no_part_of_a_proof_is_in_the_log_the_audit_or_the_answer(service, audit, caplog):
    caplog.set_level("DEBUG")
    form = proof_for(service, URL)

    answers = [service.http.post("/v1/renew/default", form, status=s) for s in (200, 401)]

    signature = form["proof"].rpartition(".")[2]
    texts = [answer.text for answer in answers] + [caplog.text, json.dumps(audit.events())]
    assert not any(signature in text for text in texts)
