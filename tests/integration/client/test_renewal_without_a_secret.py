"""A machine's life with one token of one use: from its first certificate to later renewals."""

from __future__ import annotations

import json
import subprocess

from cryptography import x509

from tests.support.servers.anchor import serving
from tests.support.servers.processes import program
from tests.support.servers.tls_server import TLSServer, handshake
from tests.support.tokens import token_configuration


def anchor(*arguments, code=0):
    """Run ``anchor``; return its output and its errors."""
    finished = subprocess.run(
        [program("anchor", "anchor, in place"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == code, finished.stderr
    return finished.stdout + finished.stderr


def test_a_token_of_one_use_starts_a_machine_that_then_renews_by_itself(tmp_path, document, ca):
    token_configuration(document)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(document))
    token, state = tmp_path / "token", tmp_path / "state"
    words = ("token", "create", "--authority", "default", "--requester", "web1")
    anchor(*words, "--name", "localhost", "--output", token, "--config", config)
    secret = json.loads(token.read_text())["secret"]

    with serving("pecan", tmp_path, {"ANCHOR_CONF": str(config)}) as service:
        words = ("request", "localhost", "--url", f"{service.url}/v1/sign/default", "--allow-http")
        words += ("--token-file", token, "--delete-secret", "--state", state)
        said = [anchor(*words)]
        # The token is used up, and a request needs one.
        said.append(anchor(*words, code=1))
        said += [anchor("renew", "--force", "--state", state) for _ in range(2)]
        said.append(anchor(*words, code=1))
        said.append(anchor("list", "--state", state))
        certificates = anchor("certs", "--json", "--config", config).splitlines()

    assert "issued, valid until" in said[0]
    assert "may be used up, expired or revoked" in said[1]
    assert f"renewed with the certificate; deleted {token}, valid until" in said[2]
    assert "renewed with the certificate, valid until" in said[3]
    assert f"--token-file: {token} cannot be read: No such file" in said[4]
    assert said[5].endswith("Z  certificate\n")
    assert secret not in "".join(said) and secret not in service.log
    assert 3 == len(certificates)
    files = state / "certificates" / "localhost"
    with TLSServer(tmp_path, files / "fullchain.pem", files / "key.pem") as server:
        presented = handshake(server.port, ca.cert_path)
    assert presented == x509.load_pem_x509_certificate((files / "cert.pem").read_bytes())
