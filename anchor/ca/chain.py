"""Reading and checking the certificates of a CA and its chain."""

from __future__ import annotations

import contextlib
import datetime
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from anchor.X509.parse_errors import MALFORMED
from anchor.X509.signatures import CAPublicKey

ExtensionType = TypeVar("ExtensionType", bound=x509.ExtensionType)


def read_ca(path: Path, now: datetime.datetime) -> x509.Certificate:
    """Read a CA certificate from a PEM file.

    Raises:
        ValueError: the file does not contain exactly one certificate, or it is not a valid CA's.
    """
    certificates = _read(path)
    if len(certificates) != 1:
        raise ValueError(f"{path} holds {len(certificates)} certificates, and should hold one")
    _require_ca(certificates[0], str(path), now)
    return certificates[0]


def read_chain(
    path: Path, ca: x509.Certificate, now: datetime.datetime
) -> tuple[x509.Certificate, ...]:
    """Read the certificates between a CA and its root from a PEM file.

    Raises:
        ValueError: a certificate is not a valid CA's, or did not issue the previous one.
    """
    chain = tuple(_read(path))
    issued = ca
    for position, issuer in enumerate(chain, start=1):
        where = f"certificate {position} in {path}"
        _require_ca(issuer, where, now)
        try:
            issued.verify_directly_issued_by(issuer)
        except (InvalidSignature, *MALFORMED):
            raise ValueError(f"{where} {_issuance_error(issued)}") from None
        issued = issuer
    return chain


def _issuance_error(issued: x509.Certificate) -> str:
    with contextlib.suppress(UnsupportedAlgorithm):
        used = issued.signature_hash_algorithm
        if used is not None and used.name in _BROKEN_HASHES:
            return f"signed the one before it over {used.name}, which is broken"
    return "did not issue the one before it"


# cryptography verifies no signature over these hashes.
_BROKEN_HASHES = frozenset({"md5", "sha1"})


def _read(path: Path) -> list[x509.Certificate]:
    try:
        pem = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return x509.load_pem_x509_certificates(pem)
    except MALFORMED:
        raise ValueError(f"{path} holds no certificate in PEM") from None


def _require_ca(certificate: x509.Certificate, where: str, now: datetime.datetime) -> None:
    try:
        public_key = certificate.public_key()
        extensions = certificate.extensions
    except Exception as error:
        raise ValueError(f"{where} cannot be parsed: {error}") from error
    if not isinstance(public_key, CAPublicKey):
        raise ValueError(f"{where} has a key that cannot sign certificates")
    if now < certificate.not_valid_before_utc:
        raise ValueError(f"{where} is not valid before {certificate.not_valid_before_utc}")
    if now > certificate.not_valid_after_utc:
        raise ValueError(f"{where} has expired at {certificate.not_valid_after_utc}")
    # RFC 5280 4.2.1.9 and 4.2.1.3: a CA needs cA, and keyCertSign if it has keyUsage.
    constraints = _value(extensions, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise ValueError(f"{where} is not a CA certificate: basicConstraints do not say CA:TRUE")
    usage = _value(extensions, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise ValueError(f"{where} is not for signing certificates: keyUsage lacks keyCertSign")
    if not list(certificate.subject):
        raise ValueError(f"{where} has no subject, so nothing can name it as its issuer")


def _value(extensions: x509.Extensions, kind: type[ExtensionType]) -> ExtensionType | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def path_length(certificate: x509.Certificate) -> int | None:
    """The pathLenConstraint of a CA's certificate, or None."""
    constraints = _value(certificate.extensions, x509.BasicConstraints)
    return constraints.path_length if constraints else None
