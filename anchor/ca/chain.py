"""Reading and proving the certificates of a CA."""

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
    """The one CA certificate in a PEM file.

    Raises:
        ValueError: there is not exactly one, or it is not, or not now, that of a CA.
    """
    found = _read(path)
    if len(found) != 1:
        raise ValueError(f"{path} holds {len(found)} certificates, and should hold one")
    _require_ca(found[0], str(path), now)
    return found[0]


def read_chain(
    path: Path, ca: x509.Certificate, now: datetime.datetime
) -> tuple[x509.Certificate, ...]:
    """The certificates that lead from a CA towards its root, in that order.

    Raises:
        ValueError: one of them is not a CA now, or did not issue the one before it.
    """
    chain = tuple(_read(path))
    issued = ca
    for position, issuer in enumerate(chain, start=1):
        where = f"certificate {position} in {path}"
        _require_ca(issuer, where, now)
        try:
            issued.verify_directly_issued_by(issuer)
        except (InvalidSignature, *MALFORMED):
            raise ValueError(f"{where} {_why_not_by_it(issued)}") from None
        issued = issuer
    return chain


def _why_not_by_it(issued: x509.Certificate) -> str:
    with contextlib.suppress(UnsupportedAlgorithm):
        used = issued.signature_hash_algorithm
        if used is not None and used.name in _BROKEN_HASHES:
            return f"signed the one before it over {used.name}, which is broken"
    return "did not issue the one before it"


# The library verifies no certificate that is signed over one of them.
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
    # RFC 5280 4.2.1.9 and 4.2.1.3: both must allow it, keyUsage only if it is there.
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
    """The pathLenConstraint of a CA's certificate, or None if it has none."""
    constraints = _value(certificate.extensions, x509.BasicConstraints)
    return constraints.path_length if constraints else None
