"""Name constraints of CA certificates (RFC 5280 section 4.2.1.10)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import NameOID

from anchor.X509.dns_names import is_address
from anchor.X509.general_name_text import describe
from anchor.X509.name_patterns import canonical, without_ipv4_mapping
from anchor.X509.signing_request import X509Csr

# OpenSSL checks a common name of this form as a DNS name if subjectAltName has no DNS name.
_LIKE_A_DNS_NAME = re.compile(r"[a-z0-9_*-]+(\.[a-z0-9_*-]+)+", re.ASCII | re.IGNORECASE)


class ConstrainedName(NamedTuple):
    """A name in a certificate that name constraints apply to.

    Attributes:
        kind: the kind of constraint that applies.
        value: the value of a general name of that kind.
        shown: the name in one line, for messages.
    """

    kind: type[x509.GeneralName]
    value: Any
    shown: str


def names_in(csr: X509Csr) -> Iterator[ConstrainedName]:
    """The names of a request that relying parties check against name constraints."""
    for name in csr.alternative_names:
        yield ConstrainedName(type(name), getattr(name, "value", None), describe(name))
    if csr.subject_attributes:
        shown = f"subject {ascii(csr.subject_text)[1:-1]}"
        yield ConstrainedName(x509.DirectoryName, csr.subject, shown)
    for attribute in csr.subject_attributes:
        if attribute.oid == NameOID.EMAIL_ADDRESS:
            shown = f"emailAddress={ascii(attribute.value)[1:-1]}"
            yield ConstrainedName(x509.RFC822Name, str(attribute.value), shown)
    if not csr.dns_names:
        for common_name in csr.common_names:
            if _LIKE_A_DNS_NAME.fullmatch(common_name):
                yield ConstrainedName(x509.DNSName, common_name, f"CN:{common_name}")


def violations(
    names: Iterable[ConstrainedName], constraints: Iterable[x509.NameConstraints]
) -> Iterator[str]:
    """A message for each name that a relying party would reject, with the constraint."""
    prepared = [
        (_by_kind(constraint.excluded_subtrees), _by_kind(constraint.permitted_subtrees))
        for constraint in constraints
    ]
    for name in names:
        value = _comparable_name(name)
        for excluded, permitted in prepared:
            violation = _violation(
                name.kind, value, excluded.get(name.kind, ()), permitted.get(name.kind, ())
            )
            if violation:
                yield f"{name.shown} {violation}"
                break


class _Subtree(NamedTuple):
    """The base of a subtree, and its value for the comparison with names."""

    base: x509.GeneralName
    value: Any


def _by_kind(
    bases: Iterable[x509.GeneralName] | None,
) -> dict[type[x509.GeneralName], list[_Subtree]]:
    """The subtrees by kind, prepared once for all names of a request."""
    subtrees: dict[type[x509.GeneralName], list[_Subtree]] = {}
    for base in bases or ():
        value: Any = getattr(base, "value", None)
        if isinstance(base, x509.DNSName):
            name = canonical(value)
            parent = name.removeprefix(".").partition(".")[2]
            # *.example.com covers an excluded host.example.com, one label below its parent.
            value = (name, f".{name.removeprefix('.')}" if name else "", f"*.{parent}")
        elif isinstance(base, x509.RFC822Name):
            local, at, host = value.rpartition("@")
            value = (local if at else None, host.lower())
        elif isinstance(base, x509.UniformResourceIdentifier):
            value = value.lower()
        elif isinstance(base, x509.DirectoryName):
            value = [_comparable_rdn(rdn) for rdn in value.rdns]
        subtrees.setdefault(type(base), []).append(_Subtree(base, value))
    return subtrees


def _comparable_name(name: ConstrainedName) -> Any:
    """The value to compare with subtrees; None if the name cannot be compared."""
    if name.kind is x509.DNSName:
        return name.value.lower()
    if name.kind is x509.IPAddress and isinstance(name.value, IPv4Address | IPv6Address):
        return name.value
    if name.kind is x509.RFC822Name and "@" in name.value:
        local, _, host = name.value.rpartition("@")
        return local, host.lower()
    if name.kind is x509.UniformResourceIdentifier:
        return _host(name.value)
    if name.kind is x509.DirectoryName:
        return [_comparable_rdn(rdn) for rdn in name.value.rdns]
    return None


def _violation(
    kind: type[x509.GeneralName],
    value: Any,
    excluded: Sequence[_Subtree],
    permitted: Sequence[_Subtree],
) -> str | None:
    for subtree in excluded:
        # RFC 5280 4.2.1.10: a name that cannot be compared has to be rejected.
        if value is None or _is_within(kind, value, subtree.value, excluded=True):
            return f"is excluded by {describe(subtree.base)}"
    if permitted and (
        value is None
        or not any(_is_within(kind, value, subtree.value, excluded=False) for subtree in permitted)
    ):
        return f"is not within {', '.join(describe(subtree.base) for subtree in permitted[:5])}"
    return None


def _is_within(kind: type[x509.GeneralName], name: Any, base: Any, *, excluded: bool) -> bool:
    """True if a name is in a subtree, both in the form for comparison."""
    if excluded and kind in (x509.DNSName, x509.UniformResourceIdentifier):
        # A dot at the end hides no excluded host.  Relying parties compare it with permitted hosts,
        # so there it counts.
        name = name.removesuffix(".")
    if kind is x509.DNSName:
        exact, suffix, wildcard = base
        return name == exact or name.endswith(suffix) or (excluded and name == wildcard)
    if kind is x509.IPAddress:
        return name in base or (excluded and without_ipv4_mapping(name) in base)
    if kind is x509.RFC822Name:
        (local, host), (base_local, base_host) = name, base
        return base_local in (None, local) and _host_is_within(host, base_host)
    if kind is x509.UniformResourceIdentifier:
        return _host_is_within(name, base)
    return bool(base == name[: len(base)])


def _host_is_within(host: str, base: str) -> bool:
    """True if the host is the base, or is below a base that starts with a dot."""
    return not base or (host.endswith(base) if base.startswith(".") else host == base)


def _host(uri: str) -> str | None:
    """The host of a URI; None if there is none, or it is an address."""
    try:
        host = urlsplit(uri).hostname
    except ValueError:
        return None
    if not host or "\\" in uri or ":" in host or is_address(host):
        return None
    return host if host != "." else None


def _comparable_rdn(
    rdn: x509.RelativeDistinguishedName,
) -> frozenset[tuple[x509.ObjectIdentifier, str]]:
    """The RDN without case and repeated blanks (RFC 5280 section 7.1)."""
    return frozenset(
        (attribute.oid, " ".join(str(attribute.value).casefold().split())) for attribute in rdn
    )


def constraints_of(certificates: Iterable[x509.Certificate]) -> tuple[x509.NameConstraints, ...]:
    """The name constraints in the certificates of a chain."""
    return tuple(
        extension.value
        for certificate in certificates
        for extension in certificate.extensions
        if isinstance(extension.value, x509.NameConstraints)
    )
