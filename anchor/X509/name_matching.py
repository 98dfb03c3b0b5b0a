"""Matching of DNS names and wildcards (RFC 6125 section 6.4)."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import idna


def normalize(name: str) -> str:
    """The normal form of a name: lower case, punycode, no dot at the end."""
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
    """True if a certificate for ``holder`` is valid for ``name``; both are normalized.

    A wildcard stands for the left-most label or a part of it: some clients accept the latter.
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


def overlaps(first: str, second: str) -> bool:
    """True if one name matches the other, or is below the other.

    A name that starts with a dot is a domain and stands for all names below it.
    """
    for domain, name in ((first, second), (second, first)):
        if domain.startswith(".") and name.endswith(domain):
            return True
    return matches(first, second) or matches(second, first)


def index_keys(name: str) -> Iterator[str]:
    """The index entries of a name, for a lookup of overlapping names by lookup_keys()."""
    yield name
    _, dot, parent = name.partition(".")
    if dot and not name.startswith("."):
        yield f"in {parent}"
        if "*" in name:
            yield f"wildcards in {parent}"


def lookup_keys(name: str) -> Iterator[str]:
    """The index entries that contain all names that overlap with a name."""
    yield name
    _, dot, parent = name.partition(".")
    if dot:
        # A wildcard overlaps with its siblings; any other name only with wildcards beside it.
        yield f"in {parent}" if "*" in name else f"wildcards in {parent}"
    start = name.find(".", 1)
    while start >= 0:
        yield name[start:]
        start = name.find(".", start + 1)
