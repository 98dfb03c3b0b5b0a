"""What a configuration says about names, compiled so that a name is looked up and never searched.

Names compare without regard to ASCII case, and to the dot of the root at their end.  An address is
judged as an address wherever it stands; an IPv4-mapped IPv6 address is the IPv4 address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from anchor.X509.dns import MAX_NAME, ends_in_a_number

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_LABEL = re.compile(r"[a-z0-9_-]+", re.ASCII)
_LABEL_OF_PATTERN = re.compile(r"[a-z0-9_-]*%?[a-z0-9_-]*", re.ASCII)
# Addresses, and what was meant to be one or a range: 10.0.0.%, 10.0.0.256, 10.0.0.1-10.0.0.9.
_NUMBERS = re.compile(r"(?=.*[0-9])[0-9%]+(\.[0-9%]+)+(-[0-9.]+)?", re.ASCII)
_DOTTED_NUMBERS = re.compile(r"[0-9.]+", re.ASCII)


def canonical(name: str) -> str:
    """The form in which names are compared."""
    # str.lower makes an ASCII letter of U+212A, and such a name is another one.
    return name.lower().removesuffix(".") if name.isascii() else name


def address(text: str) -> Address | None:
    """The address that a text is, or None; one with a zone (``fe80::1%eth0``) is none."""
    if ":" not in text and not _DOTTED_NUMBERS.fullmatch(text):
        return None
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return None if "%" in text else unmapped(found)


def unmapped(found: Address) -> Address:
    """The IPv4 address within an IPv4-mapped one (RFC 4291 section 2.5.5.2), or the same."""
    return getattr(found, "ipv4_mapped", None) or found


class NetworkSet:
    """Ranges of addresses."""

    def __init__(self, networks: Iterable[Network] = ()):
        self._known: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}
        for network in networks:
            length = network.max_prefixlen - network.prefixlen
            self._known[network.version].setdefault(length, set()).add(
                int(network.network_address) >> length
            )

    def __contains__(self, found: Address) -> bool:
        number = int(found)
        for length, networks in self._known[found.version].items():
            if number >> length in networks:
                return True
        return False


class DomainSet:
    """Domains as suffixes: ``.example.com`` has every name below it, and ``.`` every name."""

    def __init__(self, domains: Iterable[str] = ()):
        self._suffixes = frozenset(map(canonical, domains))
        self._parents = frozenset(suffix[1:].partition(".")[2] for suffix in self._suffixes)

    def __contains__(self, name: str) -> bool:
        """Whether a DNS name, wildcards included, is below one of the domains."""
        name = canonical(name)
        if not is_host_name(name):
            return False
        return "" in self._suffixes or any(suffix in self._suffixes for suffix in _suffixes(name))

    def touches(self, name: str) -> bool:
        """Whether a name is, is below, or as a wildcard covers one of the domains."""
        # Two dots at the end are not a name, but somebody may strip them all.
        name = name.lower().strip().rstrip(".")
        if "" in self._suffixes or f".{name}" in self._suffixes:
            return True
        if any(suffix in self._suffixes for suffix in _suffixes(name)):
            return True
        label, _, parent = name.partition(".")
        # Nobody can tell what a wildcard covers that is not in the left-most label.
        return "*" in parent or ("*" in label and parent in self._parents)


def parse_domain(text: str) -> str:
    """A domain as it may stand in a :class:`DomainSet`.

    Raises:
        ValueError: it cannot be right; the text is the end of a sentence.
    """
    if not text.startswith("."):
        raise ValueError(f"{text!r} has to start with a dot, such as '.example.com'")
    labels = canonical(text).split(".")[1:] if text != "." else []
    if not all(map(_LABEL.fullmatch, labels)) or len(text) > MAX_NAME:
        raise ValueError(f"{text[:MAX_NAME]!a} is not a domain")
    return text


def is_host_name(name: str) -> bool:
    """True for labels of the usual characters, of which the left-most may be a ``*``."""
    if len(name) > MAX_NAME or not name.isascii() or ends_in_a_number(name):
        return False
    # RFC 6125 6.4.3: a wildcard is the whole left-most label, or none at all.
    first, *others = name.lower().split(".")
    return (first == "*" or bool(_LABEL.fullmatch(first))) and all(map(_LABEL.fullmatch, others))


def _suffixes(name: str) -> Iterator[str]:
    """``www.example.com``: ``.example.com``, ``.com``; no domain is longer than a name can be."""
    name = name[-MAX_NAME - 1 :]
    dot = name.find(".")
    while dot >= 0:
        yield name[dot:]
        dot = name.find(".", dot + 1)


@dataclass(frozen=True)
class NamePattern:
    """An entry of an allow-list: an address, a range, a complete name, or a name with ``%``.

    Attributes:
        network: the range, if it is one; an address is a range of one.
        labels: the labels of a name, else.
    """

    network: Network | None
    labels: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> NamePattern:
        """Read an entry.

        Raises:
            ValueError: it cannot be right; the text is the end of a sentence.
        """
        if not text or not text.isascii() or not text.isprintable():
            raise ValueError(
                f"{text!a} is not a name in printable ASCII: "
                "internationalised names are written in punycode"
            )
        if "/" in text or ":" in text or _NUMBERS.fullmatch(text):
            return cls._parse_range(text)
        name = canonical(text)
        labels = name.split(".")
        wildcard = labels[0] == "*" and len(labels) > 1
        others = labels[1:] if wildcard else labels
        if "" in labels:
            raise ValueError(f"{text!r} has an empty label")
        if any("*" in label for label in others):
            raise ValueError(f"{text!r} has a wildcard that is not its whole left-most label")
        if any(label.count("%") > 1 for label in labels):
            raise ValueError(f"{text!r} has more than one '%' in a label")
        if "%" in text and not all(map(_LABEL_OF_PATTERN.fullmatch, others)):
            raise ValueError(f"{text!r} has a character that no DNS name has")
        if len(name) > MAX_NAME:
            raise ValueError(f"{text[:40]!r}... is longer than {MAX_NAME}")
        return cls(None, tuple(labels))

    @classmethod
    def _parse_range(cls, text: str) -> NamePattern:
        if "%" in text:
            raise ValueError(f"{text!r} has a '%' in an address: write a range")
        try:
            return cls(normalised(ip_network(text)), ())
        except ValueError as error:
            raise ValueError(f"{error}") from None


@dataclass
class _Node:
    """A label's place in the tree of patterns, which begins at the top-level domains."""

    ends: bool = False
    literal: dict[str, _Node] = field(default_factory=dict)
    # By the lengths of what stands before and after the "%": a label has few ways to be cut.
    partial: dict[tuple[int, int], dict[tuple[str, str], _Node]] = field(default_factory=dict)

    def child(self, label: str) -> _Node:
        if "%" not in label:
            return self.literal.setdefault(label, _Node())
        before, _, after = label.partition("%")
        by_text = self.partial.setdefault((len(before), len(after)), {})
        return by_text.setdefault((before, after), _Node())


