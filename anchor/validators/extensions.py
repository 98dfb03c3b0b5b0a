"""Checks on the extensions in a request."""

from __future__ import annotations

from cryptography import x509

from anchor.config.option_types import Extensions
from anchor.validators.errors import ValidationError, refuse_any
from anchor.X509.oids import name_of_extension
from anchor.X509.signing_request import X509Csr


def extensions(csr: X509Csr, allowed_extensions: Extensions = frozenset()) -> None:
    """Require that every extension in the request is allowed.

    Args:
        allowed_extensions: the extensions, by their RFC 5280 or OpenSSL names, or as dotted OIDs.
            Case does not matter.
    """
    refuse_any(
        "extensions are not allowed",
        extensions=(
            name_of_extension(extension.oid)
            for extension in csr.extensions
            if extension.oid not in allowed_extensions
        ),
    )


def ca_status(csr: X509Csr, ca_requested: bool = False) -> None:
    """Require requests for CAs, or reject them, as configured.

    Args:
        ca_requested: with ``false`` requests for a CA are refused, as they are without this
            validator. With ``true`` the authority signs only requests for intermediate CAs.
    """
    constraints = csr.extension(x509.BasicConstraints)
    usage = csr.extension(x509.KeyUsage)
    is_ca = constraints is not None and constraints.value.ca
    if ca_requested and not is_ca:
        raise ValidationError("the request is not for a CA")
    if not ca_requested and is_ca:
        raise ValidationError("the request is for a CA")
    if not ca_requested and usage and (usage.value.key_cert_sign or usage.value.crl_sign):
        raise ValidationError("the request is for a key that signs certificates or CRLs")
