"""Name patterns with placeholders, such as ``{username}.example.com``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

from anchor.X509.dns_names import ends_in_a_number
from anchor.X509.name_patterns import NamePattern
from anchor.X509.pattern_set import PatternSet
from anchor.X509.pattern_tree import PatternPart, Run, Slot
from anchor.X509.requester_values import RequesterValues, is_usable

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_CONTENT = re.compile(r"(username|group|claim:[A-Za-z0-9_.-]+)(:name)?", re.ASCII)
_LABEL_OF_TEMPLATE = re.compile(r"[a-z0-9_-]*%?[a-z0-9_-]*", re.ASCII)

_KNOWN = "'{username}', '{group}', '{claim:NAME}', or one of these with ':name' before the '}'"


@dataclass(frozen=True)
class Placeholder:
    """A placeholder in a pattern.

    Attributes:
        source: ``username``, ``group``, or ``claim:`` and the name of a claim.
        several: True for a value that may have several labels.
    """

    source: str
    several: bool = False

    @classmethod
    def parse(cls, content: str) -> Placeholder:
        """Parse the text between the braces.

        Raises:
            ValueError: it is no known placeholder.
        """
        match = _CONTENT.fullmatch(content)
        if match is None:
            written = f"{{{content}}}"
            raise ValueError(f"{written!a} is no placeholder: use {_KNOWN}")
        return cls(match[1], several=match[2] is not None)

    def __str__(self) -> str:
        return f"{{{self.source}{':name' if self.several else ''}}}"


def parse_pattern(text: str) -> NamePattern:
    """Parse an entry that cannot have placeholders.

    Raises:
        ValueError: it is malformed, or has a placeholder.
    """
    for content in _PLACEHOLDER.findall(text):
        if _CONTENT.fullmatch(content):
            raise ValueError(
                f"{text!a} has the placeholder '{{{content}}}', which has a meaning in "
                "'requester_names' only"
            )
    return NamePattern.parse(text)


@dataclass(frozen=True)
class NameTemplate:
    """An entry of an allow-list that depends on the requester.

    Attributes:
        text: the entry as written.
        pattern: the parsed entry.
        placeholders: its placeholders, in order.
    """

    text: str
    pattern: NamePattern
    placeholders: tuple[Placeholder, ...] = ()

    @classmethod
    def parse(cls, text: str) -> NameTemplate:
        """Parse an entry; one without placeholders is a :class:`NamePattern`.

        Raises:
            ValueError: it is malformed.
        """
        if "{" not in text and "}" not in text:
            return cls(text, NamePattern.parse(text))
        literals, placeholders = _split(text)
        return cls(text, _Parser(text, literals, placeholders).pattern(), placeholders)

    def expand(self, values: RequesterValues) -> Iterator[str]:
        """The patterns that the entry stands for, for one requester."""
        literals = _PLACEHOLDER.split(self.text)[::2]
        usable = (values.usable(each.source, several=each.several) for each in self.placeholders)
        for chosen in product(*usable):
            yield _joined(literals, chosen)


def _split(text: str) -> tuple[list[str], tuple[Placeholder, ...]]:
    """The texts around the placeholders, and the placeholders."""
    pieces = _PLACEHOLDER.split(text)
    literals = pieces[::2]
    if any("{" in literal or "}" in literal for literal in literals):
        raise ValueError(f"{text!a} has a '{{' or a '}}' that belongs to no placeholder")
    placeholders: list[Placeholder] = []
    for content in pieces[1::2]:
        try:
            placeholder = Placeholder.parse(content)
        except ValueError as error:
            raise ValueError(f"{text!a}: {error}") from None
        if any(placeholder.source == other.source for other in placeholders):
            raise ValueError(f"{text!a} has {placeholder.source!r} more than once")
        placeholders.append(placeholder)
    return literals, tuple(placeholders)


def _joined(literals: Sequence[str], values: Sequence[str]) -> str:
    """The texts with the values between them."""
    rest = (f"{value}{text}" for value, text in zip(values, literals[1:], strict=True))
    return f"{literals[0]}{''.join(rest)}"


def _host_of_uri(parts: tuple[PatternPart, ...]) -> range:
    """The positions of the labels of the host."""
    if "//" not in str(parts[0]):
        return range(0)
    return range(1, next(at for at, part in enumerate(parts) if str(part).startswith(":")))


@dataclass
class _Parser:
    """Parses an entry with a mark in place of each placeholder, and then replaces the marks."""

    text: str
    literals: list[str]
    placeholders: tuple[Placeholder, ...]
    marks: list[str] = field(default_factory=list)

    def pattern(self) -> NamePattern:
        """The pattern, with slots and runs.

        Raises:
            ValueError: the entry is malformed.
        """
        pattern = self._marked_pattern()
        if pattern.uri:
            return NamePattern(uri=self._parts(pattern.uri, _host_of_uri(pattern.uri)))
        if pattern.mailbox:
            return NamePattern(
                mailbox=self._parts(pattern.mailbox, range(len(pattern.mailbox) - 2))
            )
        name = pattern.complete or ".".join(map(str, pattern.labels))
        labels = name.split(".")
        is_wildcard = labels[0] == "*"
        if not all(map(_LABEL_OF_TEMPLATE.fullmatch, labels[is_wildcard:])):
            raise ValueError(
                f"{self.text!a} has a placeholder, but is no pattern of a DNS name, a URI or a "
                "mailbox"
            )
        if ends_in_a_number(name):
            raise ValueError(f"{self.text!a} ends in a number, so it can only be an address")
        return NamePattern(labels=self._parts(tuple(labels), range(len(labels))))

    def _marked_pattern(self) -> NamePattern:
        """The pattern with the marks."""
        mark = "placeholder"
        while mark in self.text.lower():
            mark += "x"
        self.marks = [f"{mark}{number}z" for number in range(len(self.placeholders))]
        try:
            return NamePattern.parse(_joined(self.literals, self.marks))
        except ValueError as error:
            message = str(error)
            for found, placeholder in zip(self.marks, self.placeholders, strict=True):
                message = message.replace(found, str(placeholder))
            raise ValueError(message) from None

    def _parts(self, parts: tuple[PatternPart, ...], hosts: range) -> tuple[PatternPart, ...]:
        """The parts with slots and runs for the marks; ``hosts`` are the positions of labels."""
        made = tuple(
            self._part(str(part), is_label=position in hosts) for position, part in enumerate(parts)
        )
        if sum(isinstance(part, Run) for part in made) > 1:
            raise ValueError(f"{self.text!a} has ':name' more than once in its host")
        if isinstance(made[0], Slot) and made[0].after.endswith((":", "://")):
            raise ValueError(f"{self.text!a} has a placeholder in its scheme")
        return made

    def _part(self, part: str, *, is_label: bool) -> PatternPart:
        found = [number for number, mark in enumerate(self.marks) if mark in part]
        if not found:
            return part
        if len(found) > 1:
            raise ValueError(
                f"{self.text!a} has two placeholders in one label: values that are joined have no "
                "clear boundary, so put a dot or a slash between them"
            )
        placeholder = self.placeholders[found[0]]
        before, _, after = part.partition(self.marks[found[0]])
        if before.endswith("%") or after.startswith("%"):
            raise ValueError(
                f"{self.text!a} has a '%' right beside {placeholder}, which would match the names "
                "of other requesters too: put a '-' between them"
            )
        if not placeholder.several:
            return Slot(before, placeholder.source, after)
        if before or after:
            raise ValueError(
                f"{self.text!a} has {placeholder} beside other text: a name stands alone between "
                "dots or slashes"
            )
        return Run(placeholder.source) if is_label else Slot("", placeholder.source, "", True)


class TemplateSet(PatternSet):
    """An allow-list whose entries can have placeholders."""

    def __init__(self, templates: Iterable[NameTemplate] = ()):
        self.templates = tuple(templates)
        super().__init__(template.pattern for template in self.templates)

    def expand(self, values: RequesterValues) -> Iterator[str]:
        """The patterns that the entries stand for, for one requester, each once."""
        seen: set[str] = set()
        for template in self.templates:
            for text in template.expand(values):
                if text not in seen:
                    seen.add(text)
                    yield text

    def unusable(self, values: RequesterValues) -> Iterator[str]:
        """Why placeholders stand for nothing, one line for each."""
        placeholders = dict.fromkeys(
            placeholder for template in self.templates for placeholder in template.placeholders
        )
        for placeholder in placeholders:
            texts = values.texts(placeholder.source)
            if not texts:
                yield f"{placeholder} has no value"
            elif not any(is_usable(text, several=placeholder.several) for text in texts):
                form = "labels" if placeholder.several else "one label"
                yield f"{placeholder} is not {form} of letters, digits, inner hyphens: {texts[0]}"
