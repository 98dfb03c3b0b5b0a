"""Signing backends: functions that return a certificate, and a class that has a key."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from anchor.options import FilePath
from anchor.X509.signing_request import X509Csr


def sign(csr: X509Csr, conf: Mapping[str, Any]) -> str:
    """Return a certificate in PEM, made by other CA software."""
    return _certificate(csr, conf, csr.alternative_names).decode()


def sign_other_names(csr: X509Csr, conf: Mapping[str, Any]) -> bytes:
    """Return a certificate for a name that was not approved."""
    return _certificate(csr, conf, [x509.DNSName("evil.example.com")])


def sign_nothing(csr: X509Csr, conf: Mapping[str, Any]) -> None:
    """Return no certificate."""


def _certificate(csr: X509Csr, conf: Mapping[str, Any], names: Any) -> bytes:
    ca = x509.load_pem_x509_certificate(Path(conf["cert_path"]).read_bytes())
    key = load_pem_private_key(Path(conf["foreign_key"]).read_bytes(), None)
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(csr.subject)
        .issuer_name(ca.subject)
        .public_key(csr.public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(hours=conf.get("foreign_hours", 1)))
        .add_extension(x509.BasicConstraints(False, None), True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


class Key:
    """The CA's key, from a file that only this plug-in reads."""

    def __init__(self, vault: FilePath, attempts: int = 1):
        self._key = load_pem_private_key(vault.read_bytes(), None)

    def private_key(self) -> Any:
        """The key."""
        return self._key
