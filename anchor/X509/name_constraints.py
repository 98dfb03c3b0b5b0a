"""The name constraints of a CA's certificate (RFC 5280 section 4.2.1.10)."""

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
from anchor.X509.name_patterns import canonical, unmapped
from anchor.X509.signing_request import X509Csr

# OpenSSL compares a common name of this form like a DNS name if there is none in subjectAltName.
_LIKE_A_DNS_NAME = re.compile(r"[a-z0-9_*-]+(\.[a-z0-9_*-]+)+", re.ASCII | re.IGNORECASE)


class Named(NamedTuple):
    """A name that a certificate would have, as the constraints of one kind compare it."""

    kind: type[x509.GeneralName]
    value: Any
    shown: str


def names_in(csr: X509Csr) -> Iterator[Named]:
    """The names of a request that a relying party compares with name constraints."""
    for name in csr.alternative_names:
        yield Named(type(name), name.value if hasattr(name, "value") else None, describe(name))
    if csr.subject_attributes:
        yield Named(x509.DirectoryName, csr.subject, f"subject {ascii(csr.subject_text)[1:-1]}")
    for attribute in csr.subject_attributes:
        if attribute.oid == NameOID.EMAIL_ADDRESS:
            shown = f"emailAddress={ascii(attribute.value)[1:-1]}"
            yield Named(x509.RFC822Name, str(attribute.value), shown)
    if not csr.dns_names:
        for common_name in csr.common_names:
            if _LIKE_A_DNS_NAME.fullmatch(common_name):
                yield Named(x509.DNSName, common_name, f"CN:{common_name}")


def violations(
    names: Iterable[Named], constraints: Iterable[x509.NameConstraints]
) -> Iterator[str]:
    """Each name that a relying party would reject, with the constraint that is the reason."""
    prepared = [
        (_prepared(one.excluded_subtrees), _prepared(one.permitted_subtrees)) for one in constraints
    ]
    for name in names:
        compared = _compared(name)
        for excluded, permitted in prepared:
            violation = _violation(
                name.kind, compared, excluded.get(name.kind, ()), permitted.get(name.kind, ())
            )
            if violation:
                yield f"{name.shown} {violation}"
                break


class _Subtree(NamedTuple):
    """The base of a subtree, and the same as names are compared with it."""

    base: x509.GeneralName
    compared: Any


def _prepared(
    bases: Iterable[x509.GeneralName] | None,
) -> dict[type[x509.GeneralName], list[_Subtree]]:
    """The subtrees by their kinds; a request has a thousand names to compare with each."""
    found: dict[type[x509.GeneralName], list[_Subtree]] = {}
    for base in bases or ():
        value: Any = getattr(base, "value", None)
        if isinstance(base, x509.DNSName):
            name = canonical(value)
            parent = name.removeprefix(".").partition(".")[2]
            # A wildcard covers what is excluded one label below its parent.
            value = (name, f".{name.removeprefix('.')}" if name else "", f"*.{parent}")
        elif isinstance(base, x509.RFC822Name):
            local, at, host = value.rpartition("@")
            value = (local if at else None, host.lower())
        elif isinstance(base, x509.UniformResourceIdentifier):
            value = value.lower()
        elif isinstance(base, x509.DirectoryName):
            value = [_comparable(rdn) for rdn in value.rdns]
        found.setdefault(type(base), []).append(_Subtree(base, value))
    return found


def _compared(name: Named) -> Any:
    """A name as it is compared with subtrees; None if nobody knows how to compare it."""
    if name.kind is x509.DNSName:
        return canonical(name.value)
    if name.kind is x509.IPAddress and isinstance(name.value, IPv4Address | IPv6Address):
        return name.value
    if name.kind is x509.RFC822Name and "@" in name.value:
        local, _, host = name.value.rpartition("@")
        return local, host.lower()
    if name.kind is x509.UniformResourceIdentifier:
        return _host(name.value)
    if name.kind is x509.DirectoryName:
        return [_comparable(rdn) for rdn in name.value.rdns]
    return None


def _violation(
    kind: type[x509.GeneralName],
    compared: Any,
    excluded: Sequence[_Subtree],
    permitted: Sequence[_Subtree],
) -> str | None:
    for subtree in excluded:
        # A relying party has to reject what it cannot compare.
        if compared is None or _is_within(kind, compared, subtree.compared, excluded=True):
            return f"is excluded by {describe(subtree.base)}"
    if permitted and (
        compared is None
        or not any(_is_within(kind, compared, each.compared, excluded=False) for each in permitted)
    ):
        return f"is not within {', '.join(describe(each.base) for each in permitted[:5])}"
    return None


def _is_within(kind: type[x509.GeneralName], name: Any, base: Any, *, excluded: bool) -> bool:
    """True if a name is in a subtree, both as they are compared."""
    if kind is x509.DNSName:
        exact, suffix, wildcard = base
        return name == exact or name.endswith(suffix) or (excluded and name == wildcard)
    if kind is x509.IPAddress:
        return name in base or (excluded and unmapped(name) in base)
    if kind is x509.RFC822Name:
        (local, host), (wanted, base_host) = name, base
        return wanted in (None, local) and _host_is_within(host, base_host)
    if kind is x509.UniformResourceIdentifier:
        return _host_is_within(name, base)
    return bool(base == name[: len(base)])


def _host_is_within(host: str, base: str) -> bool:
    """True for the host itself, or with a dot in front for the hosts below it."""
    return not base or (host.endswith(base) if base.startswith(".") else host == base)


def _host(uri: str) -> str | None:
    """The host of a URI; None if it has none, or an address, which cannot be compared."""
    try:
        host = urlsplit(uri).hostname
    except ValueError:
        return None
    if not host or "\\" in uri or ":" in host or is_address(host):
        return None
    return host.removesuffix(".") or None


def _comparable(
    rdn: x509.RelativeDistinguishedName,
) -> frozenset[tuple[x509.ObjectIdentifier, str]]:
    """RFC 5280 section 7.1: without regard to case and to the number of blanks."""
    return frozenset(
        (attribute.oid, " ".join(str(attribute.value).casefold().split())) for attribute in rdn
    )


def constraints_of(certificates: Iterable[x509.Certificate]) -> tuple[x509.NameConstraints, ...]:
    """The name constraints of all CAs on the way to a root."""
    found = []
    for certificate in certificates:
        for extension in certificate.extensions:
            if isinstance(extension.value, x509.NameConstraints):
                found.append(extension.value)
    return tuple(found)
