"""Allow-lists and deny-lists of names and networks, indexed for fast lookup.

Names are compared without ASCII case and without a dot at the end.  Text that is an address is
compared as an address; an IPv4-mapped IPv6 address equals the IPv4 address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from anchor.X509 import pattern_parts
from anchor.X509.dns_names import MAX_NAME, ends_in_a_number
from anchor.X509.pattern_parts import LABEL
from anchor.X509.pattern_tree import PatternPart

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_LABEL_OF_PATTERN = re.compile(r"[a-z0-9_-]*%?[a-z0-9_-]*", re.ASCII)
# Addresses, and attempts at one or at a range: 10.0.0.%, 10.0.0.256, 10.0.0.1-10.0.0.9.
_NUMBERS = re.compile(r"(?=.*[0-9])[0-9%]+(\.[0-9%]+)+(-[0-9.]+)?", re.ASCII)
# Not www.example.com:443, nor localhost:80.
_URI = re.compile(r"[a-z][a-z0-9+-]*:(?![0-9]+\Z)", re.ASCII | re.IGNORECASE)
_IN_ADDRESSES = re.compile(r"[0-9a-f:.%/]*", re.ASCII | re.IGNORECASE)
_DOTTED_NUMBERS = re.compile(r"[0-9.]+", re.ASCII)


def canonical(name: str) -> str:
    """The name in the form for comparison."""
    # str.lower() turns U+212A (KELVIN SIGN) into the ASCII letter k, which is another name.
    return name.lower().removesuffix(".") if name.isascii() else name


def parse_address(text: str) -> Address | None:
    """The address in a text; None if it is none or has a zone (``fe80::1%eth0``)."""
    if ":" not in text and not _DOTTED_NUMBERS.fullmatch(text):
        return None
    try:
        ip = ip_address(text)
    except ValueError:
        return None
    return None if "%" in text else without_ipv4_mapping(ip)


def without_ipv4_mapping(ip: Address) -> Address:
    """The IPv4 address in an IPv4-mapped one (RFC 4291 section 2.5.5.2); others unchanged."""
    return getattr(ip, "ipv4_mapped", None) or ip


class NetworkSet:
    """A set of networks, to look up addresses."""

    def __init__(self, networks: Iterable[Network] = ()):
        # Prefixes by IP version and number of host bits.
        self._prefixes: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}
        for network in networks:
            host_bits = network.max_prefixlen - network.prefixlen
            self._prefixes[network.version].setdefault(host_bits, set()).add(
                int(network.network_address) >> host_bits
            )

    def __contains__(self, ip: Address) -> bool:
        number = int(ip)
        return any(
            number >> host_bits in prefixes
            for host_bits, prefixes in self._prefixes[ip.version].items()
        )


class DomainSet:
    """A set of domains: ``.example.com`` contains each name below it, ``.`` each name."""

    def __init__(self, domains: Iterable[str] = ()):
        self._suffixes = frozenset(map(canonical, domains))
        self._parents = frozenset(suffix[1:].partition(".")[2] for suffix in self._suffixes)
        self._depth = max((suffix.count(".") for suffix in self._suffixes), default=0)

    def __contains__(self, name: str) -> bool:
        """True if a DNS name or wildcard is below one of the domains."""
        name = canonical(name)
        if not is_host_name(name):
            return False
        return "" in self._suffixes or self._has_suffix_of(name)

    def overlaps(self, name: str) -> bool:
        """True if a name is a domain of the set, is below one, or covers one as a wildcard."""
        if not self._suffixes:
            return False
        # A name with two dots at the end is invalid, but a client may strip all dots.
        name = name.lower().strip().rstrip(".")
        if "" in self._suffixes or f".{name}" in self._suffixes:
            return True
        if self._has_suffix_of(name):
            return True
        label, _, parent = name.partition(".")
        # Clients disagree about a wildcard that is not in the left-most label.
        return "*" in parent or ("*" in label and parent in self._parents)

    def _has_suffix_of(self, name: str) -> bool:
        """True if a domain is a suffix of the name; ``a.b.c`` has ``.c`` and ``.b.c``."""
        dot = name.rfind(".")
        for _ in range(self._depth):
            if dot < 0:
                return False
            if name[dot:] in self._suffixes:
                return True
            dot = name.rfind(".", 0, dot)
        return False


def parse_domain(text: str) -> str:
    """The text, if it is a domain for a :class:`DomainSet`.

    Raises:
        ValueError: it does not start with a dot, or is not a domain.
    """
    if not text.startswith("."):
        raise ValueError(f"{text!r} has to start with a dot, such as '.example.com'")
    labels = canonical(text).split(".")[1:] if text != "." else []
    if not all(map(LABEL.fullmatch, labels)) or len(text) > MAX_NAME:
        raise ValueError(f"{text[:MAX_NAME]!a} is not a domain")
    return text


def is_host_name(name: str) -> bool:
    """True for a host name; its left-most label may be ``*``."""
    if len(name) > MAX_NAME or not name.isascii() or ends_in_a_number(name):
        return False
    # RFC 6125 6.4.3: only the whole left-most label can be a wildcard.
    first, *others = name.lower().split(".")
    return (first == "*" or bool(LABEL.fullmatch(first))) and all(map(LABEL.fullmatch, others))


@dataclass(frozen=True)
class NamePattern:
    """An entry of an allow-list.

    Only the attributes for its kind are set.

    Attributes:
        network: a network; an address is a network of one.
        complete: a name without ``%`` in canonical form.
        labels: the labels of a name with ``%`` or a placeholder.
        uri: the parts of a URI, from the left.
        mailbox: the parts of a mailbox; without ``%``, ``complete`` is set too.
    """

    network: Network | None = None
    complete: str = ""
    labels: tuple[PatternPart, ...] = ()
    uri: tuple[PatternPart, ...] = ()
    mailbox: tuple[PatternPart, ...] = ()

    @classmethod
    def parse(cls, text: str) -> NamePattern:
        """Parse an entry of an allow-list.

        Raises:
            ValueError: it is malformed.
        """
        if not text or not text.isascii() or not text.isprintable():
            raise ValueError(
                f"{text!a} is not a name in printable ASCII: "
                "internationalised names are written in punycode"
            )
        if _URI.match(text) and not _IN_ADDRESSES.fullmatch(text):
            return cls(uri=pattern_parts.uri_pattern(text))
        if "/" in text or ":" in text or _NUMBERS.fullmatch(text):
            return cls._parse_network(text)
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
            # A common name with an @ that is not a mailbox.
            return cls(complete=canonical(text))
        return cls(complete="" if "%" in text else canonical(text), mailbox=mailbox)

    @classmethod
    def _parse_network(cls, text: str) -> NamePattern:
        if "%" in text:
            raise ValueError(f"{text!r} has a '%' in an address: write a range")
        try:
            return cls(network_without_ipv4_mapping(ip_network(text)))
        except ValueError as error:
            raise ValueError(str(error)) from None


def network_without_ipv4_mapping(network: Network) -> Network:
    """The IPv4 network for a network of IPv4-mapped addresses; others unchanged."""
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ip_network((mapped, network.prefixlen - 96))
    return network
