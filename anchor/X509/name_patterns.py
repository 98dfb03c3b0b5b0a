"""What a configuration says about names, compiled so that a name is looked up and never searched.

Names compare without regard to ASCII case, and to the dot of the root at their end.  An address is
judged as an address wherever it stands; an IPv4-mapped IPv6 address is the IPv4 address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from anchor.X509 import pattern_parts
from anchor.X509.dns_names import MAX_NAME, ends_in_a_number
from anchor.X509.pattern_parts import LABEL
from anchor.X509.pattern_tree import Part, PatternTree

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_LABEL_OF_PATTERN = re.compile(r"[a-z0-9_-]*%?[a-z0-9_-]*", re.ASCII)
# Addresses, and what was meant to be one or a range: 10.0.0.%, 10.0.0.256, 10.0.0.1-10.0.0.9.
_NUMBERS = re.compile(r"(?=.*[0-9])[0-9%]+(\.[0-9%]+)+(-[0-9.]+)?", re.ASCII)
# Not www.example.com:443, nor localhost:80.
_URI = re.compile(r"[a-z][a-z0-9+-]*:(?![0-9]+\Z)", re.ASCII | re.IGNORECASE)
_IN_ADDRESSES = re.compile(r"[0-9a-f:.%/]*", re.ASCII | re.IGNORECASE)
_WILDCARD = re.compile(r"\*")
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
        self._depth = max((suffix.count(".") for suffix in self._suffixes), default=0)

    def __contains__(self, name: str) -> bool:
        """Whether a DNS name, wildcards included, is below one of the domains."""
        name = canonical(name)
        if not is_host_name(name):
            return False
        return "" in self._suffixes or self._has_suffix_of(name)

    def overlaps(self, name: str) -> bool:
        """Whether a name is, is below, or as a wildcard covers one of the domains."""
        if not self._suffixes:
            return False
        # Two dots at the end are not a name, but somebody may strip them all.
        name = name.lower().strip().rstrip(".")
        if "" in self._suffixes or f".{name}" in self._suffixes:
            return True
        if self._has_suffix_of(name):
            return True
        label, _, parent = name.partition(".")
        # Nobody can tell what a wildcard covers that is not in the left-most label.
        return "*" in parent or ("*" in label and parent in self._parents)

    def _has_suffix_of(self, name: str) -> bool:
        """True if one of the domains is a suffix: of ``a.b.c`` it tries ``.c``, then ``.b.c``."""
        dot = name.rfind(".")
        for _ in range(self._depth):
            if dot < 0:
                return False
            if name[dot:] in self._suffixes:
                return True
            dot = name.rfind(".", 0, dot)
        return False


def parse_domain(text: str) -> str:
    """A domain as it may stand in a :class:`DomainSet`.

    Raises:
        ValueError: it cannot be right; the text is the end of a sentence.
    """
    if not text.startswith("."):
        raise ValueError(f"{text!r} has to start with a dot, such as '.example.com'")
    labels = canonical(text).split(".")[1:] if text != "." else []
    if not all(map(LABEL.fullmatch, labels)) or len(text) > MAX_NAME:
        raise ValueError(f"{text[:MAX_NAME]!a} is not a domain")
    return text


def is_host_name(name: str) -> bool:
    """True for labels of the usual characters, of which the left-most may be a ``*``."""
    if len(name) > MAX_NAME or not name.isascii() or ends_in_a_number(name):
        return False
    # RFC 6125 6.4.3: a wildcard is the whole left-most label, or none at all.
    first, *others = name.lower().split(".")
    return (first == "*" or bool(LABEL.fullmatch(first))) and all(map(LABEL.fullmatch, others))


@dataclass(frozen=True)
class NamePattern:
    """An entry of an allow-list; only what it is has a value.

    Attributes:
        network: a range; an address is a range of one.
        complete: a complete name in its canonical form.
        labels: the labels of a name with ``%``.
        uri: the parts of a URI, from the left.
        mailbox: the parts of a mailbox; one without ``%`` is a complete name too.
    """

    network: Network | None = None
    complete: str = ""
    labels: tuple[str, ...] = ()
    uri: tuple[str, ...] = ()
    mailbox: tuple[str, ...] = ()

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
        if _URI.match(text) and not _IN_ADDRESSES.fullmatch(text):
            return cls(uri=pattern_parts.uri_pattern(text))
        if "/" in text or ":" in text or _NUMBERS.fullmatch(text):
            return cls._parse_range(text)
        if "@" in text:
            return cls._parse_mailbox(text)
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
        return cls(labels=tuple(labels)) if "%" in text else cls(complete=name)

    @classmethod
    def _parse_mailbox(cls, text: str) -> NamePattern:
        try:
            mailbox = pattern_parts.mailbox_pattern(text)
        except ValueError:
            if "%" in text:
                raise
            # Somebody's common name.
            return cls(complete=canonical(text))
        return cls(complete="" if "%" in text else canonical(text), mailbox=mailbox)

    @classmethod
    def _parse_range(cls, text: str) -> NamePattern:
        if "%" in text:
            raise ValueError(f"{text!r} has a '%' in an address: write a range")
        try:
            return cls(normalised(ip_network(text)))
        except ValueError as error:
            raise ValueError(f"{error}") from None


class PatternSet:
    """An allow-list of names, addresses, URIs and mailboxes."""

    def __init__(self, patterns: Iterable[NamePattern] = ()):
        patterns = list(patterns)
        self._networks = NetworkSet(pattern.network for pattern in patterns if pattern.network)
        self._complete = {pattern.complete for pattern in patterns if pattern.complete}
        self._names, self._uris, self._mailboxes = PatternTree(), PatternTree(), PatternTree()
        for pattern in patterns:
            for tree, parts in (
                (self._names, tuple(reversed(pattern.labels))),
                (self._uris, pattern.uri),
                (self._mailboxes, pattern.mailbox),
            ):
                if parts:
                    tree.add(parts)

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
        labels = name.split(".")
        parts = [Part(label, None if label == "*" else LABEL) for label in labels]
        if wildcards and labels[0] == "*":
            # RFC 6125 6.4.3: a wildcard is the whole left-most label, or none at all.
            parts[0] = Part("*", _WILDCARD)
        return self._names.matches(reversed(parts))

    def has_uri(self, text: str) -> bool:
        """True if a URI is listed."""
        parts = pattern_parts.uri(text)
        return parts is not None and self._uris.matches(parts)

    def has_mailbox(self, text: str) -> bool:
        """True if a mailbox or a user principal name is listed."""
        parts = pattern_parts.mailbox(text)
        return parts is not None and self._mailboxes.matches(parts)


def normalised(network: Network) -> Network:
    """A range of IPv4-mapped addresses as the range of IPv4 addresses that they are."""
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ip_network((mapped, network.prefixlen - 96))
    return network
