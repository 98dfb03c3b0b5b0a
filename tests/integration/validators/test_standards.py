"""Certificates, as OpenSSL verifies them."""

from __future__ import annotations

import subprocess

from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.pki import make_csr
from tests.support.servers.processes import program


def test_openssl_needs_revocation_data_only_if_it_is_required(service, ca, tmp_path):
    certificate = service.issue(make_csr("www.example.com", "www.example.com"))

    leaf = tmp_path / "leaf.crt"
    leaf.write_bytes(certificate.public_bytes(Encoding.PEM))
    verify = [program("openssl", "openssl"), "verify", "-x509_strict", "-CAfile", str(ca.cert_path)]
    subprocess.run([*verify, str(leaf)], check=True, capture_output=True)
    insisting = subprocess.run(
        [*verify, "-crl_check", str(leaf)], check=False, capture_output=True, text=True
    )
    assert insisting.returncode != 0
    assert "unable to get certificate CRL" in insisting.stdout + insisting.stderr
