"""The requested extensions and subject attributes that a certificate does not contain."""

from __future__ import annotations

from collections import Counter

from cryptography.x509.oid import NameOID

from anchor.policy.mandatory_checks import EXPECTED
from anchor.X509.attribute_names import describe_attribute
from anchor.X509.signing_request import X509Csr

MAX_LISTED = 20


def dropped_extensions(csr: X509Csr) -> tuple[str, ...]:
    """The extensions of a request that are not in its certificate, as dotted OIDs."""
    return tuple(each.oid.dotted_string for each in csr.extensions if each.oid not in EXPECTED)


def dropped_attributes(submitted: X509Csr, approved: X509Csr) -> tuple[str, ...]:
    """The attributes of the submitted subject, besides common names, that were dropped.

    Each is cut to a short text, and only the first MAX_LISTED are listed.
    """
    if submitted.subject is approved.subject:
        return ()
    kept = Counter((attribute.oid, attribute.value) for attribute in approved.subject_attributes)
    dropped = []
    for attribute in submitted.subject_attributes:
        if kept[attribute.oid, attribute.value] > 0:
            kept[attribute.oid, attribute.value] -= 1
        elif attribute.oid != NameOID.COMMON_NAME:
            dropped.append(describe_attribute(attribute))
    more = len(dropped) - MAX_LISTED
    return (*dropped[:MAX_LISTED], *((f"and {more} more",) if more > 0 else ()))
