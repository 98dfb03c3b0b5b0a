"""The client with the service behind nginx."""

from __future__ import annotations

import pytest
from cryptography import x509

from anchor.client.tracking import StateDirectory
from tests.support.machine import Machine
from tests.support.pki import assert_is_leaf, make_ca
from tests.support.servers.tls_server import TLSServer, handshake


@pytest.fixture
def machine(tmp_path, nginx_anchor):
    return Machine(tmp_path, nginx_anchor)


def test_a_server_gets_its_certificates_from_behind_nginx(machine, tmp_path, ca):
    directory = tmp_path / "server"
    server = TLSServer(tmp_path, directory / "fullchain.pem", directory / "key.pem")
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\nkill -HUP $(cat {server.pid_file})\n")
    hook.chmod(0o755)
    request = ("localhost", "--directory", directory, "--key", "rsa-2048")
    assert 0 == machine.request(*request)
    with server:
        first = handshake(server.port, ca.cert_path)
        assert 0 == machine.request(*request, "--hook", hook)
        second = handshake(server.port, ca.cert_path)
        assert 0 == machine.renew("--force")
        third = handshake(server.port, ca.cert_path)

    assert 3 == len({first, second, third})
    assert "certificate" == machine.tracked("localhost").history.obtained_with
    assert_is_leaf(third, issued_by=ca)


@pytest.fixture
def intermediate(document, tmp_path):
    """Make the service sign with an intermediate CA; return its root."""
    root = make_ca(tmp_path, name="root")
    intermediate = make_ca(tmp_path, name="intermediate", issuer=root)
    document["signing_ca"]["local"] |= {
        "cert_path": str(intermediate.cert_path),
        "key_path": str(intermediate.key_path),
        "chain_path": str(root.cert_path),
    }
    return root


def test_a_client_that_knows_the_root_alone_verifies_the_server(intermediate, machine, tmp_path):
    directory = tmp_path / "server"
    assert 0 == machine.request("localhost", "--directory", directory)

    with TLSServer(tmp_path, directory / "combined.pem", directory / "combined.pem") as server:
        certificate = handshake(server.port, intermediate.cert_path)

    assert "CN=intermediate" == certificate.issuer.rfc4514_string()
    chain = x509.load_pem_x509_certificates((directory / "chain.pem").read_bytes())
    assert ["CN=intermediate", "CN=root"] == [link.subject.rfc4514_string() for link in chain]
    presented = x509.load_pem_x509_certificates((directory / "fullchain.pem").read_bytes())
    assert [certificate, chain[0]] == presented


def test_the_client_obeys_the_proxys_retry_after(machine, nginx_anchor, capsys):
    nginx_anchor.client_json(url=f"{nginx_anchor.url}/few/")
    assert 0 == machine.request("www.example.com")

    assert 75 == machine.renew("--force")

    assert "status 429" in capsys.readouterr().err
    history = StateDirectory(machine.state).read("www.example.com").history
    assert 77 == pytest.approx(history.keep_off_until - history.tried)


def test_a_proxy_without_its_service_counts_as_unavailable(machine, nginx_anchor, tmp_path, capsys):
    assert 0 == machine.request("www.example.com")
    (tmp_path / "nginx" / "app.sock").rename(tmp_path / "gone")

    assert 75 == machine.renew("--force")

    assert "status 502" in capsys.readouterr().err
