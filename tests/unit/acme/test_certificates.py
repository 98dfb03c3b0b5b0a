"""The certificate of an order, with the chain that clients install (RFC 8555 section 7.4.2)."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.acme import certificate_chain
from anchor.store.database.certificates import Selection
from tests.support.acme import BASE_URL
from tests.support.acme_orders import (
    acme_with,
    add_client,
    assert_problem,
    finalize,
    new_order,
)
from tests.support.pki import make_ca, now


def certificate_url(client):
    return finalize(client, new_order(client, "www.example.com").json).json["certificate"]


def chain(client, url):
    return x509.load_pem_x509_certificates(client.post(url, None, status=200).body)


def test_a_certificate_comes_as_pem_with_its_issuer_and_without_any_text(client, ca):
    answer = client.post(certificate_url(client), None, status=200)

    assert answer.headers["Content-Type"] == "application/pem-certificate-chain"
    leaf, issuer = x509.load_pem_x509_certificates(answer.body)
    assert issuer == ca.certificate
    leaf.verify_directly_issued_by(issuer)
    pem = b"".join(each.public_bytes(Encoding.PEM) for each in (leaf, issuer))
    assert answer.body == pem


def test_the_chain_has_each_intermediate_ca_and_not_the_root(serve, document, tmp_path):
    root = make_ca(tmp_path, name="root")
    middle = make_ca(tmp_path, name="middle", issuer=root)
    issuing = make_ca(tmp_path, name="issuing", issuer=middle)
    both = tmp_path / "chain.pem"
    both.write_bytes(middle.cert_path.read_bytes() + root.cert_path.read_bytes())
    document["signing_ca"]["local"] |= {
        "cert_path": str(issuing.cert_path),
        "key_path": str(issuing.key_path),
        "chain_path": str(both),
    }
    client = add_client(serve(acme_with(document), base_url=BASE_URL))

    leaf, *issuers = chain(client, certificate_url(client))

    assert issuers == [issuing.certificate, middle.certificate]
    for issued, issuer in zip((leaf, *issuers), issuers, strict=False):
        issued.verify_directly_issued_by(issuer)


def test_a_certificate_of_the_former_generation_has_its_own_chain(serve, document, tmp_path):
    configuration = acme_with(document)
    client = add_client(serve(configuration, base_url=BASE_URL))
    url = certificate_url(client)
    before = chain(client, url)
    other = make_ca(tmp_path, name="other")
    local = configuration["signing_ca"]["local"]
    local["next"] = {
        "from": (now() - datetime.timedelta(hours=1)).isoformat(),
        "cert_path": str(other.cert_path),
        "key_path": str(other.key_path),
    }

    client.http = serve(configuration, base_url=BASE_URL).http

    assert chain(client, url) == before
    assert chain(client, certificate_url(client))[1] == other.certificate


def test_the_signature_decides_between_cas_with_the_same_key_identifier(
    serve, document, tmp_path, monkeypatch
):
    configuration = acme_with(document)
    client = add_client(serve(configuration, base_url=BASE_URL))
    url = certificate_url(client)
    before = chain(client, url)
    other = make_ca(tmp_path, name="other")
    configuration["signing_ca"]["local"]["next"] = {
        "from": (now() - datetime.timedelta(hours=1)).isoformat(),
        "cert_path": str(other.cert_path),
        "key_path": str(other.key_path),
    }
    client.http = serve(configuration, base_url=BASE_URL).http

    monkeypatch.setattr(certificate_chain, "key_id_text", lambda _: "00")
    assert chain(client, url) == before
    key_id = before[0].extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    monkeypatch.setattr(certificate_chain, "key_id_text", lambda _: key_id.key_identifier.hex())
    assert chain(client, url) == before


def test_a_certificate_of_a_ca_that_is_configured_no_more_comes_alone(serve, document, tmp_path):
    configuration = acme_with(document)
    client = add_client(serve(configuration, base_url=BASE_URL))
    url = certificate_url(client)
    leaf, _ = chain(client, url)
    other = make_ca(tmp_path, name="other")
    configuration["signing_ca"]["local"] |= {
        "cert_path": str(other.cert_path),
        "key_path": str(other.key_path),
    }

    client.http = serve(configuration, base_url=BASE_URL).http

    assert chain(client, url) == [leaf]


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (None, 200),
        ("", 200),
        ("application/pem-certificate-chain", 200),
        ("application/*", 200),
        ("*/*;q=0.1", 200),
        ("application/pkix-cert, application/pem-certificate-chain;q=0.5", 200),
        ("not a media type", 200),
        ("application/pkix-cert", 406),
        ("application/pem-certificate-chain;q=0, text/plain", 406),
    ],
)
def test_a_client_gets_what_it_accepts(client, accept, status):
    url = certificate_url(client)
    if accept is not None:
        client.http.extra_environ["HTTP_ACCEPT"] = accept

    answer = client.post(url, None)

    assert answer.status_int == status
    if status == 406:
        assert_problem(answer, "malformed", 406, "application/pem-certificate-chain")


def test_a_certificate_can_be_downloaded_after_its_end_until_it_is_pruned(acme, client, clock):
    url = certificate_url(client)
    clock.advance(days=2)
    client.nonces.clear()
    before = chain(client, url)

    inventory = acme.settings.authorities["default"].inventory
    assert sum(inventory.prune(clock())) == 1

    assert len(before) == 2
    assert_problem(client.post(url, None), "malformed", 404, "no certificate, or it was deleted")
    assert inventory.count(Selection()) == 0


def test_an_order_that_is_not_valid_has_no_certificate(client):
    order = new_order(client, "www.example.com").headers["Location"]

    answer = client.post(f"/certificate/{order.rpartition('/')[2]}", None)

    assert_problem(answer, "malformed", 404, "no certificate")


@pytest.mark.parametrize("more", ["/0", "/1", "/x", "/"])
def test_there_are_no_other_chains(client, more):
    assert_problem(client.post(certificate_url(client) + more, None), "malformed", 404)


def test_an_order_is_deleted_a_week_after_its_certificate_expired(acme, client, clock):
    answer = new_order(client, "www.example.com")
    finalize(client, answer.json)
    pending = new_order(client, "www.example.com").headers["Location"]
    final = answer.headers["Location"]
    clock.advance(days=7, hours=23)
    client.nonces.clear()
    new_order(client, "a.example.com")
    assert client.post(pending, None).json["status"] == "invalid"
    assert client.post(final, None).json["status"] == "valid"

    clock.advance(hours=2)
    client.nonces.clear()
    new_order(client, "a.example.com")

    for url in (pending, final):
        assert_problem(client.post(url, None), "malformed", 404)
    services = acme.settings.acme["default"]
    assert services.orders.authorizations(pending.rpartition("/")[2]) == []
