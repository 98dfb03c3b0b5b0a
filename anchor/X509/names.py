"""The names in a request, wherever they stand."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography import x509

from anchor.X509 import encoding
from anchor.X509.signing_request import X509Csr


def texts(csr: X509Csr) -> Iterator[str]:
    """Every name in the request that is text: of the subject, and of subjectAltName."""
    yield from name_texts(csr.subject)
    for name in csr.alternative_names:
        if isinstance(name, x509.DirectoryName):
            yield from name_texts(name.value)
        elif isinstance(name, x509.DNSName | x509.RFC822Name | x509.UniformResourceIdentifier):
            yield name.value
        elif isinstance(name, x509.OtherName):
            text = encoding.text_in(name.value)
            if text is not None:
                yield text


def name_texts(name: x509.Name) -> Iterator[str]:
    """Every attribute of a distinguished name that is text."""
    for attribute in name:
        if isinstance(attribute.value, str):
            yield attribute.value


def describe(name: x509.GeneralName) -> str:
    """A subjectAltName entry in one line, such as ``DNS:www.example.com``, printable always."""
    match name:
        case x509.DNSName():
            text = f"DNS:{name.value}"
        case x509.IPAddress():
            text = f"IP:{name.value}"
        case x509.RFC822Name():
            text = f"email:{name.value}"
        case x509.UniformResourceIdentifier():
            text = f"URI:{name.value}"
        case x509.DirectoryName():
            text = f"dirName:{name.value.rfc4514_string()}"
        case x509.RegisteredID():
            text = f"RID:{name.value.dotted_string}"
        case x509.OtherName():
            text = f"otherName:{name.type_id.dotted_string}"
        case _:
            text = type(name).__name__
    return text if text.isascii() and text.isprintable() else ascii(text)[1:-1]
