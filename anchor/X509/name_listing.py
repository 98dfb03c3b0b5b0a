"""The texts of all names in a request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cryptography import x509

from anchor.X509 import der_texts
from anchor.X509.signing_request import X509Csr

_TEXT_NAMES = (x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier)


def texts(csr: X509Csr) -> Iterator[str]:
    """Every name that is text, in the subject and in subjectAltName."""
    yield from _texts(csr.subject_attributes)
    for name in csr.alternative_names:
        if isinstance(name, x509.DirectoryName):
            yield from _texts(name.value)
        elif isinstance(name, _TEXT_NAMES):
            yield name.value
        elif isinstance(name, x509.OtherName):
            text = der_texts.string_text(name.value)
            if text is not None:
                yield text


def nested_texts(csr: X509Csr) -> Iterator[str]:
    """All texts in otherNames, also in structured ones such as Kerberos principals.

    Raises:
        ValueError: an otherName is not DER, is nested too deeply, or has too many parts.
    """
    return der_texts.texts(
        name.value for name in csr.alternative_names if isinstance(name, x509.OtherName)
    )


def _texts(attributes: Iterable[x509.NameAttribute[str | bytes]]) -> Iterator[str]:
    for attribute in attributes:
        if isinstance(attribute.value, str):
            yield attribute.value
