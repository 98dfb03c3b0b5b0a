"""The client's TLS certificate: who can say what it is, in which form."""

from __future__ import annotations

import base64
import ssl
from ipaddress import ip_network
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from anchor.config.plugins import validate_options
from anchor.errors import ConfigurationError, MalformedSubmission
from anchor.web.client_certificate import HEADER, client_certificate
from anchor.web.request import TRUSTED_PROXIES, Request
from anchor.web.settings import WebSettings
from tests.support.pki import ca_certificate, make_csr

CERTIFICATE = ca_certificate("www.example.com")
DER = CERTIFICATE.public_bytes(Encoding.DER)
PEM = CERTIFICATE.public_bytes(Encoding.PEM).decode()
BASE64 = base64.b64encode(DER).decode()
ESCAPED = quote(PEM, safe="")
# The variable of nginx, that of uwsgi, and the header of a proxy.
VARIABLES = ("ANCHOR_CLIENT_CERTIFICATE", "HTTPS_CC")
SOURCES = (*VARIABLES, "HTTP_X_CLIENT_CERT")


class TLSConnection(ssl.SSLSocket):
    """A connection of gunicorn whose client has shown the certificate."""

    def __init__(self):
        pass

    def getpeercert(self, binary_form=False):
        assert binary_form
        return DER


def shown(environ=(), *, peer="192.0.2.1", header="X-Client-Cert"):
    """The client certificate of a request that comes from a proxy if the peer is 10.0.0.1."""
    base = {"REMOTE_ADDR": peer, TRUSTED_PROXIES: [ip_network("10.0.0.0/8")], HEADER: header}
    return client_certificate(Request.blank("/", environ=base | dict(environ)))


def test_without_any_source_there_is_no_certificate():
    assert shown() is None
    assert shown({"gunicorn.socket": object()}) is None


@pytest.mark.parametrize("variable", VARIABLES)
def test_the_variables_of_the_uwsgi_protocol_contain_the_certificate(variable):
    assert shown({variable: ESCAPED}) == DER
    assert shown({variable: PEM}) == DER


@pytest.mark.parametrize("empty", ["", "::"])
def test_an_empty_value_means_no_certificate_whatever_else_there_is(empty):
    assert shown({"ANCHOR_CLIENT_CERTIFICATE": empty, "HTTPS_CC": PEM}) is None
    proxy = {"HTTP_X_CLIENT_CERT": empty, "ANCHOR_CLIENT_CERTIFICATE": ESCAPED}
    assert shown(proxy, peer="10.0.0.1") is None


def test_behind_a_proxy_that_writes_an_empty_value_clients_are_asked_for_a_credential(
    serve, document
):
    service = serve(
        document, trusted_proxies=["192.0.2.7/32"], client_certificate_header="Client-Cert"
    )
    headers = {"Client-Cert": "::"}

    service.sign(headers=headers, status=200)
    answer = service.http.post(
        "/.well-known/est/default/simpleenroll",
        base64.b64encode(make_csr()),
        headers | {"Content-Type": "application/pkcs10"},
        status=401,
    )
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_gunicorns_connection_has_the_certificate():
    assert shown({"gunicorn.socket": TLSConnection()}) == DER


@pytest.mark.parametrize("form", [ESCAPED, quote(PEM), PEM, f":{BASE64}:"])
def test_a_trusted_proxy_sends_the_certificate_in_a_header(form):
    assert shown({"HTTP_X_CLIENT_CERT": form}, peer="10.0.0.1") == DER


@pytest.mark.parametrize("peer", ["192.0.2.1", "", "unix:", "nonsense"])
def test_the_header_of_anyone_else_is_ignored(peer):
    assert shown({"HTTP_X_CLIENT_CERT": ESCAPED}, peer=peer) is None


def test_a_header_that_the_configuration_does_not_name_is_ignored():
    environ = {"HTTP_X_CLIENT_CERT": ESCAPED}

    assert shown(environ, peer="10.0.0.1", header=None) is None
    assert shown(environ, peer="10.0.0.1", header="Client-Cert") is None


@pytest.mark.parametrize(
    "environ", [*({variable: PEM} for variable in VARIABLES), {"gunicorn.socket": TLSConnection()}]
)
def test_the_certificate_of_a_proxy_is_never_that_of_its_clients(environ):
    assert shown(environ, peer="10.0.0.1") is None


