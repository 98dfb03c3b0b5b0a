"""The real certmonger with Anchor's helper, from the first certificate to a server's restart."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.support.pki import assert_is_leaf, make_ca, names_of
from tests.support.servers.https_anchor import running
from tests.support.servers.processes import wait_for
from tests.support.servers.tls_server import TLSServer, handshake

HELPER = Path(sys.executable).with_name("anchor-certmonger")


@pytest.fixture
def document(document, tmp_path):
    """The configuration with a second authority, which has another CA."""
    other = make_ca(tmp_path, name="Other CA")
    document["signing_ca"]["other"] = document["signing_ca"]["local"] | {
        "cert_path": str(other.cert_path),
        "key_path": str(other.key_path),
    }
    document["registration_authority"]["other"] = {
        "authentication": "static",
        "signing_ca": "other",
        "validators": {},
    }
    document["registration_authority"]["elsewhere"] = {
        "authentication": "static",
        "signing_ca": "other",
        "validators": {"source_cidrs": {"cidrs": ["192.0.2.0/24"]}},
    }
    return document


@pytest.fixture
def add_ca(certmonger, https_anchor):
    """Adds Anchor to certmonger as a CA."""

    def add(**changes):
        config = https_anchor.client_json(**changes)
        # certmonger does not give a helper the address of a private bus.
        certmonger.getcert(
            *("add-ca", "-c", "Anchor"),
            *("-e", f"env {certmonger.bus_address} {HELPER} --config {config}"),
        )

    return add


@pytest.fixture
def request_it(certmonger, tmp_path):
    """Requests a certificate for localhost, tracked as ``r1``."""

    def request(*more, name="localhost"):
        certmonger.getcert(
            *("request", "-c", "Anchor", "-I", "r1", "-N", f"CN={name}", "-D", name),
            *("-k", tmp_path / "s.key", "-f", tmp_path / "s.pem", "-F", tmp_path / "s-ca.pem"),
            *more,
        )

    return request


def issued(path):
    """The certificate in the file; its key must match."""
    certificate = x509.load_pem_x509_certificate((path / "s.pem").read_bytes())
    key = load_pem_private_key((path / "s.key").read_bytes(), None)
    assert key.public_key() == certificate.public_key()
    return certificate


def test_a_first_certificate_is_issued_saved_and_tracked(
    certmonger, add_ca, request_it, tmp_path, ca
):
    add_ca()

    request_it()

    shown = certmonger.wait_for("r1", "MONITORING")
    assert "yes" == shown["auto-renew"]
    certificate = issued(tmp_path)
    assert_is_leaf(certificate, issued_by=ca)
    assert ["localhost"] == names_of(certificate)


def test_the_root_is_fetched_and_saved_with_the_certificate(
    certmonger, add_ca, request_it, tmp_path, ca
):
    add_ca()
    request_it()
    certmonger.wait_for("r1", "MONITORING")

    saved = wait_for(
        lambda: (tmp_path / "s-ca.pem").exists() and (tmp_path / "s-ca.pem").read_bytes(),
        what="the root to be saved",
    )

    assert [ca.certificate] == x509.load_pem_x509_certificates(saved)


def test_an_intermediate_is_never_taken_for_a_root(certmonger, document, tmp_path, private_tls):
    root = make_ca(tmp_path, name="root")
    intermediate = make_ca(tmp_path, name="intermediate", issuer=root)
    document["signing_ca"]["local"] |= {
        "cert_path": str(intermediate.cert_path),
        "key_path": str(intermediate.key_path),
        "chain_path": str(root.cert_path),
    }
    with running(tmp_path, document, private_tls) as anchor:
        config = anchor.client_json()
        certmonger.getcert("add-ca", "-c", "Anchor", "-e", f"{HELPER} --config {config}")
        certmonger.getcert(
            *("request", "-c", "Anchor", "-I", "r1", "-N", "CN=localhost", "-D", "localhost"),
            *("-k", tmp_path / "s.key", "-f", tmp_path / "s.pem", "-F", tmp_path / "s-ca.pem"),
        )
        certmonger.wait_for("r1", "MONITORING")
        saved = wait_for(
            lambda: (tmp_path / "s-ca.pem").exists() and (tmp_path / "s-ca.pem").read_bytes(),
            what="the root to be saved",
        )

    assert [root.certificate] == x509.load_pem_x509_certificates(saved)
    issued(tmp_path).verify_directly_issued_by(intermediate.certificate)
    kept = certmonger.ca_certificates("Anchor")
    assert ["CN=root"] == kept["ca_root_certs"]
    assert "CN=intermediate" not in kept["ca_other_root_certs"]
    assert ["CN=intermediate"] == kept["ca_other_certs"]


def test_the_profile_selects_the_authority(certmonger, add_ca, request_it, tmp_path):
    add_ca()

    request_it("-T", "other")

    certmonger.wait_for("r1", "MONITORING")
    assert "CN=Other CA" == issued(tmp_path).issuer.rfc4514_string()


def test_a_rejection_shows_the_services_sentence(certmonger, add_ca, request_it, tmp_path):
    add_ca()

    request_it("-T", "elsewhere")

    shown = certmonger.wait_for("r1", "CA_REJECTED")
    assert shown["ca-error"].startswith("source_cidrs: ")
    assert not (tmp_path / "s.pem").exists()


def test_wrong_credentials_are_a_configuration_error(certmonger, add_ca, request_it, tmp_path):
    (tmp_path / "secret").write_text("wrong")
    (tmp_path / "secret").chmod(0o600)
    add_ca()
    request_it()

    shown = certmonger.wait_for("r1", "CA_UNCONFIGURED")
    assert "refused the credentials" in shown["ca-error"]

    (tmp_path / "secret").write_text("s3cret")
    certmonger.getcert("resubmit", "-i", "r1")
    certmonger.wait_for("r1", "MONITORING")


def test_certmonger_waits_for_a_service_that_is_down(
    certmonger, add_ca, request_it, https_anchor, tmp_path, ca
):
    https_anchor.stop()
    add_ca()
    request_it()
    certmonger.wait_for("r1", "CA_WORKING")

    https_anchor.start()

    certmonger.wait_for("r1", "MONITORING")
    assert_is_leaf(issued(tmp_path), issued_by=ca)


def test_renewal_restarts_a_server_whose_client_then_sees_the_new_certificate(
    certmonger, add_ca, request_it, tmp_path, ca
):
    server = TLSServer(tmp_path, tmp_path / "s.pem", tmp_path / "s.key")
    restart = tmp_path / "restart.sh"
    restart.write_text(f"#!/bin/sh\nkill -HUP $(cat {server.pid_file})\necho $1 >>{tmp_path}/ran\n")
    before = tmp_path / "before.sh"
    before.write_text(f"#!/bin/sh\necho before >>{tmp_path}/ran\n")
    for script in (restart, before):
        script.chmod(0o755)
    add_ca()
    request_it()
    certmonger.wait_for("r1", "MONITORING")
    with server:
        first = handshake(server.port, ca.cert_path)
        certmonger.getcert(
            *("start-tracking", "-i", "r1"), *("-B", before, "-C", f"{restart} after")
        )
        certmonger.stop()

        # certmonger renews a certificate of 24 hours when 12 hours are left.
        certmonger.start(clock="+13h")

        wait_for(
            lambda: handshake(server.port, ca.cert_path) != first,
            what="the server to have the next",
        )
        second = handshake(server.port, ca.cert_path)
    assert issued(tmp_path) == second
    assert_is_leaf(second, issued_by=ca)
    assert ["before", "after"] == (tmp_path / "ran").read_text().split()


def test_a_failing_renewal_keeps_the_old_certificate(
    certmonger, add_ca, request_it, https_anchor, tmp_path
):
    add_ca(renew_with_certificate=False)
    request_it()
    certmonger.wait_for("r1", "MONITORING")
    first = issued(tmp_path)
    certmonger.stop()
    (tmp_path / "secret").write_text("no longer right")

    asked = https_anchor.submissions
    certmonger.start(clock="+13h")

    wait_for(lambda: https_anchor.submissions > asked, what="a renewal to be tried")
    shown = wait_for(
        lambda: (
            (s := certmonger.request("r1")).get("ca-error") and s["status"] == "MONITORING" and s
        ),
        what="the error to be shown, and the request to be watched again",
    )
    assert "refused the credentials" in shown["ca-error"]
    assert first == issued(tmp_path)


def renewal_of(certmonger, first, tmp_path, *command):
    """Run a command of ``getcert`` that renews; return the next certificate."""
    file = tmp_path / "s.pem"
    before = file.read_bytes()
    certmonger.getcert(*command, "-i", "r1")
    # certmonger writes the file in place: at first it may be empty, or a part of the certificate.
    wait_for(lambda: file.read_bytes() != before, what="the next certificate")
    certmonger.wait_for("r1", "MONITORING")
    renewed = issued(tmp_path)
    assert renewed != first
    return renewed


def test_renewals_go_on_without_the_secret_also_with_a_new_key(
    certmonger, add_ca, request_it, https_anchor, tmp_path, ca
):
    add_ca(delete_secret=True)
    request_it()
    certmonger.wait_for("r1", "MONITORING")
    first = issued(tmp_path)
    https_anchor.requests.clear()

    second = renewal_of(certmonger, first, tmp_path, "resubmit")
    assert not (tmp_path / "secret").exists()
    third = renewal_of(certmonger, second, tmp_path, "rekey")

    assert ["/v1/renew/default"] * 2 == https_anchor.posted_to
    assert first.public_key() == second.public_key() != third.public_key()
    assert_is_leaf(third, issued_by=ca)
    assert ["localhost"] == names_of(third)
    assert "renewed with the certificate" in certmonger.log.read_text()
