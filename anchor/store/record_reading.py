"""Records of certificates that were parsed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from anchor.store.records import CertificateRecord
from anchor.X509 import general_names, name_search
from anchor.X509.general_names import InterpretedName
from anchor.X509.parse_errors import MALFORMED, without_length_warnings


def described_names(names: Iterable[InterpretedName]) -> tuple[str, ...]:
    """The entries of subjectAltName and the common names, for people."""
    return tuple(
        dict.fromkeys(
            str(name)
            for name in names
            if isinstance(name.name, x509.GeneralName) or name.name.oid == NameOID.COMMON_NAME
        )
    )


def read_record(der: bytes) -> tuple[CertificateRecord, Mapping[str, str]]:
    """The record of a certificate that another store kept, and its names with their search keys.

    Raises:
        ValueError: the certificate is malformed.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        with without_length_warnings(certificate.tbs_certificate_bytes):
            subject = certificate.subject
            extensions = certificate.extensions
            names = tuple(general_names.interpret_names(subject, _alternative_names(extensions)))
        record = CertificateRecord(
            fingerprint=hashlib.sha256(der).hexdigest(),
            serial=f"{certificate.serial_number:x}",
            ca_key_id=_authority_key_id(extensions),
            key=hashlib.sha256(key).hexdigest(),
            subject=subject.rfc4514_string(),
            names=described_names(names),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            der=der,
        )
    except MALFORMED as error:
        raise ValueError(str(error)) from error
    return record, name_search.search_entries(names)


def _alternative_names(extensions: x509.Extensions) -> Iterable[x509.GeneralName]:
    try:
        return extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()


def _authority_key_id(extensions: x509.Extensions) -> str:
    try:
        value = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except x509.ExtensionNotFound:
        return ""
    return key_id_text(value)


def key_id_text(identifier: x509.AuthorityKeyIdentifier) -> str:
    """The start of a key identifier, in hexadecimal; usually it is all of it."""
    return (identifier.key_identifier or b"")[:32].hex()
