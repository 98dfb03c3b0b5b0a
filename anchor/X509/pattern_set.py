"""An allow-list of name patterns, indexed for fast lookup."""

from __future__ import annotations

import re
from collections.abc import Iterable

from anchor.X509 import pattern_parts
from anchor.X509.dns_names import MAX_NAME, ends_in_a_number
from anchor.X509.name_patterns import (
    Address,
    NamePattern,
    NetworkSet,
    canonical,
    without_ipv4_mapping,
)
from anchor.X509.pattern_parts import LABEL
from anchor.X509.pattern_tree import Part, PatternTree
from anchor.X509.requested_names import NameKind, RequestedName
from anchor.X509.requester_values import NO_VALUES, RequesterValues

_WILDCARD = re.compile(r"\*")


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

    def has(
        self, name: RequestedName, *, wildcards: bool, values: RequesterValues = NO_VALUES
    ) -> bool:
        """True if a requested name is listed.

        Args:
            name: the name.
            wildcards: True if a ``%`` also matches the label ``*``.
            values: what the placeholders stand for.
        """
        match name.kind:
            case NameKind.OTHER:
                return False
            case NameKind.URI:
                return self.has_uri(name.text, values=values)
            case NameKind.MAIL | NameKind.PRINCIPAL:
                return self.has_mailbox(name.text, values=values)
        if name.address is not None:
            return self.has_address(name.address)
        return self.has_name(name.text, wildcards=wildcards, values=values)

    def has_address(self, ip: Address) -> bool:
        """True if an address is in a listed network."""
        return without_ipv4_mapping(ip) in self._networks

    def has_name(self, name: str, *, wildcards: bool, values: RequesterValues = NO_VALUES) -> bool:
        """True if a name is listed.

        Args:
            name: a name that is not an address.
            wildcards: True if a ``%`` also matches the label ``*``.
            values: what the placeholders stand for.
        """
        name = canonical(name)
        if name in self._complete:
            return True
        if len(name) > MAX_NAME or not name.isascii() or ends_in_a_number(name):
            return False
        labels = name.split(".")
        parts = [Part(label, None if label == "*" else LABEL, True) for label in labels]
        if wildcards and labels[0] == "*":
            # RFC 6125 6.4.3: only the whole left-most label can be a wildcard.
            parts[0] = Part("*", _WILDCARD)
        return self._names.matches(reversed(parts), values)

    def has_uri(self, text: str, *, values: RequesterValues = NO_VALUES) -> bool:
        """True if a URI is listed."""
        parts = pattern_parts.uri(text)
        return parts is not None and self._uris.matches(parts, values)

    def has_mailbox(self, text: str, *, values: RequesterValues = NO_VALUES) -> bool:
        """True if a mailbox or user principal name is listed."""
        parts = pattern_parts.mailbox(text)
        return parts is not None and self._mailboxes.matches(parts, values)
