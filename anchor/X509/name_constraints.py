"""The name constraints of a CA's certificate (RFC 5280 section 4.2.1.10)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import NameOID

from anchor.X509.dns import is_address
from anchor.X509.name_patterns import canonical, unmapped
from anchor.X509.names import describe
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
    constraints = tuple(constraints)
    for name in names:
        for one in constraints:
            violation = _violation(name, one)
            if violation:
                yield f"{name.shown} {violation}"
                break


def _violation(name: Named, constraints: x509.NameConstraints) -> str | None:
    for base in constraints.excluded_subtrees or ():
        if isinstance(base, name.kind) and _is_within(name, base.value, excluded=True):
            return f"is excluded by {describe(base)}"
    permitted = [
        base for base in constraints.permitted_subtrees or () if isinstance(base, name.kind)
    ]
    if permitted and not any(_is_within(name, base.value, excluded=False) for base in permitted):
        return f"is not within {', '.join(map(describe, permitted[:5]))}"
    return None


def _is_within(name: Named, base: Any, *, excluded: bool) -> bool:
    """True if a name is in a subtree; in doubt it is in excluded ones, and in no permitted one."""
    found: bool | None = None
    if name.kind is x509.DNSName:
        found = _dns_is_within(canonical(name.value), canonical(base), excluded=excluded)
    elif name.kind is x509.IPAddress and isinstance(name.value, IPv4Address | IPv6Address):
        found = name.value in base or (excluded and unmapped(name.value) in base)
    elif name.kind is x509.RFC822Name and "@" in name.value:
        found = _mail_is_within(name.value, base)
    elif name.kind is x509.UniformResourceIdentifier and (host := _host(name.value)):
        found = _host_is_within(host, base.lower())
    elif name.kind is x509.DirectoryName:
        top = [_comparable(rdn) for rdn in base.rdns]
        found = top == [_comparable(rdn) for rdn in list(name.value.rdns)[: len(top)]]
    # Names that nobody knows how to compare a relying party has to reject.
    return excluded if found is None else found


def _dns_is_within(name: str, base: str, *, excluded: bool) -> bool:
    if not base or name == base or name.endswith(f".{base.removeprefix('.')}"):
        return True
    # A wildcard covers what is excluded one label below its parent.
    return (
        excluded
        and name.startswith("*.")
        and base.removeprefix(".").partition(".")[2] == name.removeprefix("*.")
    )


def _mail_is_within(mailbox: str, base: str) -> bool:
    local, _, host = mailbox.rpartition("@")
    wanted, at, base_host = base.rpartition("@")
    if at and wanted != local:
        return False
    return _host_is_within(host.lower(), base_host.lower())


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
    return host.removesuffix(".")


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
