"""The names in a request, wherever they stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cryptography import x509

from anchor.X509 import csr_encoding, der_texts
from anchor.X509.signing_request import X509Csr

_IN_TEXT = (x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier)


def texts(csr: X509Csr) -> Iterator[str]:
    """Every name in the request that is text: of the subject, and of subjectAltName."""
    yield from _texts(csr.subject_attributes)
    for name in csr.alternative_names:
        if isinstance(name, x509.DirectoryName):
            yield from _texts(name.value)
        elif isinstance(name, _IN_TEXT):
            yield name.value
        elif isinstance(name, x509.OtherName):
            text = csr_encoding.text_in(name.value)
            if text is not None:
                yield text


def nested_texts(csr: X509Csr) -> Iterator[str]:
    """The texts inside otherNames that are more than a text, such as Kerberos principals.

    Raises:
        ValueError: an otherName is not DER, or has more parts than can be looked at.
    """
    return der_texts.texts(
        name.value for name in csr.alternative_names if isinstance(name, x509.OtherName)
    )


def _texts(attributes: Iterable[x509.NameAttribute[str | bytes]]) -> Iterator[str]:
    for attribute in attributes:
        if isinstance(attribute.value, str):
            yield attribute.value
