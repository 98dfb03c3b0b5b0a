"""New CA keys and certificates (RFC 5280)."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from anchor.X509.ca_certificate import authority_key_identifier

KEYS = ("ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096", "ed25519")


@dataclass(frozen=True)
class NewCA:
    """A CA's key and certificate, both in PEM."""

    key_pem: bytes
    certificate_pem: bytes


@dataclass(frozen=True)
class Issuer:
    """An existing CA that issues another CA's certificate."""

    certificate: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes


def make_key(kind: str) -> CertificateIssuerPrivateKeyTypes:
    """A new private key of one of the :data:`KEYS`."""
    family, _, size = kind.partition("-")
    if family == "rsa":
        return rsa.generate_private_key(65537, int(size))
    if family == "ec":
        return ec.generate_private_key(ec.SECP256R1() if size == "p256" else ec.SECP384R1())
    return ed25519.Ed25519PrivateKey.generate()


def key_pem(key: CertificateIssuerPrivateKeyTypes, passphrase: str | None = None) -> bytes:
    """The private key as PKCS#8 in PEM, encrypted if there is a passphrase."""
    encryption: KeySerializationEncryption = NoEncryption()
    if passphrase is not None:
        encryption = BestAvailableEncryption(passphrase.encode("utf-8"))
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def certify(
    common_name: str,
    key: CertificateIssuerPrivateKeyTypes,
    days: int,
    issuer: Issuer | None = None,
) -> x509.Certificate:
    """A CA certificate, valid from now.

    Args:
        common_name: the CA's name.
        key: the CA's private key.
        days: its validity; the certificate never outlives its issuer.
        issuer: the issuing CA; None for a self-signed root.  An issued CA must not issue another
            CA (pathLenConstraint 0).

    Raises:
        ValueError: the issuer has the same name, or must not issue a CA.
    """
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    not_after = now + datetime.timedelta(days=days, seconds=-1)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    if issuer is not None:
        _require_issuer(issuer, subject)
        not_after = min(not_after, issuer.certificate.not_valid_after_utc)
        authority = authority_key_identifier(issuer.certificate)
    signing_key = key if issuer is None else issuer.key
    takes_no_hash = isinstance(signing_key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(not_after)
        # RFC 5280 4.2.1.9, 4.2.1.3, 4.2.1.2 and 4.2.1.1; strict clients require all four.
        .add_extension(x509.BasicConstraints(True, None if issuer is None else 0), critical=True)
        .add_extension(CA_USAGE, critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(authority, critical=False)
        .sign(signing_key, None if takes_no_hash else hashes.SHA256())
    )


def _require_issuer(issuer: Issuer, subject: x509.Name) -> None:
    if issuer.certificate.subject == subject:
        # Chains are built by name: a certificate with issuer == subject ends the chain.
        raise ValueError("the root and the intermediate have the same name")
    constraints = issuer.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    if constraints.value.path_length == 0:
        raise ValueError("the root's pathLenConstraint is 0: it must not issue a CA")


def make_root(common_name: str, kind: str, days: int) -> NewCA:
    """A new root CA of this name, with a key of one of the :data:`KEYS`."""
    key = make_key(kind)
    certificate = certify(common_name, key, days)
    return NewCA(key_pem(key), certificate.public_bytes(Encoding.PEM))


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
