"""Checks on the extensions in a request."""

from __future__ import annotations

from cryptography import x509

from anchor.config.option_types import Extensions
from anchor.validators.errors import ValidationError, refuse_any
from anchor.X509.oids import name_of_extension
from anchor.X509.signing_request import X509Csr


def extensions(csr: X509Csr, allowed_extensions: Extensions = frozenset()) -> None:
    """The request has no extensions but those that are allowed.

    Args:
        allowed_extensions: the extensions, by their names as in RFC 5280 or OpenSSL, or as dotted
            OIDs. Case does not matter.
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
    """The request is for a CA, or is not, as the configuration says.

    Args:
        ca_requested: with ``false`` requests for a CA are refused, as the rules do anyway. With
            ``true`` the authority signs requests for intermediates and nothing else.
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
