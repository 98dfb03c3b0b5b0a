"""The TLS client certificate with uwsgi's and gunicorn's own TLS, and from a proxy in a header.

The servers run as doc/source/howto/client-certificates.rst describes.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ssl
from ssl import TLSVersion
from urllib.parse import quote, urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.client_certificates import FOR_SERVERS, configuration, made_elsewhere
from tests.support.pki import assert_is_leaf, make_ca, make_csr, make_key
from tests.support.servers.nginx_site import HOST
from tests.support.servers.own_tls import OWN_TLS, behind_container_nginx, own_tls
from tests.support.servers.tls_client import FORM, TLSClient

VERSIONS = (TLSVersion.TLSv1_2, TLSVersion.TLSv1_3)
NEITHER = b"there is neither a client certificate nor a proof with the old key\n"
FORGED = (
    "Anchor-Client-Certificate",
    "ANCHOR_CLIENT_CERTIFICATE",
    "HTTPS-CC",
    "HTTPS_CC",
    "X-Client-Cert",
    "X_Client_Cert",
)


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return make_ca(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module", params=OWN_TLS)
def own(request, tmp_path_factory, ca):
    """A client of a server that ends TLS itself."""
    directory = tmp_path_factory.mktemp(request.param)
    with own_tls(request.param, directory, configuration(ca), ca) as client:
        yield client


@pytest.mark.parametrize("version", VERSIONS)
def test_the_servers_own_tls_shows_the_certificate(own, ca, version, request):
    key = make_key()
    csr = make_csr(key=key)
    first = own.sign()

    second = own.renew(own.context(first, version=version), csr).certificate
    context = own.context(second, key, version)
    third = own.renew(context, csr)
    again = own.renew(context, csr, session=third.session)

    assert_is_leaf(third.certificate, issued_by=ca)
    assert_is_leaf(again.certificate, issued_by=ca)
    # gunicorn resumes no session with a certificate.
    assert again.resumed == (request.node.callspec.params["own"] == "uwsgi")


def test_the_servers_own_tls_does_not_need_a_certificate(own):
    answer = own.renew(own.context())

    assert (401, NEITHER) == (answer.status, answer.body)


@pytest.mark.parametrize("header", FORGED)
def test_the_servers_own_tls_ignores_headers(own, header):
    forged = [(header, quote(own.sign().public_bytes(Encoding.PEM)))]

    answer = own.renew(own.context(), headers=forged)

    assert (401, NEITHER) == (answer.status, answer.body)


@pytest.mark.parametrize("kind", ["for servers only", "expired", "self-signed"])
def test_openssl_itself_refuses_what_nginx_would_pass_on(own, ca, tmp_path, kind):
    if kind == "for servers only":
        context = own.context(own.sign(FOR_SERVERS))
    else:
        expired = kind == "expired"
        other = made_elsewhere(tmp_path, issuer=ca if expired else None, expired=expired)
        context = own.context(other.certificate, other.key)

    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        own.renew(context)


@pytest.fixture(scope="module")
def proxied(tmp_path_factory, ca):
    """A client of the container's nginx, and the port of gunicorn behind it."""
    with behind_container_nginx(tmp_path_factory.mktemp("proxied"), configuration(ca), ca) as both:
        yield both


@pytest.fixture(scope="module")
def certificate(proxied):
    """A certificate for the key that tests share."""
    return proxied[0].sign()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_proxy_passes_the_certificate_on_in_a_header(proxied, certificate, ca, version):
    client, _ = proxied
    context = client.context(certificate, version=version)

    first = client.renew(context)
    again = client.renew(context, session=first.session)

    assert again.resumed
    assert_is_leaf(again.certificate, issued_by=ca)


def test_a_proxy_passes_on_what_is_expired_or_for_servers_only(proxied, ca, tmp_path):
    client, _ = proxied
    old = client.sign(FOR_SERVERS)
    expired = made_elsewhere(tmp_path, issuer=ca, expired=True)

    new = client.renew(client.context(old), FOR_SERVERS).certificate
    refused = client.renew(client.context(expired.certificate, expired.key))

    assert new.subject == old.subject
    assert (401, b"the certificate was not issued by this registration authority\n") == (
        refused.status,
        refused.body,
    )


@pytest.mark.parametrize("header", FORGED)
def test_a_proxy_does_not_pass_on_the_header_of_a_client(proxied, certificate, ca, header):
    client, _ = proxied
    forged = [(header, quote(certificate.public_bytes(Encoding.PEM)))]
    other = TLSClient(client.port, ca, HOST, client.directory)

    for sender in (client, other):
        answer = sender.renew(sender.context(), headers=forged)

        assert (401, NEITHER) == (answer.status, answer.body)


@pytest.mark.parametrize("expired", [False, True])
def test_a_proxy_does_not_fail_because_of_a_large_body(proxied, tmp_path, expired):
    client, _ = proxied
    made = made_elsewhere(tmp_path, expired=expired)
    context = client.context(made.certificate, made.key)

    for size in (70000, 20_000_000):
        assert 413 == client.ask(context, "POST", "/v1/renew/default", b"x" * size).status


def renew_over_http(port, certificate, source, form=None):
    """Renew with a header, without nginx, from an address of the machine; return the answer."""
    value = form or quote(certificate.public_bytes(Encoding.PEM))
    body = urlencode({"encoding": "pem", "csr": make_csr()})
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=60, source_address=(source, 0)
    )
    with contextlib.closing(connection):
        connection.request("POST", "/v1/renew/default", body, FORM | {"X-Client-Cert": value})
        with connection.getresponse() as answer:
            return answer.status, answer.read()


def test_the_header_counts_only_from_a_trusted_proxy(proxied, certificate):
    _, port = proxied

    assert 200 == renew_over_http(port, certificate, "127.0.0.1")[0]
    assert (401, NEITHER) == renew_over_http(port, certificate, "127.0.0.5")


def test_the_header_may_have_the_form_of_rfc_9440(proxied, certificate):
    _, port = proxied
    der = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()

    status, pem = renew_over_http(port, certificate, "127.0.0.1", f":{der}:")
    refused, _ = renew_over_http(port, certificate, "127.0.0.1", f":{der}:, :{der}:")

    assert 200 == status
    assert x509.load_pem_x509_certificate(pem).subject == certificate.subject
    assert 400 == refused
