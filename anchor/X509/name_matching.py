"""Whether a name in a certificate makes it good for another name (RFC 6125 section 6.4)."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import idna


def normalize(name: str) -> str:
    """The one way of writing a name that all ways of writing it share."""
    name = name.strip().rstrip(".").lower()
    if ":" in name or name[-1:].isdigit():
        try:
            return str(ip_address(name))
        except ValueError:
            pass
    return name if name.isascii() else ".".join(map(_punycode, name.split(".")))


def _punycode(label: str) -> str:
    try:
        return label if label.isascii() else idna.encode(label, uts46=True).decode("ascii")
    except idna.IDNAError:
        return label


def matches(holder: str, name: str) -> bool:
    """Whether a certificate for ``holder`` is good for ``name``, both of them normal.

    A wildcard stands for one label, or a part of one, at the left; what some clients accept counts.
    """
    if holder == name:
        return True
    first, dot, parent = holder.partition(".")
    if not dot or "*" not in first:
        return False
    label, dot, rest = name.partition(".")
    before, _, after = first.partition("*")
    return (
        bool(dot)
        and rest == parent
        and label != ""
        and len(label) >= len(before) + len(after)
        and label.startswith(before)
        and label.endswith(after)
    )


def overlaps(one: str, other: str) -> bool:
    """Whether either covers the other, or both lie in the domain that one of them is.

    A name that starts with a dot is a domain: everything under it.
    """
    for domain, name in ((one, other), (other, one)):
        if domain.startswith(".") and name.endswith(domain):
            return True
    return matches(one, other) or matches(other, one)


def index_keys(name: str) -> Iterator[str]:
    """Where to put a name, so that names that touch it are found without looking at all names."""
    yield name
    _, dot, parent = name.partition(".")
    if dot and not name.startswith("."):
        yield f"in {parent}"
        if "*" in name:
            yield f"wildcards in {parent}"


def lookup_keys(name: str) -> Iterator[str]:
    """Where to look for the names that touch a name, among others that do not."""
    yield name
    _, dot, parent = name.partition(".")
    if dot:
        # Only a wildcard touches many of its neighbours.
        yield f"in {parent}" if "*" in name else f"wildcards in {parent}"
    dot_at = name.find(".", 1)
    while dot_at >= 0:
        yield name[dot_at:]
        dot_at = name.find(".", dot_at + 1)
