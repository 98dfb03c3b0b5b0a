"""Checks on the standards for names, keys and extensions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from itertools import chain, islice
from typing import Annotated

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtensionOID, NameOID
from pydantic import BeforeValidator

from anchor.errors import MAX_SHOWN
from anchor.validators.errors import ValidationError
from anchor.X509 import dns_names
from anchor.X509.general_name_text import describe
from anchor.X509.key_usages import unsupported_usages, usages_of
from anchor.X509.oids import usages_in
from anchor.X509.signing_request import X509Csr

# RFC 1034 3.5 as relaxed by RFC 1123 2.1, with the underscore that service names have.
DEFAULT_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?", re.ASCII | re.IGNORECASE)

# RFC 3986 4.3: a scheme and at least one more character.
_ABSOLUTE_URI = re.compile(r"[a-z][a-z0-9+.-]*:[!-~]+", re.ASCII | re.IGNORECASE)

MAX_OBJECTIONS = 10

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


# RFC 5280 4.2.1 and 4.2.2: the extensions that MUST, and MUST NOT, always be critical.
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

_SOUND_HASHES = frozenset(
    {
        hashes.SHA224,
        hashes.SHA256,
        hashes.SHA384,
        hashes.SHA512,
        hashes.SHA3_224,
        hashes.SHA3_256,
        hashes.SHA3_384,
        hashes.SHA3_512,
    }
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
    *,
    allow_ipv4_mapped: bool = False,
) -> None:
    """Require that the request follows RFC 5280, 6125, 1034, 1123 and 2986.

    Args:
        label_re: a regular expression that must match every whole label of a DNS name, except a
            wildcard. ASCII case does not matter.
        allow_ipv4_mapped: allow IPv4-mapped IPv6 addresses such as ``::ffff:192.0.2.1`` in
            subjectAltName. Clients do not treat them as the IPv4 address.
    """
    syntax = dns_names.NameSyntax(label_re)
    objections = chain(
        _signature(csr),
        _subject(csr),
        _critical_flags(csr),
        _usages(csr),
        _common_names(csr, syntax),
        _alternative_names(csr, syntax),
        () if allow_ipv4_mapped else _mapped_addresses(csr),
    )
    # A request can have many long names, but people must be able to read the error.
    shown = [_clip(objection) for objection in islice(objections, MAX_OBJECTIONS)]
    if shown:
        raise ValidationError("; ".join([*shown, *(["and more"] if any(objections) else [])]))


def _clip(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN // 2]}...{text[-MAX_SHOWN:]}"


def _signature(csr: X509Csr) -> Iterator[str]:
    """RFC 2986 section 4.2, with a hash that is not broken (RFC 9155, RFC 6151)."""
    used = csr.submitted.signature_hash
    if used is not None and type(used) not in _SOUND_HASHES:
        yield f"the signature uses the hash {used.name}, which is broken"


def _subject(csr: X509Csr) -> Iterator[str]:
    """RFC 5280 sections 4.1.2.6 and 4.2.1.6, and the upper bounds of appendix A.1."""
    if not csr.subject_attributes and not csr.alternative_names:
        yield "a request without a subject needs a subjectAltName"
    for attribute in csr.subject_attributes:
        bound = _UPPER_BOUNDS.get(attribute.oid)
        if bound is not None and len(attribute.value) > bound:
            yield f"the subject's {attribute.rfc4514_attribute_name} is longer than {bound}"
        if attribute.oid == NameOID.COUNTRY_NAME and len(attribute.value) < 2:
            yield "the subject's C is not a country code of two letters"


def _critical_flags(csr: X509Csr) -> Iterator[str]:
    """Every MUST of RFC 5280 section 4.2.

    Anchor sets the flags of basicConstraints, keyUsage and subjectAltName in the certificate.
    """
    for extension in csr.extensions:
        oid = extension.oid
        if oid in _CRITICAL and not extension.critical:
            yield f"the extension {oid.dotted_string} has to be critical"
        elif oid in _NOT_CRITICAL and extension.critical:
            yield f"the extension {oid.dotted_string} must not be critical"


def _common_names(csr: X509Csr, syntax: dns_names.NameSyntax) -> Iterator[str]:
    """A common name may be a person's name, but if it looks like a DNS name it must be valid."""
    for common_name in csr.common_names:
        if dns_names.resembles_host_name(common_name):
            for objection in syntax.errors(common_name):
                yield f"the common name {common_name!a} {objection}"


def _usages(csr: X509Csr) -> Iterator[str]:
    """RFC 5280 sections 4.2.1.3 and 4.2.1.12, RFC 8813 and RFC 9295."""
    usage = csr.extension(x509.KeyUsage)
    if usage and not usages_in(usage.value):
        yield "keyUsage lists no usage"
    if usage and (unfit := unsupported_usages(csr.public_key, usages_in(usage.value))):
        kind, possible = usages_of(csr.public_key)
        yield (
            f"keyUsage has {', '.join(unfit)}, which {kind} keys cannot be used for "
            f"(possible: {', '.join(possible)})"
        )
    extended = csr.extension(x509.ExtendedKeyUsage)
    if extended and len(set(extended.value)) < len(list(extended.value)):
        yield "extendedKeyUsage lists a usage twice"


def _alternative_names(csr: X509Csr, syntax: dns_names.NameSyntax) -> Iterator[str]:
    """RFC 5280 section 4.2.1.6."""
    extension = csr.extension(x509.SubjectAlternativeName)
    if extension and not csr.alternative_names:
        yield "subjectAltName is empty"
    seen: set[tuple[type, object]] = set()
    for name in csr.alternative_names:
        value = name.value.lower() if isinstance(name, x509.DNSName) else name
        if (type(name), value) in seen:
            yield f"subjectAltName has {describe(name)} twice"
        seen.add((type(name), value))
        yield from _alternative_name(name, syntax)


def _mapped_addresses(csr: X509Csr) -> Iterator[str]:
    """RFC 4291 section 2.5.5.2; clients compare the bytes of addresses (RFC 9525 section 6.4)."""
    for address in csr.ip_addresses:
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            yield f"the address {address} is IPv4-mapped: ask for {address.ipv4_mapped}"


def _alternative_name(name: x509.GeneralName, syntax: dns_names.NameSyntax) -> Iterator[str]:
    match name:
        case x509.DNSName(value=text):
            for objection in syntax.errors(text):
                yield f"the DNS name {text!a} {objection}"
        case x509.RFC822Name(value=text):
            mailbox, at, host = text.rpartition("@")
            if not (mailbox and at) or syntax.errors(host):
                yield f"the e-mail address {text!a} is not a mailbox"
        case x509.UniformResourceIdentifier(value=text):
            if not _ABSOLUTE_URI.fullmatch(text):
                yield f"the URI {text!a} is not absolute"
        case x509.IPAddress(value=IPv4Network() | IPv6Network()):
            yield f"the address {describe(name)} is a network"
        case x509.DirectoryName(value=directory_name):
            if not list(directory_name):
                yield "a directory name is empty"