@pytest.mark.parametrize(
    "header",
    [
        "Anchor-Client-Certificate",
        "ANCHOR_CLIENT_CERTIFICATE",
        "Https-CC",
        "HTTPS_CC",
        "X-Client-Cert",
        "Client-Cert",
    ],
)
def test_no_header_of_a_client_is_a_certificate(service, header):
    old = service.issue()
    pem = quote(old.public_bytes(Encoding.PEM))

    answer = service.http.post(
        "/v1/renew/default",
        {"encoding": "pem", "csr": make_csr()},
        headers={header: pem},
        status=401,
    )

    assert "neither a client certificate nor a proof" in answer.text


def test_the_header_of_a_trusted_proxy_renews(serve, document):
    service = serve(
        document, trusted_proxies=["192.0.2.7/32"], client_certificate_header="X-Client-Cert"
    )
    old = service.issue()

    answer = service.http.post(
        "/v1/renew/default",
        {"encoding": "pem", "csr": make_csr()},
        headers={"X-Client-Cert": quote(old.public_bytes(Encoding.PEM))},
        extra_environ={"REMOTE_ADDR": "192.0.2.7", "HTTP_X_FORWARDED_FOR": "198.51.100.1"},
        status=200,
    )

    assert x509.load_pem_x509_certificate(answer.body).subject == old.subject


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"{ESCAPED},{ESCAPED}", "more than one"),
        (f"{ESCAPED}, ", "more than one"),
        (f":{BASE64}:, :{BASE64}:", "more than one"),
        (quote(PEM + PEM), "no client certificate"),
        ("x" * 65537, "longer than 65536"),
        (":", "no client certificate"),
        (":=:", "no client certificate"),
        (": :", "no client certificate"),
        (f":{BASE64}", "no client certificate"),
        (f":{BASE64}:;a=1", "no client certificate"),
        (f":{BASE64[:-4]}:", "no client certificate"),
        (f":{BASE64[:40]} {BASE64[40:]}:", "no client certificate"),
        (f":{base64.b64encode(DER + b'x').decode()}:", "no client certificate"),
        (f":{base64.urlsafe_b64encode(b'~~~???').decode()}:", "no client certificate"),
        (":\xe9\u20ac:", "no client certificate"),
        (BASE64, "no client certificate"),
        ("(null)", "no client certificate"),
        ("%", "no client certificate"),
        (ESCAPED[:-20], "no client certificate"),
        (quote(make_csr()), "no client certificate"),
        ("%ff%fe%00", "no client certificate"),
        ("\x00", "no client certificate"),
    ],
)
def test_anything_but_one_certificate_is_refused(source, text, reason):
    with pytest.raises(MalformedSubmission, match=reason) as error:
        shown({source: text}, peer="10.0.0.1" if source.startswith("HTTP_X") else "192.0.2.1")

    assert "X-Client-Cert" in str(error.value) or source in str(error.value)


@given(
    text=st.binary(max_size=300).map(lambda octets: octets.decode("latin-1"))
    | st.binary(max_size=200).map(lambda octets: f":{base64.b64encode(octets).decode()}:")
    | st.binary(max_size=200).map(lambda octets: quote(b"-----BEGIN CERTIFICATE-----" + octets)),
    source=st.sampled_from(SOURCES),
)
def test_any_text_is_a_certificate_or_malformed(text, source):
    try:
        der = shown({source: text}, peer="10.0.0.1" if source.startswith("HTTP_X") else "192.0.2.1")
    except MalformedSubmission:
        return
    assert der is None
    assert text in ("", "::")


@given(st.data())
def test_a_damaged_certificate_is_parsed_or_malformed(data):
    octets = bytearray(DER)
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    text = f":{base64.b64encode(octets).decode()}:"

    try:
        der = shown({"HTTP_X_CLIENT_CERT": text}, peer="10.0.0.1")
    except MalformedSubmission:
        return
    assert der == bytes(octets)


@pytest.mark.parametrize("name", ["X_Client_Cert", "", "X-", "-X", "X Cert", "X:Cert", "X\n", 7])
def test_the_option_is_the_name_of_a_header(name, tmp_path):
    options = {"trusted_proxies": ["10.0.0.1"], "client_certificate_header": name}

    with pytest.raises(ConfigurationError, match="letters, digits and hyphens"):
        validate_options(WebSettings, options, tmp_path)


def test_the_option_needs_trusted_proxies(tmp_path):
    with pytest.raises(ConfigurationError, match="list the proxies"):
        validate_options(WebSettings, {"client_certificate_header": "X-Client-Cert"}, tmp_path)
