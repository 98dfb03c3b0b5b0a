"""The TLS client certificate behind the shipped nginx and uwsgi."""

from __future__ import annotations

import hashlib
import subprocess
from ssl import TLSVersion
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from anchor.cli.main import main
from tests.support.client_certificates import (
    FOR_SERVERS,
    configuration,
    made_elsewhere,
    wait_for_the_end,
)
from tests.support.documentation import blocks
from tests.support.pki import assert_is_leaf, key_pem, make_ca, make_csr, make_key
from tests.support.servers.nginx_site import HOST, MACHINES, nginx, site
from tests.support.servers.processes import program
from tests.support.servers.tls_client import TLSClient
from tests.support.terminal import Terminal

VERSIONS = (TLSVersion.TLSv1_2, TLSVersion.TLSv1_3)
NEITHER = b"there is neither a client certificate nor a proof with the old key\n"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("machines")


@pytest.fixture(scope="module")
def ca(directory):
    return make_ca(directory)


@pytest.fixture(scope="module")
def machines(directory, ca):
    """A client of the server for machines."""
    with site(directory, configuration(ca), ca, replace={"burst=20": "burst=2000"}) as served:
        yield TLSClient(served.port, ca, MACHINES, directory)


@pytest.fixture(scope="module")
def certificate(machines):
    """A certificate for the key that tests share."""
    return machines.sign()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_new_certificate_is_used_for_the_next_renewal(machines, certificate, ca, version):
    key = make_key()
    csr = make_csr(key=key)

    second = machines.renew(machines.context(certificate, version=version), csr).certificate
    third = machines.renew(machines.context(second, key, version), csr).certificate

    assert_is_leaf(third, issued_by=ca)
    assert third.subject == certificate.subject
    assert third.public_key() == key.public_key()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_resumed_session_has_the_certificate(machines, certificate, ca, version):
    context = machines.context(certificate, version=version)

    first = machines.renew(context)
    again = machines.renew(context, session=first.session)

    assert not first.resumed
    assert again.resumed
    assert_is_leaf(again.certificate, issued_by=ca)


@pytest.fixture(scope="module")
def with_tickets(machines, directory, ca):
    """The same service behind an nginx that issues session tickets."""
    path = directory / "tickets"
    path.mkdir()
    replace = {
        "ssl_session_tickets off;": "ssl_session_tickets on;",
        "ssl_session_cache shared:anchor_tls:5m;": "ssl_session_cache off;",
    }
    with nginx(path, ca, directory / "anchor.sock", replace) as port:
        yield TLSClient(port, ca, MACHINES, directory)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_ticket_has_the_certificate(with_tickets, certificate, ca, version):
    context = with_tickets.context(certificate, version=version)

    first = with_tickets.renew(context)
    again = with_tickets.renew(context, session=first.session)

    assert first.session.has_ticket
    assert again.resumed
    assert_is_leaf(again.certificate, issued_by=ca)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_resumes_a_session_with_the_certificate(machines, certificate, tmp_path, version):
    pem, session = tmp_path / "client.pem", tmp_path / "session"
    key = make_key()
    mine = machines.renew(machines.context(certificate), make_csr(key=key)).certificate
    pem.write_bytes(mine.public_bytes(Encoding.PEM) + key_pem(key))
    body = f"encoding=pem&csr={quote(make_csr(key=key))}"
    request = (
        f"POST /v1/renew/default HTTP/1.1\r\nHost: {MACHINES}\r\nConnection: close\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )

    def ask(*options):
        return subprocess.run(
            [
                *(program("openssl", "openssl"), "s_client", "-ign_eof", version, *options),
                *("-connect", f"127.0.0.1:{machines.port}", "-servername", MACHINES),
                *("-cert", pem, "-CAfile", machines.ca.cert_path),
            ],
            input=request,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        ).stdout

    first, again = ask("-sess_out", session), ask("-sess_in", session)

    assert "HTTP/1.1 200" in first
    assert "Reused, TLSv1" not in first
    assert "HTTP/1.1 200" in again
    assert "Reused, TLSv1" in again


def test_a_certificate_for_servers_only_renews(machines):
    old = machines.sign(FOR_SERVERS)

    new = machines.renew(machines.context(old), FOR_SERVERS).certificate

    assert new.extensions.get_extension_for_class(x509.ExtendedKeyUsage) == (
        old.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    )


@pytest.fixture(scope="module")
def expired(machines):
    """A function that renews with an expired certificate of an authority."""
    answers = {}
    for authority in ("brief", "grace"):
        # On a busy machine the certificate may expire before it is used.
        for _ in range(10):
            certificate = machines.sign(authority=authority)
            context = machines.context(certificate)
            answer = machines.renew(context, authority=authority)
            answers[authority] = context, answer
            if answer.status == 200:
                break
    wait_for_the_end(certificate)

    def renew(authority, *, resume=False):
        context, first = answers[authority]
        session = first.session if resume else None
        return machines.renew(context, authority=authority, session=session)

    return renew


def test_an_expired_certificate_is_refused_by_anchor_and_not_by_nginx(expired):
    answer = expired("brief")

    assert 401 == answer.status
    assert answer.body.startswith(b"the certificate has expired, at ")


def test_an_expired_certificate_renews_within_its_grace(expired, ca):
    assert_is_leaf(expired("grace").certificate, issued_by=ca)


def test_a_session_that_outlives_its_certificate_renews_nothing(expired):
    answer = expired("brief", resume=True)

    assert answer.resumed
    assert 401 == answer.status
    assert answer.body.startswith(b"the certificate has expired, at ")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["self-signed", "of another CA", "expired and of another CA"])
