"""EST clients get and renew certificates with the commands of the how-to page."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.store.database.certificates import Selection
from tests.support.documentation import blocks
from tests.support.inventory import open_inventory
from tests.support.pki import key_pem, make_ca, make_csr, names_of, shared_key
from tests.support.servers.https_anchor import make_tls
from tests.support.servers.nginx_site import MACHINES, site
from tests.support.servers.processes import program
from tests.support.servers.tls_server import TLSServer, handshake
from tests.support.service import small_configuration
from tests.support.terminal import Terminal

PAGE = "howto/est.rst"
COMMANDS = [block for block in blocks(PAGE) if block.language == "sh" or block.caption]
STRONGSWAN, CURL = COMMANDS[:5], COMMANDS[5:]


@pytest.fixture(scope="module")
def anchor(tmp_path_factory):
    """The service behind the shipped nginx, whose server for machines is called localhost."""
    directory = tmp_path_factory.mktemp("est")
    root = make_ca(directory, name="Root")
    ca = make_ca(directory, name="Issuing CA", issuer=root)
    document = small_configuration(ca)
    document["signing_ca"]["local"]["chain_path"] = str(root.cert_path)
    tls = make_tls(directory / "tls")
    replace = {
        f"server_name {MACHINES};": "server_name localhost;",
        "/etc/anchor/tls/anchor.crt": str(tls.certificate),
        "/etc/anchor/tls/anchor.key": str(tls.key),
        "burst=20": "burst=2000",
    }
    with site(directory, document, root, replace=replace) as served:
        yield SimpleNamespace(
            directory=directory,
            port=served.port,
            cas={ca.certificate, root.certificate},
            tls_ca=tls.ca.cert_path,
        )


@pytest.fixture
def terminal(anchor, tmp_path):
    """A terminal of a client that knows the CA of nginx' certificate."""
    for name, package in (("pki", "strongswan-pki"), ("curl", "curl"), ("openssl", "openssl")):
        program(name, package)
    (tmp_path / "tls-ca.pem").write_bytes(anchor.tls_ca.read_bytes())
    replace = {
        MACHINES: f"localhost:{anchor.port}",
        f"{MACHINES} login": "localhost login",
        # The name for which the client below verifies the certificate.
        "vpn.example.com": "localhost",
    }
    with Terminal(tmp_path, replace) as opened:
        yield opened


def recorded(anchor, certificate):
    """The door of a certificate, and the number of its renewals."""
    [record] = [
        record
        for record in open_inventory(anchor.directory).select(Selection())
        if record.der == certificate.public_bytes(Encoding.DER)
    ]
    return record.issuance.door, record.issuance.renewals


def read_certificate(path):
    """The only certificate in a file."""
    [certificate] = x509.load_pem_x509_certificates(path.read_bytes())
    return certificate


def follow(anchor, terminal, directory, steps):
    """Follow the steps of a page: the CA, a request, a certificate, and its renewal."""
    *first_steps, renewal = steps
    for block in first_steps:
        terminal.follow(block)
    enrolled = read_certificate(directory / "cert.pem")
    terminal.follow(renewal)
    renewed = read_certificate(directory / "cert.pem")

    assert recorded(anchor, enrolled) == ("est-enroll", 0)
    assert recorded(anchor, renewed) == ("est-reenroll", 1)
    # The server sends no other certificates: the clients got all CAs from `cacerts`.
    (directory / "cas.pem").write_bytes(
        b"".join(path.read_bytes() for path in sorted(directory.glob("ca*.pem")))
    )
    assert anchor.cas == set(x509.load_pem_x509_certificates((directory / "cas.pem").read_bytes()))
    with TLSServer(directory, directory / "cert.pem", directory / "key.pem") as server:
        assert handshake(server.port, directory / "cas.pem") == renewed


def test_strongswan_enrolls_with_a_secret_and_renews_by_certificate(anchor, terminal, tmp_path):
    follow(anchor, terminal, tmp_path, STRONGSWAN)


def test_curl_and_openssl_enroll_and_renew(anchor, terminal, tmp_path):
    [shown] = blocks(PAGE, "console")
    terminal.follow(shown)
    follow(anchor, terminal, tmp_path, CURL)


def test_a_large_certificate_reaches_strongswan_and_openssl(terminal, tmp_path):
    key = shared_key("rsa-4096")
    names = ["localhost", *(f"host-{number}.example.com" for number in range(100))]
    (tmp_path / "request.pem").write_bytes(make_csr("localhost", *names, key=key))
    (tmp_path / "key.pem").write_bytes(key_pem(key))
    get, _, userpass, enroll, renew = STRONGSWAN

    for block in (get, userpass, enroll):
        terminal.follow(block)
    by_strongswan = read_certificate(tmp_path / "cert.pem")
    terminal.run("openssl req -in request.pem -outform DER | openssl base64 >request.b64")
    terminal.follow(CURL[-1])
    by_curl = read_certificate(tmp_path / "cert.pem")
    terminal.follow(renew)

    assert names_of(by_strongswan) == names_of(by_curl) == names
    assert by_curl.public_bytes(Encoding.DER) != by_strongswan.public_bytes(Encoding.DER)
    assert len(terminal.run("cat answer.b64").splitlines()) > 16
    assert read_certificate(tmp_path / "cert.pem") != by_curl


def test_a_client_reads_why_it_gets_no_certificate(terminal):
    for block in CURL[:3]:
        terminal.follow(block)
    url = f"https://{MACHINES}/.well-known/est"
    send = "curl -sS --cacert tls-ca.pem -H 'Content-Type: application/pkcs10' --data-binary "

    assert "use simpleenroll" in terminal.run(f"{send} @request.b64 {url}/simplereenroll")
    shown = terminal.run(f"{send} no-request --netrc-file netrc {url}/simpleenroll")
    assert "not base64" in shown
    terminal.run("pki --gen --type ecdsa --size 256 --outform pem >other.pem")
    terminal.run("pki --req --in other.pem --type priv --dn CN=localhost --password x >with.der")
    shown = terminal.run(f"{send} @with.der --netrc-file netrc {url}/simpleenroll")
    assert "challengePassword" in shown
