"""The names that a credential is limited to: literal names, never patterns or ranges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from anchor.X509 import pattern_parts
from anchor.X509.name_patterns import NamePattern, canonical, parse_address

MAX_TEXT = 2048
"""The length of the longest allowed name, in characters; only URIs can be longer than 253."""

_SHOWN = 80

NAME, ADDRESS, URI, MAILBOX = "name", "address", "URI", "mailbox"


class LiteralName(NamedTuple):
    """One name in canonical form, so that equal values mean equal names.

    Attributes:
        kind: ``address``, ``URI``, ``mailbox``, or ``name`` for DNS names, wildcards and any other
            common name.
        text: the name; a DNS name is in lower case and has no dot at its end.
    """

    kind: str
    text: str

    def __str__(self) -> str:
        return self.text


def parse_allowed_name(text: str) -> LiteralName:
    """Parse a name that a credential allows, such as ``web1.example.com``.

    The name can be a DNS name, a wildcard such as ``*.example.com``, an IP address, a URI, a mail
    address, or the common name of a CA.

    Raises:
        ValueError: it is empty, too long, not printable ASCII, a pattern, a range, or malformed.
    """
    shown = f"{text[:_SHOWN]!a}{'...' if len(text) > _SHOWN else ''}"
    if not text or text != text.strip():
        raise ValueError(f"{shown} is empty, or has a space at its beginning or end")
    if len(text) > MAX_TEXT:
        raise ValueError(f"{shown} is longer than {MAX_TEXT} characters")
    if not text.isascii() or not text.isprintable():
        raise ValueError(
            f"{shown} is not in printable ASCII: internationalised names are written in punycode"
        )
    if any(character in text for character in "%{}"):
        raise ValueError(f"{shown} has a '%' or a brace: an allowed name is one name, no pattern")
    address = parse_address(text)
    if address is not None:
        return LiteralName(ADDRESS, str(address))
    try:
        pattern = NamePattern.parse(text)
    except ValueError:
        raise ValueError(
            f"{shown} is not a DNS name such as 'web1.example.com' or '*.example.com', and not an "
            "address, a URI or a mail address"
        ) from None
    if pattern.network is not None:
        raise ValueError(f"{shown} is a range: list each address")
    if pattern.uri:
        return LiteralName(URI, pattern_parts.canonical_uri(text))
    if pattern.mailbox:
        return LiteralName(MAILBOX, pattern_parts.canonical_mailbox(text))
    return LiteralName(NAME, canonical(text))


class AllowedNames:
    """The set of names that a credential allows."""

    def __init__(self, names: Iterable[LiteralName]):
        self._names = frozenset(names)

    @classmethod
    def parse(cls, texts: Iterable[str]) -> AllowedNames:
        """Parse the names that a credential allows.

        Raises:
            ValueError: one of them is no allowed name; see :func:`parse_allowed_name`.
        """
        return cls(map(parse_allowed_name, texts))

    def __contains__(self, name: LiteralName) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[LiteralName]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
