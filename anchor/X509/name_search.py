"""Keys by which certificates are found for a name, a domain, a wildcard or a network.

A host's key has its labels in reverse order, so that all names below a domain are one range:
``dns:com.example.www`` lies between ``dns:com.example.`` and ``dns:com.example/``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

from anchor.X509.name_matching import matches, overlaps
from anchor.X509.name_parsing import canonical, is_domain, parse_name, without_type
from anchor.X509.storable_text import storable

if TYPE_CHECKING:
    from anchor.X509.general_names import InterpretedName

MAX_KEY = 255
"""The length of the longest key; longer ones are cut, and their names have to be compared."""


_IS_NO_HOST = re.compile("[@:/ ]")


@dataclass(frozen=True)
class NameQuery:
    """What to look for.

    Attributes:
        ranges: the first and the last key of each range.
        accepts: whether a name in the ranges is meant.
    """

    ranges: tuple[tuple[str, str], ...]
    accepts: Callable[[str], bool]


def search_entries(names: Iterable[InterpretedName]) -> dict[str, str]:
    """The hosts, addresses, mailboxes and URIs of a certificate, each with its key."""
    entries: dict[str, str] = {}
    for name in names:
        for text in (*name.meaning.hosts, *name.meaning.exact_texts()):
            if text not in entries:
                entries[text] = search_key(text)
    return entries


def search_key(name: str) -> str:
    """The key of a name in its canonical form."""
    # The text of an address has a colon, or ends with a digit.
    if ":" in name or name[-1:].isdigit():
        try:
            return _address_key(ip_address(name))
        except ValueError:
            pass
    name = storable(name)
    if _IS_NO_HOST.search(name):
        return f"text:{name}"[:MAX_KEY]
    first, dot, parent = name.partition(".")
    # A wildcard for a part of a label has the key of the whole label.
    name = f"*.{parent}" if dot and "*" in first else name
    return _host_key(name)[:MAX_KEY]


def query_valid_for(text: str) -> NameQuery:
    """Certificates that clients accept for a host, an address, a mailbox or a URI.

    A text that starts with a dot stands for the domain and all names below it, and a network in
    CIDR notation for the addresses in it.  The type of a name, as in ``DNS:www.example.com``, is
    ignored.
    """
    text = without_type(text)
    if network := _network_range(text):
        return NameQuery((network,), _any_name)
    if text.startswith("."):
        domain = f".{canonical(text[1:])}"
        return NameQuery(
            (_equal(search_key(domain[1:])), _below(domain)),
            lambda name: f".{name}".endswith(domain),
        )
    wanted = canonical(text)
    return NameQuery(tuple(map(_equal, _candidates(wanted))), lambda name: matches(name, wanted))


def is_name(text: str) -> bool:
    """Whether a text is one that :func:`query_valid_for` interprets, and not only compares."""
    text = without_type(text)
    if _network_range(text):
        return True
    try:
        name = parse_name(text.removeprefix("."))
    except ValueError:
        return False
    return not text.startswith(".") or is_domain(name)


def query_overlapping(value: str) -> NameQuery:
    """Certificates that a ban of a name concerns, in the canonical form of the ban."""
    if value.startswith("."):
        return NameQuery((_below(value),), lambda name: overlaps(value, name))
    ranges = list(map(_equal, _candidates(value)))
    if "*" in value:
        ranges.append(_below(f".{value.partition('.')[2]}"))
    return NameQuery(tuple(ranges), lambda name: overlaps(value, name))


def _any_name(_name: str) -> bool:
    return True


def _candidates(name: str) -> Iterator[str]:
    """The keys of the name itself, and of the wildcards beside it."""
    yield search_key(name)
    _, dot, parent = name.partition(".")
    if dot:
        yield search_key(f"*.{parent}")


def _host_key(name: str) -> str:
    return f"dns:{'.'.join(reversed(name.split('.')))}"


def _address_key(address: IPv4Address | IPv6Address) -> str:
    return f"ip{address.version}:{address.packed.hex()}"


def _network_range(text: str) -> tuple[str, str] | None:
    if "/" not in text:
        return None
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    return _address_key(network[0]), _address_key(network[-1])


def _equal(key: str) -> tuple[str, str]:
    return key, key


def _below(domain: str) -> tuple[str, str]:
    """The range of all names below a domain, which starts with a dot."""
    parent = _host_key(domain[1:])
    if len(parent) >= MAX_KEY:
        return _equal(parent[:MAX_KEY])
    # "/" is the character after ".", and in no host.
    return f"{parent}.", f"{parent}/"
