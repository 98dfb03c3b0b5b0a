"""Checks on keyUsage and extendedKeyUsage."""

from __future__ import annotations

from cryptography import x509

from anchor.config.option_types import ExtendedUsages, Usages
from anchor.validators.errors import refuse_any
from anchor.X509.oids import name_of_extended_usage, usages_in
from anchor.X509.signing_request import X509Csr


def key_usage(csr: X509Csr, allowed_usage: Usages = frozenset()) -> None:
    """Require that every requested key usage is allowed.

    Args:
        allowed_usage: the usages, by their long or short names. Case does not matter.
    """
    extension = csr.extension(x509.KeyUsage)
    requested = usages_in(extension.value) if extension else ()
    refuse_any(
        "key usages are not allowed",
        usages=(usage for usage in requested if usage not in allowed_usage),
    )


def ext_key_usage(csr: X509Csr, allowed_usage: ExtendedUsages = frozenset()) -> None:
    """Require that every requested extended key usage is allowed.

    Args:
        allowed_usage: the usages, by their long or short names, or as dotted OIDs. Case does not
            matter.
    """
    extension = csr.extension(x509.ExtendedKeyUsage)
    requested = extension.value if extension else ()
    refuse_any(
        "extended key usages are not allowed",
        usages=(name_of_extended_usage(usage) for usage in requested if usage not in allowed_usage),
    )
