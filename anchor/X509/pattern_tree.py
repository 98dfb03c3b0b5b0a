"""A prefix tree of patterns with several parts, such as labels or path segments.

Each part of a pattern may have one ``%``, which stands for one or more characters, and one
placeholder, which stands for a value of the requester.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from anchor.X509.dns_names import MAX_LABEL, MAX_NAME
from anchor.X509.requester_values import NO_VALUES, RequesterValues


class Part(NamedTuple):
    """A part of a name to look up.

    Attributes:
        text: the part.
        wildcard: the texts that a ``%`` matches in it; None if a ``%`` or a placeholder matches
            nothing.
        is_label: True for a label of a host, which is in lower case.
    """

    text: str
    wildcard: re.Pattern[str] | None = None
    is_label: bool = False


class Slot(NamedTuple):
    """A part of a pattern with a placeholder, and perhaps a ``%`` on one side of it.

    Attributes:
        before: the text before the value.
        source: the source of the value, such as ``username``.
        after: the text after the value.
        several: True if the value may have dots.
    """

    before: str
    source: str
    after: str
    several: bool = False


class Run(NamedTuple):
    """One or more whole labels of a host that are a value of the requester."""

    source: str


PatternPart = str | Slot | Run


@dataclass
class _Node:
    ends: bool = False
    literal: dict[str, _Node] = field(default_factory=dict)
    # By the lengths of the texts before and after the "%", so that a lookup tries few of them.
    partial: dict[tuple[int, int], dict[tuple[str, str], _Node]] = field(default_factory=dict)
    # The same for placeholders, by their source too.
    slots: dict[tuple[str, bool, int, int], dict[tuple[str, str], _Node]] = field(
        default_factory=dict
    )
    mixed: dict[Slot, _Node] = field(default_factory=dict)
    runs: dict[str, _Node] = field(default_factory=dict)

    def child(self, part: PatternPart) -> _Node:
        if isinstance(part, Run):
            return self.runs.setdefault(part.source, _Node())
        if isinstance(part, Slot):
            return self._slot_child(part)
        if "%" not in part:
            return self.literal.setdefault(part, _Node())
        before, _, after = part.partition("%")
        by_text = self.partial.setdefault((len(before), len(after)), {})
        return by_text.setdefault((before, after), _Node())

    def _slot_child(self, slot: Slot) -> _Node:
        before, source, after, several = slot
        if "%" in before or "%" in after:
            return self.mixed.setdefault(slot, _Node())
        by_text = self.slots.setdefault((source, several, len(before), len(after)), {})
        return by_text.setdefault((before, after), _Node())

    def matching(self, part: Part, values: RequesterValues) -> Iterator[_Node]:
        text, wildcard, is_label = part
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
        if not (self.slots or self.mixed) or (is_label and len(text) > MAX_LABEL):
            return
        exact = not is_label
        for (source, several, before, after), by_text in self.slots.items():
            end = len(text) - after
            if before < end:
                node = by_text.get((text[:before], text[end:]))
                if node is not None and values.has(
                    source, text[before:end], several=several, exact=exact
                ):
                    yield node
        for slot, node in self.mixed.items():
            if _matches_mixed(slot, part, values):
                yield node

    def after_runs(
        self, parts: Sequence[Part], position: int, values: RequesterValues
    ) -> Iterator[tuple[_Node, int]]:
        """The node after each run of labels from a position on, and the position after it."""
        for source, node in self.runs.items():
            name = ""
            for end in range(position, len(parts)):
                text, wildcard, is_label = parts[end]
                name = f"{text}.{name}" if name else text
                if not is_label or wildcard is None or len(name) > MAX_NAME:
                    break
                if values.has(source, name, several=True, exact=False):
                    yield node, end + 1


def _matches_mixed(slot: Slot, part: Part, values: RequesterValues) -> bool:
    """True if a part matches a slot that has a ``%`` too."""
    text, wildcard, is_label = part
    starts: Iterable[int] = (len(slot.before),)
    ends: Iterable[int] = (len(text) - len(slot.after),)
    # The end of the value beside the "%" is unknown; no value is longer than a name.
    if "%" in slot.after:
        ends = range(len(slot.before) + 1, min(len(text), len(slot.before) + MAX_NAME) + 1)
    else:
        [end] = ends
        starts = range(max(0, end - MAX_NAME), end)
    assert wildcard is not None
    return any(
        values.has(slot.source, text[start:end], several=slot.several, exact=not is_label)
        and _fits(slot.before, text[:start], wildcard)
        and _fits(slot.after, text[end:], wildcard)
        for start in starts
        for end in ends
        if start < end
    )


def _fits(pattern: str, text: str, wildcard: re.Pattern[str]) -> bool:
    before, percent, after = pattern.partition("%")
    if not percent:
        return text == pattern
    end = len(text) - len(after)
    return (
        text.startswith(before)
        and text.endswith(after)
        and wildcard.fullmatch(text, len(before), max(end, 0)) is not None
    )


class PatternTree:
    """A set of patterns."""

    def __init__(self) -> None:
        self._root = _Node()
        self._has_runs = False

    def add(self, parts: Iterable[PatternPart]) -> None:
        """Add a pattern."""
        node = self._root
        for part in parts:
            node = node.child(part)
            self._has_runs |= isinstance(part, Run)
        node.ends = True

    def matches(self, parts: Iterable[Part], values: RequesterValues = NO_VALUES) -> bool:
        """True if one of the patterns matches all the parts.

        Args:
            parts: the parts of the name.
            values: what the placeholders stand for.
        """
        parts = tuple(parts)
        nodes = [self._root]
        # Nodes after runs of several labels, by the position of the next part.
        after_runs: dict[int, list[_Node]] = {}
        for position, part in enumerate(parts):
            if self._has_runs:
                nodes += after_runs.pop(position, ())
                for node in nodes:
                    for child, end in node.after_runs(parts, position, values):
                        after_runs.setdefault(end, []).append(child)
            nodes = [child for node in nodes for child in node.matching(part, values)]
            if not nodes and not after_runs:
                return False
        return any(node.ends for node in (*nodes, *after_runs.get(len(parts), ())))