class PatternSet:
    """An allow-list of names and addresses."""

    def __init__(self, patterns: Iterable[NamePattern] = ()):
        patterns = list(patterns)
        self._networks = NetworkSet(pattern.network for pattern in patterns if pattern.network)
        self._complete: set[str] = set()
        self._root = _Node()
        for pattern in patterns:
            if pattern.network is None:
                self._add(pattern.labels)

    def _add(self, labels: tuple[str, ...]) -> None:
        name = ".".join(labels)
        if "%" not in name:
            self._complete.add(name)
            return
        node = self._root
        for label in reversed(labels):
            node = node.child(label)
        node.ends = True

    def has_address(self, found: Address) -> bool:
        """Whether an address is listed, by itself or in a range."""
        return unmapped(found) in self._networks

    def has_name(self, name: str, *, wildcards: bool) -> bool:
        """Whether a name is listed.

        Args:
            name: a name that is not an address.
            wildcards: whether a ``%`` can stand for the label ``*``.
        """
        name = canonical(name)
        if name in self._complete:
            return True
        if len(name) > MAX_NAME or not name.isascii() or ends_in_a_number(name):
            return False
        return _matches(self._root, name.split("."), wildcards)


def _matches(node: _Node, labels: list[str], wildcards: bool) -> bool:
    if not labels:
        return node.ends
    *others, label = labels
    literal = node.literal.get(label)
    if literal is not None and _matches(literal, others, wildcards):
        return True
    return any(_matches(child, others, wildcards) for child in _partial(node, labels, wildcards))


def _partial(node: _Node, labels: list[str], wildcards: bool) -> Iterator[_Node]:
    label = labels[-1]
    if label == "*":
        # RFC 6125 6.4.3: a wildcard is the whole left-most label, or none at all.
        if wildcards and len(labels) == 1:
            yield from node.partial.get((0, 0), {}).values()
        return
    if not node.partial or not _LABEL.fullmatch(label):
        return
    for (before, after), by_text in node.partial.items():
        # A "%" stands for one character at least.
        if before + after < len(label):
            child = by_text.get((label[:before], label[len(label) - after :]))
            if child is not None:
                yield child


def normalised(network: Network) -> Network:
    """A range of IPv4-mapped addresses as the range of IPv4 addresses that they are."""
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ip_network((mapped, network.prefixlen - 96))
    return network
