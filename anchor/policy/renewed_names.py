"""The names of a renewed certificate are those of the old one."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509

from anchor.auth.renewal import Renewal
from anchor.validators.errors import ValidationError, refuse_any
from anchor.X509.general_name_text import describe
from anchor.X509.signing_request import X509Csr


def require_same_names(csr: X509Csr, renewal: Renewal) -> None:
    """Refuse a subject or alternative names that differ from the old certificate's.

    The order of the alternative names, and the case of DNS names, do not matter.
    """
    if csr.subject != renewal.subject:
        raise ValidationError(
            "a renewal must have the subject of the old certificate",
            old=renewal.subject.rfc4514_string(),
            requested=csr.subject_text,
        )
    old, new = _comparable(renewal.alternative_names), _comparable(csr.alternative_names)
    refuse_any(
        "a renewal must not have names that the old certificate does not have",
        names=sorted(map(describe, new - old)),
    )
    if not renewal.allows_fewer_names:
        refuse_any(
            "a renewal must have all names of the old certificate",
            names=sorted(map(describe, old - new)),
        )


def _comparable(names: Iterable[x509.GeneralName]) -> frozenset[x509.GeneralName]:
    return frozenset(
        x509.DNSName(name.value.lower()) if isinstance(name, x509.DNSName) else name
        for name in names
    )
