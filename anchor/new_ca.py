"""A new CA: its key, and a certificate as RFC 5280 wants it of a CA."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

KEYS = ("ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096", "ed25519")


@dataclass(frozen=True)
class NewCA:
    """A CA's key and certificate, both in PEM."""

    key_pem: bytes
    certificate_pem: bytes


def make_key(kind: str) -> CertificateIssuerPrivateKeyTypes:
    """A new private key of one of the :data:`KEYS`."""
    family, _, size = kind.partition("-")
    if family == "rsa":
        return rsa.generate_private_key(65537, int(size))
    if family == "ec":
        return ec.generate_private_key(ec.SECP256R1() if size == "p256" else ec.SECP384R1())
    return ed25519.Ed25519PrivateKey.generate()


def make_root(common_name: str, kind: str, days: int) -> NewCA:
    """A self-signed CA, valid from now on.

    Args:
        common_name: the CA's name.
        kind: of its key, one of the :data:`KEYS`.
        days: how long it is valid.
    """
    key = make_key(kind)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    public_key = key.public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=days, seconds=-1))
        # RFC 5280 4.2.1.9, 4.2.1.3, 4.2.1.2 and 4.2.1.1; clients that are strict want all four.
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(CA_USAGE, critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
        .sign(key, None if kind == "ed25519" else hashes.SHA256())
    )
    return NewCA(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        certificate.public_bytes(Encoding.PEM),
    )


CA_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
