"""What a configuration says about the values of subject attributes.

Values compare exactly, upper and lower case included, as relying parties such as Kubernetes do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography.x509 import ObjectIdentifier

from anchor.X509.attribute_names import NameAttribute, attribute_oid

# Where relying parties split a value into parts: mail addresses, groups, paths and names.
_DELIMITERS = frozenset('@:/\\,+=;<>"')


@dataclass(frozen=True)
class ValuePattern:
    """A value, or the text before and after a ``%``.

    Attributes:
        before: the whole value if there is no ``%``.
        after: the text after the ``%``, or None if there is no ``%``.
    """

    before: str
    after: str | None = None

    @classmethod
    def parse(cls, text: str) -> ValuePattern:
        """Read a value as the configuration has it.

        Raises:
            ValueError: it cannot be right; the text is the end of a sentence.
        """
        if not text or not text.isprintable():
            raise ValueError(f"{text[:80]!a} is empty or has a control character in it")
        if text.count("%") > 1:
            raise ValueError(f"{text[:80]!a} has more than one '%'")
        before, percent, after = text.partition("%")
        return cls(before, after if percent else None)

    def matches(self, value: str) -> bool:
        """True if the value is the one that is written, or has its text around a ``%``."""
        if self.after is None:
            return value == self.before
        if not self.before and not self.after:
            return bool(value)
        if len(value) <= len(self.before) + len(self.after):
            return False
        if not (value.startswith(self.before) and value.endswith(self.after)):
            return False
        part = value[len(self.before) : len(value) - len(self.after)]
        return not _DELIMITERS.intersection(part)


class _Values:
    """The values that one attribute may have, compiled so that a value is looked up."""

    def __init__(self, patterns: Iterable[ValuePattern]):
        patterns = tuple(patterns)
        self._complete = {pattern.before for pattern in patterns if pattern.after is None}
        self._by_text = {
            (pattern.before, pattern.after): pattern
            for pattern in patterns
            if pattern.after is not None
        }
        # Few lengths occur, however many patterns there are.
        self._lengths = {(len(before), len(after)) for before, after in self._by_text}

    def __contains__(self, value: str) -> bool:
        if value in self._complete:
            return True
        for before, after in self._lengths:
            pattern = self._by_text.get((value[:before], value[max(len(value) - after, 0) :]))
            if pattern is not None and pattern.matches(value):
                return True
        return False


class AttributePatterns:
    """The values that each attribute may have; an attribute that is not listed has none."""

    def __init__(self, patterns: Mapping[ObjectIdentifier, Iterable[ValuePattern]] | None = None):
        self._values = {oid: _Values(values) for oid, values in (patterns or {}).items()}

    @classmethod
    def parse(cls, written: Mapping[str, Iterable[ValuePattern]]) -> AttributePatterns:
        """Read patterns by the attribute's name; raises ValueError for a repeated attribute."""
        patterns: dict[ObjectIdentifier, Iterable[ValuePattern]] = {}
        for name, values in written.items():
            oid = attribute_oid(name)
            if oid in patterns:
                raise ValueError(f"{name!a} is listed twice, under two of its names")
            patterns[oid] = values
        return cls(patterns)

    @classmethod
    def of(cls, attributes: Iterable[NameAttribute]) -> AttributePatterns:
        """Patterns for exactly these attributes with exactly these values."""
        patterns: dict[ObjectIdentifier, list[ValuePattern]] = {}
        for attribute in attributes:
            if isinstance(attribute.value, str):
                patterns.setdefault(attribute.oid, []).append(ValuePattern(attribute.value))
        return cls(patterns)

    def mentions(self, oid: ObjectIdentifier) -> bool:
        """True if the attribute is listed."""
        return oid in self._values

    def has(self, attribute: NameAttribute) -> bool:
        """True if the attribute is listed with this value."""
        value, allowed = attribute.value, self._values.get(attribute.oid)
        return allowed is not None and isinstance(value, str) and value in allowed
