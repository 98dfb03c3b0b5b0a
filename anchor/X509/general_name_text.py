"""One-line descriptions of subjectAltName entries (RFC 5280 section 4.2.1.6)."""

from __future__ import annotations

from typing import NamedTuple

from cryptography import x509


class LazyDescription(NamedTuple):
    """A subjectAltName entry whose description is computed by ``str()``."""

    name: x509.GeneralName

    def __str__(self) -> str:
        """The description."""
        return describe(self.name)


def describe(name: x509.GeneralName) -> str:
    """A printable line for a subjectAltName entry, such as ``DNS:www.example.com``."""
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
