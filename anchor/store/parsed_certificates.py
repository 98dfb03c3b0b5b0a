"""What a certificate says, as the library reads it: for those that are written in another way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from anchor.timestamps import timestamp
from anchor.X509 import general_names
from anchor.X509.general_name_text import describe
from anchor.X509.name_matching import normalize
from anchor.X509.parse_errors import MALFORMED, without_length_warnings


class ParsedCertificate:
    """A certificate that was taken apart, in the words of :class:`anchor.store.outline.Outline`."""

    def __init__(self, der: bytes):
        """Raises ValueError if it is no certificate, as all properties do for their part of it."""
        with _value_errors():
            self._certificate = x509.load_der_x509_certificate(der)

    @property
    def serial(self) -> str:
        """The serial number, in hexadecimal."""
        return f"{self._certificate.serial_number:x}"

    @property
    def not_before(self) -> str:
        """The first second of its validity."""
        return timestamp(self._certificate.not_valid_before_utc)

    @property
    def not_after(self) -> str:
        """The last second of its validity."""
        return timestamp(self._certificate.not_valid_after_utc)

    @property
    def subject(self) -> str:
        """The subject as RFC 4514 writes it."""
        return self._subject.rfc4514_string()

    @property
    def key(self) -> bytes:
        """The key, as SubjectPublicKeyInfo."""
        with _value_errors():
            key = self._certificate.public_key()
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def names(self) -> tuple[str, ...]:
        """The names in subjectAltName and the common names, with their kind in front."""
        described = [describe(name) for name in self._alternative_names]
        described += [
            f"CN:{attribute.value!s}"
            for attribute in self._subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        ]
        return tuple(dict.fromkeys(map(_normal, described)))

    @property
    def plain_names(self) -> tuple[str, ...]:
        """The hosts, addresses, mailboxes and URIs that it names."""
        found: dict[str, None] = {}
        for name in general_names.named(self._subject, self._alternative_names):
            found |= dict.fromkeys(name.meaning.hosts)
            found |= dict.fromkeys(general_names.exact_texts(name.meaning))
        return tuple(found)

    @property
    def _alternative_names(self) -> tuple[x509.GeneralName, ...]:
        try:
            with self._reading_names():
                extensions = self._certificate.extensions
            extension = extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return ()
        return tuple(extension.value)

    @property
    def _subject(self) -> x509.Name:
        with self._reading_names():
            return self._certificate.subject

    @contextlib.contextmanager
    def _reading_names(self) -> Iterator[None]:
        with _value_errors(), without_length_warnings(self._certificate.tbs_certificate_bytes):
            yield


def _normal(described: str) -> str:
    kind, _, value = described.partition(":")
    return f"{kind}:{normalize(value)}"


def der_in(pem: bytes) -> bytes:
    """The DER encoding of a certificate in PEM; raises ValueError if it is none."""
    with _value_errors():
        return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


@contextlib.contextmanager
def _value_errors() -> Iterator[None]:
    try:
        yield
    except MALFORMED as error:
        raise ValueError(str(error)) from error
