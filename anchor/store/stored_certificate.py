"""A stored certificate, as the inventory lists it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from anchor.timestamps import timestamp
from anchor.X509 import general_names, name_matching
from anchor.X509.general_name_text import describe
from anchor.X509.parse_errors import MALFORMED, without_length_warnings


class StoredCertificate:
    """A certificate in a file.

    Args:
        pem: the contents of the file.
        path: the path of the file.

    Raises:
        ValueError: the file does not contain a valid certificate in PEM.
    """

    def __init__(self, pem: bytes, path: str):
        self.path = path
        with _value_errors():
            self._certificate = x509.load_pem_x509_certificate(pem)
            key = self._certificate.public_key()
        self._key = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        with _value_errors(), without_length_warnings(self._certificate.tbs_certificate_bytes):
            self._subject = self._certificate.subject
            extensions = self._certificate.extensions
        try:
            names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            self._alternative_names = tuple(names)
        except x509.ExtensionNotFound:
            self._alternative_names = ()

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the DER encoding, in hexadecimal."""
        return self._certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def serial(self) -> str:
        """The serial number, in hexadecimal."""
        return f"{self._certificate.serial_number:x}"

    @cached_property
    def not_before(self) -> str:
        """The first second of the validity, as RFC 3339 text."""
        return timestamp(self._certificate.not_valid_before_utc)

    @cached_property
    def not_after(self) -> str:
        """The last second of the validity, as RFC 3339 text."""
        return timestamp(self._certificate.not_valid_after_utc)

    @property
    def subject(self) -> str:
        """The subject, as RFC 4514 text."""
        return self._subject.rfc4514_string()

    @property
    def key(self) -> str:
        """The SHA-256 of the SubjectPublicKeyInfo, in hexadecimal."""
        return hashlib.sha256(self._key).hexdigest()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The subjectAltName entries and the common names, each as ``kind:name``."""
        described = [describe(name) for name in self._alternative_names]
        described += [
            f"CN:{attribute.value!s}"
            for attribute in self._subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        ]
        return tuple(dict.fromkeys(map(_normalized, described)))

    @cached_property
    def plain_names(self) -> tuple[str, ...]:
        """The hosts, addresses, mailboxes and URIs that the certificate names."""
        names: dict[str, None] = {}
        for name in general_names.interpret_names(self._subject, self._alternative_names):
            names |= dict.fromkeys(name.meaning.hosts)
            names |= dict.fromkeys(general_names.exact_texts(name.meaning))
        return tuple(names)


def _normalized(described: str) -> str:
    kind, _, value = described.partition(":")
    return f"{kind}:{name_matching.normalize(value)}"


@contextlib.contextmanager
def _value_errors() -> Iterator[None]:
    try:
        yield
    except MALFORMED as error:
        raise ValueError(str(error)) from error
