"""The values of a requester that placeholders in name patterns stand for.

A value is literal text: a label of a host name, or several with dots between them.  Any other value
matches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from anchor.X509.dns_names import MAX_LABEL, MAX_NAME, is_address

USERNAME, GROUP, CLAIM = "username", "group", "claim:"

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)


class RequesterValues:
    """The values of one requester, by the source in a placeholder.

    Args:
        username: the user name.
        groups: the user's groups; each of them is a value of ``{group}``.
        claims: the claims, by name.
    """

    def __init__(
        self,
        username: str | None = None,
        groups: Iterable[str] = (),
        claims: Mapping[str, str] = MappingProxyType({}),
    ):
        self._username = username
        self._groups = groups
        self._claims = claims
        # Filled on first use: a user can have thousands of groups, and few patterns need them.
        self._known: dict[tuple[str, bool], frozenset[str]] = {}

    def texts(self, source: str) -> tuple[str, ...]:
        """The values of a source, such as ``username`` or ``claim:project``."""
        values: Iterable[object] = self._groups
        if source == USERNAME:
            values = (self._username,)
        elif source != GROUP:
            values = (self._claims.get(source.removeprefix(CLAIM)),)
        # A plug-in may return other types than strings.
        return tuple(value for value in values if isinstance(value, str))

    def usable(self, source: str, *, several: bool) -> Iterator[str]:
        """The values of a source that a placeholder can stand for."""
        return (text for text in self.texts(source) if is_usable(text, several=several))

    def has(self, source: str, text: str, *, several: bool, exact: bool) -> bool:
        """True if a part of a requested name is a value of the source.

        Args:
            source: the source, such as ``username``.
            text: the part of the requested name.
            several: True if it may have several labels.
            exact: True to compare with case.
        """
        # Only this candidate is tested, because a requester can have thousands of values.
        return text in self._values(source, exact) and is_usable(text, several=several)

    def _values(self, source: str, exact: bool) -> frozenset[str]:
        key = source, exact
        if key not in self._known:
            texts = filter(str.isascii, self.texts(source))
            self._known[key] = frozenset(texts if exact else map(str.lower, texts))
        return self._known[key]


NO_VALUES = RequesterValues()


def is_usable(text: str, *, several: bool) -> bool:
    """True if a placeholder can stand for a value.

    Args:
        text: the value.
        several: True if it may have several labels; an address is no such value.
    """
    if not several:
        return len(text) <= MAX_LABEL and _LABEL.fullmatch(text) is not None
    if len(text) > MAX_NAME or is_address(text):
        return False
    return all(map(_LABEL.fullmatch, text.split(".")))
