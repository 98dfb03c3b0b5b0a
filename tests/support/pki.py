"""Keys, CAs and requests for tests, and assertions about certificates."""

from __future__ import annotations

import contextlib
import datetime
import functools
import ipaddress
import warnings
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from anchor.X509 import create_ca, pem

KEY_KINDS = ("rsa-2048", "ec-p256", "ec-p384", "ec-p521", "ed25519", "ed448")
DAY = datetime.timedelta(days=1)


def now():
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def make_key(kind="ec-p256"):
    match kind.split("-"):
        case ["rsa", bits]:
            return rsa.generate_private_key(65537, int(bits))
        case ["ec", curve]:
            return ec.generate_private_key(
                {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1}[curve]()
            )
        case ["ed448"]:
            return ed448.Ed448PrivateKey.generate()
        case _:
            return ed25519.Ed25519PrivateKey.generate()


@functools.cache
def shared_key(kind="ec-p256"):
    """A key that tests share, because RSA keys are slow to generate."""
    return make_key(kind)


def hash_for(key):
    edwards = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return None if edwards else hashes.SHA256()


def key_pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def subject(common_name=None, *more):
    names = [] if common_name is None else [(NameOID.COMMON_NAME, common_name)]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in (*names, *more)])


def general_name(text):
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def make_csr(common_name="www.example.com", *alternative_names, key=None, extensions=()):
    """A request in PEM.

    Args:
        common_name: the common name; None for an empty subject.
        alternative_names: the entries of subjectAltName, as text or as x509.GeneralName.
        key: the key; by default one that tests share.
        extensions: more extensions, or pairs of an extension and whether it is critical.
    """
    key = key or shared_key()
    builder = x509.CertificateSigningRequestBuilder(subject(common_name))
    if alternative_names:
        names = [general_name(n) if isinstance(n, str) else n for n in alternative_names]
        builder = builder.add_extension(
            x509.SubjectAlternativeName(names), critical=common_name is None
        )
    for extension in extensions:
        value, critical = extension if isinstance(extension, tuple) else (extension, False)
        builder = builder.add_extension(value, critical)
    return builder.sign(key, hash_for(key)).public_bytes(Encoding.PEM)


@dataclass(frozen=True)
class CA:
    """A CA certificate and its key, with their files."""

    certificate: x509.Certificate
    key: object
    cert_path: Path
    key_path: Path


def make_ca(  # tests vary each of these
    directory,
    kind="ec-p256",
    *,
    name="Test CA",
    not_before=None,
    not_after=None,
    key=None,
    issuer=None,
    ca=True,
    usage=create_ca.CA_USAGE,
):
    key = key or make_key(kind)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject(name))
        .issuer_name(issuer.certificate.subject if issuer else subject(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before or now() - DAY)
        .not_valid_after(not_after or now() + 365 * DAY)
        .add_extension(x509.BasicConstraints(ca, None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(
                (issuer.key if issuer else key).public_key()
            ),
            False,
        )
    )
    if usage is not None:
        builder = builder.add_extension(usage, True)
    signing_key = issuer.key if issuer else key
    certificate = builder.sign(signing_key, hash_for(signing_key))
    cert_path, key_path = directory / f"{name}.crt", directory / f"{name}.key"
    cert_path.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_path.write_bytes(key_pem(key))
    key_path.chmod(0o400)
    return CA(certificate, key, cert_path, key_path)


def ca_certificate(name, permitted=None, excluded=None, issuer=None, path_length=None):
    """A CA certificate with name constraints; all these CAs share one key."""
    key = shared_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject(name))
        .issuer_name(issuer.subject if issuer else subject(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - DAY)
        .not_valid_after(now() + 365 * DAY)
        .add_extension(x509.BasicConstraints(True, path_length), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(create_ca.CA_USAGE, True)
    )
    if permitted or excluded:
        builder = builder.add_extension(x509.NameConstraints(permitted, excluded), True)
    return builder.sign(key, hashes.SHA256())


def signed_with_sha1(signed, key):
    """A certificate or request in PEM, signed again with SHA-1, as cryptography makes none.

    Args:
        signed: what an RSA key signed with SHA-256.
        key: the RSA key to sign with.
    """
    # The last bytes of PKCS #1's sha256WithRSAEncryption and sha1WithRSAEncryption.
    sha256, sha1 = bytes.fromhex("f70d01010b0500"), bytes.fromhex("f70d0101050500")
    request = isinstance(signed, x509.CertificateSigningRequest)
    body = signed.tbs_certrequest_bytes if request else signed.tbs_certificate_bytes
    signature = key.sign(body.replace(sha256, sha1), padding.PKCS1v15(), hashes.SHA1())
    octets = signed.public_bytes(Encoding.DER).replace(sha256, sha1)
    label = b"CERTIFICATE REQUEST" if request else b"CERTIFICATE"
    return pem.encode(octets[: -len(signature)] + signature, label)


def certificate_with_invalid_version():
    """A certificate in PEM with an invalid version number."""
    made = x509.load_pem_x509_certificate(
        create_ca.make_root("Of no version", "ec-p256", 1).certificate_pem
    )
    octets = made.public_bytes(Encoding.DER)
    assert made.version is x509.Version.v3
    other = octets.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020109"), 1)
    return pem.encode(other, b"CERTIFICATE").decode()


@contextlib.contextmanager
def without_length_warnings():
    """Suppress the warning about common names of more than 64 bytes during the block."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Attribute's length must be")
        yield


def names_of(certificate):
    """The names in subjectAltName, as text."""
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(name.value) for name in extension.value]


def assert_is_leaf(certificate, *, issued_by):
    """Require a certificate of version 3 that this CA issued and that is not a CA's."""
    certificate.verify_directly_issued_by(issued_by.certificate)
    assert certificate.version is x509.Version.v3
    assert certificate.not_valid_after_utc <= issued_by.certificate.not_valid_after_utc
    assert 0 < certificate.serial_number < 1 << 159
    extensions = certificate.extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=False, path_length=None)
    for extension in extensions:
        if isinstance(extension.value, x509.KeyUsage):
            assert not extension.value.key_cert_sign
            assert not extension.value.crl_sign