def test_a_certificate_of_anyone_else_is_refused(machines, certificate, tmp_path, kind, version):
    """The subject is that of a good one, and the other CA has the name of the right one."""
    (tmp_path / "ca").mkdir()
    issuer = None if kind == "self-signed" else make_ca(tmp_path / "ca")
    other = made_elsewhere(tmp_path, issuer=issuer, expired=kind.startswith("expired"))

    answer = machines.renew(machines.context(other.certificate, other.key, version))

    assert other.certificate.subject == certificate.subject
    assert (401, b"the certificate was not issued by this registration authority\n") == (
        answer.status,
        answer.body,
    )


@pytest.mark.parametrize(
    "header",
    [
        "Anchor-Client-Certificate",
        "ANCHOR_CLIENT_CERTIFICATE",
        "HTTPS_CC",
        "Https-Cc",
        "X-Client-Cert",
        "X_Client_Cert",
        "Client-Cert",
        "X-SSL-Client-Cert",
        "ssl_client_escaped_cert",
    ],
)
def test_a_header_of_the_client_is_no_certificate(machines, certificate, header):
    forged = [(header, quote(certificate.public_bytes(Encoding.PEM)))]

    for host in (MACHINES, HOST):
        answer = machines.renew(machines.context(), headers=forged, host=host)

        assert (401, NEITHER) == (answer.status, answer.body)


def test_a_header_of_the_client_does_not_replace_its_certificate(machines, certificate, tmp_path):
    other = made_elsewhere(tmp_path)
    text = quote(certificate.public_bytes(Encoding.PEM))
    forged = [(name, text) for name in ("ANCHOR_CLIENT_CERTIFICATE", "X-Client-Cert")]

    answer = machines.renew(machines.context(other.certificate, other.key), headers=forged)

    assert (401, b"the certificate was not issued by this registration authority\n") == (
        answer.status,
        answer.body,
    )


def test_the_other_server_asks_for_no_certificate(machines, certificate, directory, ca):
    other = TLSClient(machines.port, ca, HOST, directory)

    answer = other.renew(other.context(certificate))

    assert (401, NEITHER) == (answer.status, answer.body)


def test_the_server_of_the_tls_session_is_that_of_the_request(machines, certificate, directory, ca):
    """A client cannot show its certificate to one server and use another one."""
    context = machines.context(certificate)
    first = machines.renew(context)
    other = TLSClient(machines.port, ca, HOST, directory)

    answers = [
        machines.renew(context, host=HOST),
        other.renew(context, host=MACHINES),
        other.renew(context, session=first.session),
    ]

    assert {401, 421} >= {answer.status for answer in answers}


def test_a_banned_key_renews_nothing(machines, certificate, directory, monkeypatch):
    key = make_key()
    mine = machines.renew(machines.context(certificate), make_csr(key=key)).certificate
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    monkeypatch.setenv("ANCHOR_CONF", str(directory / "config.json"))
    assert 0 == main(["ban", "key", hashlib.sha256(public).hexdigest()])

    answer = machines.renew(machines.context(mine, key))

    assert 400 == answer.status
    assert b"banned" in answer.body
    assert 200 == machines.renew(machines.context(certificate)).status


@pytest.mark.parametrize("expired", [False, True])
def test_a_client_cannot_make_the_server_for_machines_fail(machines, tmp_path, expired):
    plain = made_elsewhere(tmp_path, expired=expired)
    context = machines.context(plain.certificate, plain.key)

    for size in (65536, 70000, 100000, 20_000_000):
        answer = machines.ask(context, "POST", "/v1/renew/default", b"x" * size)
        assert answer.status == (413 if size > 65536 else 415), size
    assert b"the body is larger than 65536 bytes\n" == answer.body

    long = large_certificate(plain, 20_000)
    answer = machines.renew(machines.context(long, plain.key))
    assert (400, b"the client certificate is too long: renew with a proof\n") == (
        answer.status,
        answer.body,
    )

    long = large_certificate(plain, 8_000)
    context = machines.context(long, plain.key)
    assert 401 == machines.renew(context).status
    # The longest path and the longest header, each with a certificate near the limit.
    assert 404 == machines.ask(context, "GET", f"/{'a' * 7900}").status
    basic = [("Authorization", f"Basic {'x' * 22200}")]
    assert 401 == machines.renew(context, headers=basic).status


def large_certificate(like, size):
    """A self-signed certificate with about this many bytes."""
    certificate = like.certificate
    return (
        x509.CertificateBuilder(
            certificate.issuer,
            certificate.subject,
            like.key.public_key(),
            x509.random_serial_number(),
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
        )
        .add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"x" * size),
            critical=False,
        )
        .sign(like.key, like.certificate.signature_hash_algorithm)
    )


def test_the_checks_of_the_page_work(machines, tmp_path):
    connect = f"{MACHINES}:443:127.0.0.1:{machines.port}"
    (tmp_path / ".curlrc").write_text(f'insecure\nconnect-to = "{connect}"\n')
    (tmp_path / "secret").write_text("s3cret")
    *_, works, forged = blocks("howto/client-certificates.rst", "shell")

    with Terminal(tmp_path) as terminal:
        assert "web1.example.com" in terminal.run(works.text)
        answers = terminal.run(forged.text)

    assert NEITHER.decode() * 5 == answers
