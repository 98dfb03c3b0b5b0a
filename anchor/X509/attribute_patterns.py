"""Allow-lists of subject attributes and their values.

Values are compared case-sensitively, as relying parties such as Kubernetes do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography.x509 import ObjectIdentifier

from anchor.X509.attribute_names import NameAttribute, attribute_oid

# Relying parties split values at these: mail addresses, groups, paths and names.
_DELIMITERS = frozenset('@:/\\,+=;<>"')


@dataclass(frozen=True)
class ValuePattern:
    """An attribute value, in which one ``%`` stands for any characters but delimiters.

    Attributes:
        before: the text before the ``%``, or the whole value if there is no ``%``.
        after: the text after the ``%``, or None if there is no ``%``.
    """

    before: str
    after: str | None = None

    @classmethod
    def parse(cls, text: str) -> ValuePattern:
        """Parse a value from the configuration.

        Raises:
            ValueError: it is empty, has a control character, or more than one ``%``.
        """
        if not text or not text.isprintable():
            raise ValueError(f"{text[:80]!a} is empty or has a control character in it")
        if text.count("%") > 1:
            raise ValueError(f"{text[:80]!a} has more than one '%'")
        before, percent, after = text.partition("%")
        return cls(before, after if percent else None)

    def matches(self, value: str) -> bool:
        """True if the value equals the pattern, or fits around its ``%``."""
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
    """The allowed values of one attribute, indexed for lookup."""

    def __init__(self, patterns: Iterable[ValuePattern]):
        patterns = tuple(patterns)
        self._exact = {pattern.before for pattern in patterns if pattern.after is None}
        self._by_text = {
            (pattern.before, pattern.after): pattern
            for pattern in patterns
            if pattern.after is not None
        }
        # Many patterns share few lengths, so a lookup per length is fast.
        self._lengths = {(len(before), len(after)) for before, after in self._by_text}

    def __contains__(self, value: str) -> bool:
        if value in self._exact:
            return True
        for before, after in self._lengths:
            pattern = self._by_text.get((value[:before], value[max(len(value) - after, 0) :]))
            if pattern is not None and pattern.matches(value):
                return True
        return False


class AttributePatterns:
    """The allowed values of each attribute; attributes not listed have none."""

    def __init__(self, patterns: Mapping[ObjectIdentifier, Iterable[ValuePattern]] | None = None):
        self._values = {oid: _Values(values) for oid, values in (patterns or {}).items()}

    @classmethod
    def parse(cls, patterns_by_name: Mapping[str, Iterable[ValuePattern]]) -> AttributePatterns:
        """Parse patterns by attribute name; raises ValueError for a repeated attribute."""
        patterns: dict[ObjectIdentifier, Iterable[ValuePattern]] = {}
        for name, values in patterns_by_name.items():
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

    def lists(self, oid: ObjectIdentifier) -> bool:
        """True if the attribute is listed."""
        return oid in self._values

    def has(self, attribute: NameAttribute) -> bool:
        """True if the attribute is listed with this value."""
        value, allowed = attribute.value, self._values.get(attribute.oid)
        return allowed is not None and isinstance(value, str) and value in allowed
