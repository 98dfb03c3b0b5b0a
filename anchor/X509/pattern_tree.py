"""A prefix tree of patterns with several parts, such as labels or path segments.

Each part of a pattern may have one ``%``, which stands for one or more characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple


class Part(NamedTuple):
    """A part of a name to look up.

    Attributes:
        text: the part.
        wildcard: the texts that a ``%`` matches in it; None if a ``%`` matches nothing.
    """

    text: str
    wildcard: re.Pattern[str] | None = None


@dataclass
class _Node:
    ends: bool = False
    literal: dict[str, _Node] = field(default_factory=dict)
    # By the lengths of the texts before and after the "%", so that a lookup tries few of them.
    partial: dict[tuple[int, int], dict[tuple[str, str], _Node]] = field(default_factory=dict)

    def child(self, part: str) -> _Node:
        if "%" not in part:
            return self.literal.setdefault(part, _Node())
        before, _, after = part.partition("%")
        by_text = self.partial.setdefault((len(before), len(after)), {})
        return by_text.setdefault((before, after), _Node())

    def matching(self, part: Part) -> Iterator[_Node]:
        text, wildcard = part
        if text in self.literal:
            yield self.literal[text]
        if wildcard is None:
            return
        for (before, after), by_text in self.partial.items():
            end = len(text) - after
            # A "%" stands for at least one character.
            if before < end:
                node = by_text.get((text[:before], text[end:]))
                if node is not None and wildcard.fullmatch(text, before, end):
                    yield node


class PatternTree:
    """A set of patterns."""

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, parts: Iterable[str]) -> None:
        """Add a pattern."""
        node = self._root
        for part in parts:
            node = node.child(part)
        node.ends = True

    def matches(self, parts: Iterable[Part]) -> bool:
        """True if one of the patterns matches all the parts."""
        nodes = [self._root]
        for part in parts:
            nodes = [child for node in nodes for child in node.matching(part)]
            if not nodes:
                return False
        return any(node.ends for node in nodes)
