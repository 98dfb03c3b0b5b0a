"""Fixups: changes to a request before it is signed.

A fixup is a function that takes ``csr`` and its options, and returns a request: the same one, or a
changed copy.  A fixup that cannot change a request raises :class:`ValidationError`, as a validator
does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated

from cryptography import x509
from cryptography.x509.oid import NameOID

from anchor.config.option_types import Attributes, ExtendedUsage, Extensions, Usage, compiled
from anchor.validators.errors import ValidationError
from anchor.X509.attribute_names import NameAttribute, attribute_oid
from anchor.X509.attribute_patterns import AttributePatterns
from anchor.X509.dns_names import host_name, resembles_host_name
from anchor.X509.key_usages import unsupported_usages
from anchor.X509.name_patterns import canonical, parse_address, without_ipv4_mapping
from anchor.X509.oids import USAGES, usages_in
from anchor.X509.signing_request import X509Csr

NO_ATTRIBUTES = AttributePatterns()

# IDNA encoding is slow. This allows ten common names of the maximum length.
MAX_INTERNATIONALISED = 640


def enforce_alternative_names_present(csr: X509Csr) -> X509Csr:
    """Add each common name that is a host name or an address to subjectAltName.

    RFC 6125 section 6.4.4 and RFC 2818 let clients ignore the common name, and clients do so.
    """
    names = list(csr.alternative_names)
    hosts = _hosts(csr)
    if sum(map(len, filter(_is_internationalised, csr.common_names))) > MAX_INTERNATIONALISED:
        raise ValidationError(
            "the common names that are not plain ASCII are too long together to be read as host "
            f"names: at most {MAX_INTERNATIONALISED} characters"
        )
    for common_name in csr.common_names:
        name = _as_general_name(common_name)
        if name is None:
            # A person or a role, such as "Example Server A" or system:node:worker-1.
            continue
        host = parse_address(common_name) or canonical(str(name.value))
        if host not in hosts:
            hosts.add(host)
            names.append(name)
    if len(names) == len(csr.alternative_names):
        return csr
    return csr.with_alternative_names(names)


def _is_internationalised(common_name: str) -> bool:
    return not common_name.isascii() or "xn--" in common_name.lower()


def _as_general_name(common_name: str) -> x509.DNSName | x509.IPAddress | None:
    if parse_address(common_name):
        return x509.IPAddress(ip_address(common_name))
    try:
        name = host_name(common_name)
    except ValueError as error:
        raise ValidationError(
            f"the common name looks like a host name, but {error}", name=common_name
        ) from None
    return None if name is None else x509.DNSName(name)


def _hosts(csr: X509Csr) -> set[str | IPv4Address | IPv6Address]:
    """The hosts in subjectAltName, in the form in which they can be compared."""
    if not csr.alternative_names:
        return set()
    return {*map(canonical, csr.dns_names), *map(without_ipv4_mapping, csr.ip_addresses)}


def _host(text: str) -> str | IPv4Address | IPv6Address:
    return parse_address(text) or canonical(text)


def _default_key_usage(names: tuple[str, ...]) -> x509.KeyUsage:
    if not names:
        raise ValueError("names no usage")
    if "keyCertSign" in names or "cRLSign" in names:
        raise ValueError("names a usage that is for CAs only")
    return x509.KeyUsage(**{attribute: name in names for name, attribute in USAGES.items()})


def default_key_usage(
    csr: X509Csr, usage: Annotated[x509.KeyUsage, compiled(tuple[Usage, ...], _default_key_usage)]
) -> X509Csr:
    """Add keyUsage to a request without it.

    Args:
        usage: the usages, by the names that the validator ``key_usage`` knows; at least one, and
            not those of CAs. A request gets the usages that its kind of key can have: an EC key
            gets no ``keyEncipherment``.
    """
    constraints = csr.extension(x509.BasicConstraints)
    if csr.extension(x509.KeyUsage) or (constraints and constraints.value.ca):
        # The certificate of an intermediate CA gets the usages of a CA.
        return csr
    unfit = unsupported_usages(csr.public_key, usages_in(usage))
    if unfit:
        fit = set(usages_in(usage)) - set(unfit)
        if not fit:
            return csr
        usage = x509.KeyUsage(**{attribute: name in fit for name, attribute in USAGES.items()})
    # RFC 5280 4.2.1.3: CAs mark keyUsage as critical.
    return csr.with_extension(usage, critical=True)


def _default_extended_key_usage(
    usages: tuple[x509.ObjectIdentifier, ...],
) -> x509.ExtendedKeyUsage:
    if not usages:
        raise ValueError("names no usage")
    return x509.ExtendedKeyUsage(dict.fromkeys(usages))


def default_extended_key_usage(
    csr: X509Csr,
    usage: Annotated[
        x509.ExtendedKeyUsage,
        compiled(tuple[ExtendedUsage, ...], _default_extended_key_usage),
    ],
) -> X509Csr:
    """Add extendedKeyUsage to a request without it.

    Args:
        usage: the usages, by the names that the validator ``ext_key_usage`` knows, or as dotted
            OIDs; at least one.
    """
    return csr if csr.extension(x509.ExtendedKeyUsage) else csr.with_extension(usage)


def drop_extensions(csr: X509Csr, extensions: Extensions) -> X509Csr:
    """Remove the listed extensions.

    Args:
        extensions: the extensions, by the names that the validator ``extensions`` knows, or as
            dotted OIDs.
    """
    if not any(extension.oid in extensions for extension in csr.extensions):
        return csr
    return csr.without_extensions(extensions)


def normalize_names(csr: X509Csr) -> X509Csr:
    """Put DNS names into lower case and remove a dot at their end."""
    hosts = _hosts(csr)

    def normalized(text: str) -> str:
        name = canonical(text)
        # RFC 5280 appendix A.1: a common name has 1 to 64 characters.
        if 1 <= len(name) <= 64 and (name in hosts or resembles_host_name(text)):
            return name
        return text

    common_names = {text: normalized(text) for text in csr.common_names}
    if any(text != other for text, other in common_names.items()):
        csr = csr.with_subject(_with_common_names(csr.subject, common_names.get))
    names = [
        x509.DNSName(canonical(name.value)) if isinstance(name, x509.DNSName) else name
        for name in csr.alternative_names
    ]
    if names == list(csr.alternative_names):
        return csr
    # Names that differed only in case are equal now.
    return csr.with_alternative_names(dict.fromkeys(names))


def drop_common_name(csr: X509Csr) -> X509Csr:
    """Remove common names that are also in subjectAltName."""
    hosts = _hosts(csr)
    if not any(_host(text) in hosts for text in csr.common_names):
        return csr
    subject = _with_common_names(csr.subject, lambda text: None if _host(text) in hosts else text)
    # Setting the names again updates their criticality, which depends on the subject.
    return csr.with_subject(subject).with_alternative_names(csr.alternative_names)


def _fixed_attributes(configured: Mapping[str, str | tuple[str, ...]]) -> tuple[NameAttribute, ...]:
    fixed: list[NameAttribute] = []
    for name, values in configured.items():
        oid = attribute_oid(name)
        if oid == NameOID.COMMON_NAME:
            raise ValueError("a common name is not the same for every certificate")
        if any(attribute.oid == oid for attribute in fixed):
            raise ValueError(f"{name!a} is listed twice, under two of its names")
        for value in (values,) if isinstance(values, str) else values:
            if not value or not value.isprintable():
                raise ValueError(f"the value of {name!a} is empty or has a control character in it")
            if not value.isascii() and oid in _NOT_IN_UTF8:
                raise ValueError(
                    f"{value[:80]!a} is not ASCII, which a value of {name!a} has to be"
                )
            try:
                fixed.append(x509.NameAttribute(oid, value))
            except ValueError:
                raise ValueError(f"{value[:80]!a} cannot be a value of {name!a}") from None
    return tuple(fixed)


# RFC 5280 appendix A.1 and RFC 4519: IA5String or PrintableString.
_NOT_IN_UTF8 = frozenset(
    {
        NameOID.COUNTRY_NAME,
        NameOID.JURISDICTION_COUNTRY_NAME,
        NameOID.SERIAL_NUMBER,
        NameOID.DN_QUALIFIER,
        NameOID.DOMAIN_COMPONENT,
        NameOID.EMAIL_ADDRESS,
    }
)


FixedAttributes = Annotated[
    tuple[NameAttribute, ...], compiled(dict[str, str | tuple[str, ...]], _fixed_attributes)
]


def subject_attributes(
    csr: X509Csr,
    *,
    keep: Attributes = NO_ATTRIBUTES,
    fixed: FixedAttributes | None = None,
) -> X509Csr:
    """Remove the subject attributes that are not listed, and set others.

    Args:
        keep: for each attribute the values that stay. A `%` stands for a part of a value, and alone
            for any value. Common names stay unless `CN` is listed.
        fixed: for each attribute the value, or the values, that every certificate has.
    """
    fixed = fixed or ()
    fixed_oids = {attribute.oid for attribute in fixed}

    def kept(attribute: NameAttribute) -> bool:
        if attribute.oid == NameOID.COMMON_NAME and not keep.lists(attribute.oid):
            return True
        return attribute.oid not in fixed_oids and keep.has(attribute)

    if not fixed and all(map(kept, csr.subject_attributes)):
        return csr
    rdns = [x509.RelativeDistinguishedName([attribute]) for attribute in fixed]
    rdns += _filtered(csr.subject.rdns, lambda attribute: attribute if kept(attribute) else None)
    subject = x509.Name(rdns)
    return csr if subject == csr.subject else csr.with_subject(subject)


def unique_names(csr: X509Csr) -> X509Csr:
    """Remove duplicates from subjectAltName; case and a final dot of DNS names do not count."""
    unique: dict[tuple[type, object], x509.GeneralName] = {}
    for name in csr.alternative_names:
        if not isinstance(name, x509.DNSName):
            unique.setdefault((type(name), name), name)
            continue
        key = (x509.DNSName, canonical(name.value))
        # A DNS name in a certificate has no final dot, so prefer that spelling.
        if key not in unique or unique[key].value.endswith("."):
            unique[key] = name
    if len(unique) == len(csr.alternative_names):
        return csr
    return csr.with_alternative_names(unique.values())


def _with_common_names(subject: x509.Name, replacement: Callable[[str], str | None]) -> x509.Name:
    """The subject with each common name replaced, or removed if the replacement is None."""
    return x509.Name(_filtered(subject.rdns, lambda attribute: _replaced(attribute, replacement)))


def _filtered(
    rdns: Iterable[x509.RelativeDistinguishedName],
    replacement: Callable[[NameAttribute], NameAttribute | None],
) -> list[x509.RelativeDistinguishedName]:
    """The RDNs with each attribute replaced, or removed if None; without empty RDNs."""
    filtered = []
    for rdn in rdns:
        attributes = [other for attribute in rdn if (other := replacement(attribute)) is not None]
        if attributes:
            filtered.append(x509.RelativeDistinguishedName(attributes))
    return filtered


def _replaced(
    attribute: NameAttribute, replacement: Callable[[str], str | None]
) -> NameAttribute | None:
    if attribute.oid != NameOID.COMMON_NAME:
        return attribute
    text = replacement(str(attribute.value))
    if text is None or text == attribute.value:
        return None if text is None else attribute
    return x509.NameAttribute(attribute.oid, text)
