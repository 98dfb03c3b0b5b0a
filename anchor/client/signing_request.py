"""A certificate signing request for names."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import idna
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import NameOID

from anchor.client.errors import Misconfigured

# RFC 5280 appendix A.1, ub-common-name.
MAX_COMMON_NAME = 64


def general_name(text: str) -> x509.GeneralName:
    """An IP address or a DNS name; international names become punycode.

    Raises:
        Misconfigured: it is neither.
    """
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        pass
    star, name = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    try:
        if not name.isascii():
            name = idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError:
        name = ""
    if not name or any(character.isspace() or character in "/@," for character in name):
        raise Misconfigured(f"{text!r} is neither a DNS name nor an address")
    return x509.DNSName(star + name)


def make(
    key: CertificateIssuerPrivateKeyTypes, names: Sequence[str], common_name: str | None
) -> x509.CertificateSigningRequest:
    """A certificate signing request.

    Args:
        key: the private key.
        names: DNS names and addresses, all of which go into subjectAltName.
        common_name: for the subject; None for the first name if it is short enough, and empty for
            no subject.
    """
    general_names = [general_name(name) for name in names]
    if common_name is None:
        first = str(general_names[0].value)
        common_name = first if len(first) <= MAX_COMMON_NAME else ""
    if len(common_name) > MAX_COMMON_NAME:
        raise Misconfigured(f"the common name is longer than {MAX_COMMON_NAME} characters")
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    builder = x509.CertificateSigningRequestBuilder(x509.Name(attributes)).add_extension(
        # RFC 5280 4.2.1.6: critical exactly when the subject is empty.
        x509.SubjectAlternativeName(general_names),
        critical=not attributes,
    )
    takes_no_hash = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return builder.sign(key, None if takes_no_hash else hashes.SHA256())
