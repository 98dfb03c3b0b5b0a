"""A machine's first certificate: from ``anchor token create`` to a TLS handshake."""

from __future__ import annotations

import json
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.pki import make_csr, make_key
from tests.support.servers.anchor import serving
from tests.support.servers.processes import program
from tests.support.servers.tls_server import TLSServer, handshake
from tests.support.tokens import token_configuration


@pytest.fixture
def running(tmp_path, document):
    """The service under Pecan's server, and a function that runs ``anchor``."""
    token_configuration(document)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(document))

    def anchor(*arguments, code=0):
        finished = subprocess.run(
            [program("anchor", "anchor, in place"), *arguments, "--config", config],
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == code, finished.stderr
        return finished.stdout

    with serving("pecan", tmp_path, {"ANCHOR_CONF": str(config)}) as service:
        yield service, anchor


def curl(url, *arguments):
    """The status and the body of a response."""
    finished = subprocess.run(
        [program("curl", "curl"), "-sS", "-w", "\n%{http_code}", *arguments, url],
        capture_output=True,
        text=True,
        check=True,
    )
    body, _, status = finished.stdout.rpartition("\n")
    return int(status), body


def test_a_token_gets_a_machine_a_certificate_for_tls(running, tmp_path, ca):
    service, anchor = running
    key = make_key()
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    (tmp_path / "csr.pem").write_bytes(make_csr("localhost", "localhost", key=key))
    url = f"{service.url}/v1/sign/default"
    words = ("token", "create", "--authority", "default", "--requester", "web1", "--json")
    token = json.loads(anchor(*words, "--uses", "2", "--name", "localhost"))

    form = ["-F", f"user={token['id']}", "-F", f"secret={token['secret']}", "-F", "encoding=pem"]
    status, certificate = curl(url, *form, "-F", f"csr=<{tmp_path}/csr.pem")
    assert status == 200
    basic = ["-u", f"{token['id']}:{token['secret']}", "-H", "Content-Type: application/pkcs10"]
    basic += ["--data-binary", f"@{tmp_path}/csr.pem"]
    assert curl(url, *basic)[0] == 200
    assert curl(url, *basic)[0] == curl(url, *form, "-F", f"csr=<{tmp_path}/csr.pem")[0] == 401

    (tmp_path / "cert.pem").write_text(certificate)
    subprocess.run(
        ["openssl", "verify", "-x509_strict", "-CAfile", ca.cert_path, tmp_path / "cert.pem"],
        check=True,
        capture_output=True,
    )
    with TLSServer(tmp_path, tmp_path / "cert.pem", tmp_path / "key.pem") as server:
        presented = handshake(server.port, ca.cert_path)
    assert presented == x509.load_pem_x509_certificate(certificate.encode())

    told = json.loads(anchor("token", "revoke", token["id"], "--json"))
    serials = {each["serial"] for each in told["certificates"]}
    assert f"{presented.serial_number:x}" in serials and len(serials) == 2
    assert token["secret"] not in service.log


def test_a_token_that_is_revoked_gets_nothing_from_a_running_service(running, tmp_path):
    service, anchor = running
    (tmp_path / "csr.pem").write_bytes(make_csr("localhost", "localhost"))
    words = ("token", "create", "--authority", "default", "--requester", "web1", "--output")
    anchor(*words, tmp_path / "web1.token", "--uses", "9")
    token = json.loads((tmp_path / "web1.token").read_text())
    basic = ["-u", f"{token['id']}:{token['secret']}", "-H", "Content-Type: application/pkcs10"]
    basic += ["--data-binary", f"@{tmp_path}/csr.pem"]
    url = f"{service.url}/v1/sign/default"
    assert curl(url, *basic)[0] == 200

    anchor("token", "revoke", token["id"])

    assert curl(url, *basic)[0] == 401
    assert anchor("token", "list", "--usable").startswith("there is no token that can be used")
    assert token["id"] in anchor("token", "list")
