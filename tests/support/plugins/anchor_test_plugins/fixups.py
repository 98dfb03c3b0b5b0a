"""Fixups."""

from __future__ import annotations

from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from anchor.validators import ValidationError
from anchor.X509.signing_request import X509Csr


def organisation(csr: X509Csr, name: str) -> X509Csr:
    """Add an organisation to the subject."""
    attribute = x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)
    return csr.with_subject(x509.Name([*csr.subject, attribute]))


def nonsense(csr: X509Csr) -> str:
    """Return a value that is not a request."""
    return "nonsense"


def other_key(csr: X509Csr) -> X509Csr:
    """Return a request for another key."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder(csr.subject)
    request = builder.sign(key, hashes.SHA256())
    return replace(csr, submitted=X509Csr.from_der(request.public_bytes(Encoding.DER)).submitted)


def raises(csr: X509Csr) -> X509Csr:
    """Raise an unexpected error."""
    raise KeyError("a bug")


def refuses(csr: X509Csr) -> X509Csr:
    """Reject every request."""
    raise ValidationError("this cannot be mended", name="a.example.com")
