"""Patterns of several parts, such as labels or path segments, looked up without a search.

In a pattern one ``%`` may be in each part: it stands for one or more characters of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple


class Part(NamedTuple):
    """A part of a name that is looked up.

    Attributes:
        text: the part.
        filling: what a ``%`` may stand for in it; None if it stands for nothing here.
    """

    text: str
    filling: re.Pattern[str] | None = None


@dataclass
class _Node:
    ends: bool = False
    literal: dict[str, _Node] = field(default_factory=dict)
    # By the lengths of what stands before and after the "%": a part has few ways to be cut.
    partial: dict[tuple[int, int], dict[tuple[str, str], _Node]] = field(default_factory=dict)

    def child(self, part: str) -> _Node:
        if "%" not in part:
            return self.literal.setdefault(part, _Node())
        before, _, after = part.partition("%")
        by_text = self.partial.setdefault((len(before), len(after)), {})
        return by_text.setdefault((before, after), _Node())

    def matching(self, part: Part) -> Iterator[_Node]:
        text, filling = part
        if text in self.literal:
            yield self.literal[text]
        if filling is None:
            return
        for (before, after), by_text in self.partial.items():
            end = len(text) - after
            # A "%" stands for one character at least.
            if before < end:
                node = by_text.get((text[:before], text[end:]))
                if node is not None and filling.fullmatch(text, before, end):
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
