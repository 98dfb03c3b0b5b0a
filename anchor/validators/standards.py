"""Checks on whether a request keeps to the standards for names, keys and extensions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtensionOID, NameOID
from pydantic import BeforeValidator

from anchor.validators import ValidationError
from anchor.X509 import dns
from anchor.X509.signing_request import X509Csr

# RFC 1034 3.5 as relaxed by RFC 1123 2.1, with the underscore that service names have.
DEFAULT_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?", re.ASCII | re.IGNORECASE)

# RFC 5280 appendix A.1: upper bounds of the attributes that occur in practice.
_UPPER_BOUNDS = {
    NameOID.COMMON_NAME: 64,
    NameOID.ORGANIZATION_NAME: 64,
    NameOID.ORGANIZATIONAL_UNIT_NAME: 64,
    NameOID.LOCALITY_NAME: 128,
    NameOID.STATE_OR_PROVINCE_NAME: 128,
    NameOID.COUNTRY_NAME: 2,
    NameOID.SERIAL_NUMBER: 64,
    NameOID.EMAIL_ADDRESS: 255,
}


# RFC 5280 4.2.1 and 4.2.2: what MUST, and what MUST NOT, be critical wherever it stands.
_CRITICAL = frozenset(
    {
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.POLICY_CONSTRAINTS,
        ExtensionOID.INHIBIT_ANY_POLICY,
    }
)
_NOT_CRITICAL = frozenset(
    {
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.SUBJECT_DIRECTORY_ATTRIBUTES,
        ExtensionOID.FRESHEST_CRL,
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
        ExtensionOID.SUBJECT_INFORMATION_ACCESS,
    }
)

_SOUND_HASHES = (
    hashes.SHA224,
    hashes.SHA256,
    hashes.SHA384,
    hashes.SHA512,
    hashes.SHA3_224,
    hashes.SHA3_256,
    hashes.SHA3_384,
    hashes.SHA3_512,
)


def _expression(value: object) -> re.Pattern[str]:
    if not isinstance(value, str):
        raise ValueError("should be a regular expression")
    try:
        return re.compile(value, re.ASCII | re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None


def standards_compliance(
    csr: X509Csr,
    label_re: Annotated[re.Pattern[str], BeforeValidator(_expression)] = DEFAULT_LABEL,
) -> None:
    """The request keeps to RFC 5280, 6125, 1034, 1123 and 2986.

    Args:
        label_re: what a whole label of a DNS name has to match, unless it is a wildcard.
    """
    objections = [
        *_signature(csr),
        *_subject(csr),
        *_critical_flags(csr),
        *_common_names(csr, label_re),
        *_alternative_names(csr, label_re),
    ]
    if objections:
        raise ValidationError("; ".join(objections))


def _signature(csr: X509Csr) -> Iterator[str]:
    """RFC 2986 section 4.2, with a hash that is not broken (RFC 9155, RFC 6151)."""
    try:
        used = csr.submitted.request.signature_hash_algorithm
    except UnsupportedAlgorithm:
        yield "the signature algorithm is not known"
        return
    if used is not None and not isinstance(used, _SOUND_HASHES):
        yield f"the signature uses the hash {used.name}, which is broken"


def _subject(csr: X509Csr) -> Iterator[str]:
    """RFC 5280 sections 4.1.2.6 and 4.2.1.6, and the upper bounds of appendix A.1."""
    if not list(csr.subject) and not csr.alternative_names:
        yield "without a subject there has to be a subjectAltName"
    for attribute in csr.subject:
        bound = _UPPER_BOUNDS.get(attribute.oid)
        if bound is not None and len(attribute.value) > bound:
            yield f"the subject's {attribute.rfc4514_attribute_name} is longer than {bound}"


def _critical_flags(csr: X509Csr) -> Iterator[str]:
    """RFC 5280 section 4.2, as far as it says MUST."""
    for extension in csr.extensions:
        oid = extension.oid
        if oid in _CRITICAL and not extension.critical:
            yield f"the extension {oid.dotted_string} has to be critical"
        elif oid in _NOT_CRITICAL and extension.critical:
            yield f"the extension {oid.dotted_string} must not be critical"
    names = csr.extension(x509.SubjectAlternativeName)
    if names and not names.critical and not list(csr.subject):
        yield "without a subject, subjectAltName has to be critical"
    constraints = csr.extension(x509.BasicConstraints)
    if constraints and constraints.value.ca and not constraints.critical:
        yield "basicConstraints of a CA have to be critical"


def _common_names(csr: X509Csr, label: re.Pattern[str]) -> Iterator[str]:
    """A common name may be anybody's name, but one that can pass for a DNS name has to be one."""
    for common_name in csr.common_names:
        if dns.passes_for_a_name(common_name):
            for objection in dns.objections(common_name, label):
                yield f"the common name {common_name!a} {objection}"


def _alternative_names(csr: X509Csr, label: re.Pattern[str]) -> Iterator[str]:
    extension = csr.extension(x509.SubjectAlternativeName)
    if extension and not csr.alternative_names:
        yield "subjectAltName is empty"
    for dns_name in csr.dns_names:
        for objection in dns.objections(dns_name, label):
            yield f"the DNS name {dns_name!a} {objection}"
    known: set[x509.GeneralName] = set()
    for name in csr.alternative_names:
        folded = x509.DNSName(name.value.lower()) if isinstance(name, x509.DNSName) else name
        if folded in known:
            yield f"subjectAltName has {str(name.value)!a} twice"
        known.add(folded)
