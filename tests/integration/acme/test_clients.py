"""Real ACME clients get certificates, renew them, and use them for TLS."""

from __future__ import annotations

import datetime
import re
import signal
import tempfile
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.pki import assert_is_leaf
from tests.support.servers.acme_clients import (
    AcmeForNode,
    AcmeForPython,
    Certbot,
    Dehydrated,
    Lego,
    LegoWithDns,
    Uacme,
)
from tests.support.servers.acme_site import CHALLENGING, acme_site, dns_names
from tests.support.servers.acme_web_servers import Apache, Caddy
from tests.support.servers.tls_in_memory import handshake

HOUR = datetime.timedelta(hours=1)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The service and the clients' machine, for all tests."""
    with acme_site(tmp_path_factory.mktemp("acme")) as served:
        yield served


@pytest.fixture
def open_path():
    """A directory that all users can reach, as Apache's processes are not root's."""
    with tempfile.TemporaryDirectory(prefix="anchor-acme-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


def connect(client, name):
    """Use the files of a client for a TLS handshake; return the certificate."""
    chain, key = client.files(name)
    certificate = handshake(chain, key, name, client.site.ca.cert_path)
    assert certificate == client.certificate(name)
    assert_is_leaf(certificate, issued_by=client.site.ca)
    return certificate


@pytest.mark.parametrize("kind", [Lego, Dehydrated, Uacme, AcmeForNode, AcmeForPython])
def test_a_client_gets_a_certificate_for_a_token_and_renews_it(kind, site, tmp_path):
    name = f"{kind.__name__.lower()}.example.com"
    client = kind(site, tmp_path / "client")

    client.issue(name)
    first = connect(client, name)
    client.renew(name)
    second = connect(client, name)

    assert first != second


def test_the_command_on_the_front_page_gets_a_certificate(site, tmp_path):
    page = site.run("curl", "--silent", "--cacert", site.tls_ca, f"{site.base_url}/")
    kid, secret = site.token()
    [command] = re.findall(rf"^ +(lego .*{site.directory_url()}.*)$", page, re.MULTILINE)
    command = command.replace("--kid ID --hmac SECRET", f"--kid {kid} --hmac {secret}")

    site.run("sh", "-c", f"cd {tmp_path} && {command}", LEGO_CA_CERTIFICATES=site.tls_ca)

    pem = (tmp_path / ".lego/certificates/host.example.com.crt").read_bytes()
    certificate = x509.load_pem_x509_certificates(pem)[0]
    assert_is_leaf(certificate, issued_by=site.ca)
    assert ["host.example.com"] == dns_names(certificate)


def test_a_client_that_renews_at_each_run_is_told_so_and_keeps_its_certificate(site, tmp_path):
    client, name = Lego(site, tmp_path / "client"), "often.example.com"
    client.issue(name)
    for _ in range(4):
        client.renew(name)
    last = connect(client, name)

    with pytest.raises(AssertionError, match=r"429 .*rateLimited .* should be renewed from "):
        client.renew(name)

    assert last == connect(client, name)
    assert 5 == len(site.issued(name))


def test_a_client_that_lost_the_response_to_its_csr_gets_that_certificate(site, tmp_path):
    client, name = AcmeForPython(site, tmp_path / "client"), "lost.example.com"

    client.issue_after_lost_response(name)

    assert [connect(client, name)] == site.issued(name)


def test_certbot_renews_when_the_server_says_so_and_not_before(site, tmp_path):
    client, name = Certbot(site, tmp_path / "client"), "certbot.example.com"
    client.issue(name)
    first = connect(client, name)

    client.revoke(name)
    client.renew(name)
    second = connect(client, name)
    client.renew(name)

    assert first != second
    assert second == connect(client, name)
    assert 2 == len(site.issued(name))
    assert HOUR <= second.not_valid_after_utc - second.not_valid_before_utc < 2 * HOUR


def test_caddy_renews_when_the_server_says_so_and_not_before(site, tmp_path):
    server = Caddy(site, tmp_path / "caddy", "caddy.example.com")
    with server.running():
        first = server.wait_for_certificate()
        server.wait_until_used(first)
    server.forget_when_to_ask()
    with server.running():
        server.wait_for_log("got renewal info")
    assert first == server.stored()

    revoke(server, tmp_path)
    server.forget_when_to_ask()
    with server.running():
        second = server.wait_for_certificate(other_than=first)
        server.wait_until_used(second)
    assert 2 == len(site.issued(server.name))


def test_apache_renews_when_the_server_says_so_and_not_before(site, open_path):
    server = Apache(site, open_path / "apache", "apache.example.com")
    with server.running() as process:
        first = server.wait_for_certificate()
        server.activate(process, first)
        server.wait_for_log("CA advises renew via ARI at")
        assert first == server.stored()

        revoke(server, open_path)
        # It asks again when it is restarted.
        process.send_signal(signal.SIGUSR1)
        second = server.wait_for_certificate(other_than=first)
        server.activate(process, second)
    assert site.is_replaced(first)
    assert not site.is_replaced(second)
    assert 2 == len(site.issued(server.name))


def revoke(server, path):
    """Revoke the certificate of a web server with its own key."""
    AcmeForPython(server.site, path / "revoker").revoke(*server.files())


@pytest.mark.parametrize("kind", [Certbot, LegoWithDns])
def test_a_client_fulfils_a_challenge(kind, site, tmp_path):
    name = f"{kind.__name__.lower()}.challenge.example.com"
    site.dns.set_addresses(name, site.machine.address)
    client = kind(site, tmp_path / "client", CHALLENGING)

    client.issue(name)

    assert [name] == dns_names(connect(client, name))


def test_caddy_fulfils_a_challenge_with_tls(site, tmp_path):
    name = "caddy.challenge.example.com"
    site.dns.set_addresses(name, site.machine.address)
    server = Caddy(site, tmp_path / "caddy", name, CHALLENGING)
    with server.running():
        certificate = server.wait_for_certificate()
        server.wait_until_used(certificate)

    assert '"challenge":"tls-alpn-01"' in server.log.read_text()
