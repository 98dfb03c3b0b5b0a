"""The responses of ACME match the OpenAPI description."""

from __future__ import annotations

import json
import re

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.acme.certificate_ids import CertificateId
from anchor.jose.compact import encode_base64url
from tests.support.acme import (
    BASE_URL,
    Client,
    acme_configuration,
    add_binding_token,
    make_key,
    public_jwk,
    signed,
)
from tests.support.pki import make_csr
from tests.unit.web.test_openapi import ACME, METHODS, ResponseValidator, operations

OPERATIONS = [each for each in operations() if each[0].startswith(ACME)]


@pytest.fixture
def acme(serve, document):
    options = {
        "profiles": {"day": {"description": "24 hours"}},
        "open": False,
        "website": "https://www.example.com/",
        "issuer_domain_names": ["ca.example.com"],
    }
    return serve(acme_configuration(document, **options), base_url=BASE_URL)


class Validated(Client):
    """A client that compares each response with the description of its path."""

    def __init__(self, service):
        super().__init__(service.http)
        self.validator = ResponseValidator()

    def send(self, url, body, **kwargs):
        answer = super().send(url, body, **kwargs)
        self.validator.validate(answer, described_as(url), "POST")
        return answer

    def read(self, path, method="GET"):
        """Read a resource without a signature."""
        url = path if path.startswith("http") else self.url + path
        answer = self.http.request(self._path(url), method=method, expect_errors=True)
        self.validator.validate(answer, described_as(url), method)
        return answer


def described_as(url):
    """The path in the description for a URL."""
    path = re.sub(r"^.*/acme/default(?=/)", "", url)
    [found] = {
        described
        for described, _ in OPERATIONS
        if re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(described[10:])), path)
    }
    return found


def make_order(client, *names):
    identifiers = [{"type": "dns", "value": name} for name in names]
    return client.post("/new-order", {"identifiers": identifiers}, status=201)


def get_certificate(client, name):
    """Order a certificate in the way of most clients."""
    order = make_order(client, name)
    [authorization] = order.json["authorizations"]
    client.post(authorization, None, status=200)
    csr = x509.load_pem_x509_csr(make_csr(name, name)).public_bytes(Encoding.DER)
    client.post(order.json["finalize"], {"csr": encode_base64url(csr)}, status=200)
    order = client.post(order.headers["Location"], None, status=200)
    chain = client.post(order.json["certificate"], None, status=200).body
    return x509.load_pem_x509_certificates(chain)[0]


def test_responses_of_a_whole_life_match_their_descriptions(acme):
    client = Validated(acme)
    client.register(binding=add_binding_token(acme.settings.database), contact=["mailto:a@b.cd"])
    client.register(status=200)
    certificate = get_certificate(client, "www.example.com")
    cancelled = make_order(client, "old.example.com").json["authorizations"][0]
    client.post(cancelled, {"status": "deactivated"}, status=200)
    client.post(f"{client.account}/orders", None, status=200)
    record = acme.settings.acme["default"].authority.inventory.find(
        certificate.fingerprint(hashes.SHA256()).hex()
    )
    certificate_id = CertificateId.of(record)
    for method in ("GET", "HEAD"):
        for path in ("/directory", "/new-nonce", f"/renewal-info/{certificate_id}"):
            client.read(path, method)
    revocation = {"certificate": encode_base64url(certificate.public_bytes(Encoding.DER))}
    client.post("/revoke-cert", revocation, status=200)
    for method in ("GET", "HEAD"):
        for path in (f"/renewal-info/{certificate_id}", f"/explanation/{certificate_id}"):
            assert 200 == client.read(path, method).status_int
    key, url = make_key(), f"{client.url}/key-change"
    inner = {"account": client.account, "oldKey": public_jwk(client.key).members}
    client.post("/key-change", json.loads(signed(key, url, inner)), status=200)
    client.key = key
    client.post(client.account, {"status": "deactivated"}, status=200)

    succeeded = {(path, method) for path, method, status in client.validator.seen if status < 300}
    # These need a machine to connect to, and more orders than fit on a page.
    left = {path for path, method in OPERATIONS if (path, method) not in succeeded}
    assert {"challenge", "{after}"} == {
        re.findall("challenge(?=/)|[^/]+$", path)[0] for path in left
    }


def test_responses_about_challenges_match_their_descriptions(serve, document):
    options = {
        "challenges": ["dns-persist-01", "dns-01"],
        "challenge_seconds": 1,
        # Nothing answers there.
        "resolvers": ["127.0.0.1:1"],
        "issuer_domain_names": ["ca.example.com"],
    }
    service = serve(acme_configuration(document, **options), base_url=BASE_URL)
    client = Validated(service)
    client.register(binding=add_binding_token(service.settings.database))
    order = make_order(client, "*.example.com")
    [url] = order.json["authorizations"]
    authorization = client.post(url, None, status=200).json

    challenge = client.post(authorization["challenges"][0]["url"], {}, status=200).json
    invalid = [
        client.post(url, None, status=200).json,
        client.post(order.headers["Location"], None, status=200).json,
    ]

    assert ["dns-01", "dns-persist-01"] == [each["type"] for each in authorization["challenges"]]
    assert ["invalid"] * 3 == [each["status"] for each in (challenge, *invalid)]


@pytest.mark.parametrize("path", sorted({path for path, _ in OPERATIONS}))
def test_exactly_the_described_methods_are_allowed(acme, path):
    allowed = {method.upper() for at, method in OPERATIONS if at == path}
    at = path.format_map(dict.fromkeys(re.findall(r"{(\w+)}", path), "a" * 25) | {"ra": "default"})
    validator = ResponseValidator()

    for method in METHODS:
        answer = acme.http.request(at, method=method, expect_errors=True)
        assert (answer.status_int == 405) == (method not in allowed), method
        if answer.status_int == 405:
            assert allowed == set(answer.headers["Allow"].split(", "))
        if method in allowed:
            validator.validate(answer, path, method)


def test_errors_match_their_description(acme):
    client = Validated(acme)

    assert 403 == client.register(status="*").status_int
    client.register(binding=add_binding_token(acme.settings.database))
    wrong = [
        client.post("/new-order", {"identifiers": [{"type": "tel", "value": "1"}]}),
        client.post("/new-order", {"identifiers": [{"type": "dns", "value": "a..b"}]}),
        client.post("/new-order", None),
        client.post("/order/" + "a" * 25, None),
        client.send("/new-order", b"{}"),
        client.send("/new-order", b"{}", content_type="text/plain"),
        client.read("/renewal-info/AAAA.AQ"),
    ]
    assert [400, 400, 400, 404, 400, 415, 404] == [answer.status_int for answer in wrong]
    assert "subproblems" in wrong[0].json
