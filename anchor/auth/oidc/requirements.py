"""The option ``require``: the values that claims must have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import pydantic

from anchor.auth.oidc.claims import MAX_TEXT, ClaimReference, find_claim
from anchor.auth.oidc.tokens import TokenRefused, shown
from anchor.config.option_types import compiled

Value = bool | int | float | str
_Text = Annotated[str, pydantic.Field(min_length=1, max_length=MAX_TEXT)]
_Value = bool | int | float | _Text
_Values = Annotated[tuple[_Value, ...], pydantic.Field(min_length=1)]

_WILDCARDS = re.compile(r"(\*+)")
# A wildcard stops at the separators of "repo:org/name:ref:refs/heads/main" and of paths.
_SEPARATOR = re.compile(r"[/:]")


@dataclass(frozen=True)
class TextPattern:
    """A text in which ``*`` is one or more characters without ``/`` and ``:``, and ``**`` any."""

    pieces: tuple[str, ...]

    @classmethod
    def parse(cls, pattern: str) -> TextPattern:
        """Read a pattern.

        Raises:
            ValueError: it has more than two asterisks in a row.
        """
        pieces = tuple(piece for piece in _WILDCARDS.split(pattern) if piece)
        if any(piece.startswith("***") for piece in pieces):
            raise ValueError(f"{pattern!r} has more than two asterisks in a row")
        return cls(pieces)

    def matches(self, value: str) -> bool:
        """True if the whole text is one that the pattern describes."""
        # All ends of the matches of the pieces so far: linear time for every value.
        ends = {0}
        for piece in self.pieces:
            if piece == "**":
                ends = set(range(min(ends) + 1, len(value) + 1)) if ends else set()
            elif piece == "*":
                ends = _ends_of_segments(value, ends)
            else:
                ends = {end + len(piece) for end in ends if value.startswith(piece, end)}
        return len(value) in ends


def _ends_of_segments(value: str, starts: set[int]) -> set[int]:
    ends: set[int] = set()
    segment_end = -1
    for start in sorted(starts):
        # The first start in a segment reaches all ends of the others.
        if start >= segment_end:
            separator = _SEPARATOR.search(value, start)
            segment_end = separator.start() if separator else len(value)
            ends.update(range(start + 1, segment_end + 1))
    return ends


@dataclass(frozen=True)
class _Requirement:
    reference: str
    values: tuple[Value | TextPattern, ...]

    def is_met(self, claims: Mapping[str, Any]) -> bool:
        found = find_claim(claims, self.reference)
        candidates = found if isinstance(found, list) else [found]
        return any(_equal(value, each) for value in self.values for each in candidates)


def _equal(value: Value | TextPattern, found: object) -> bool:
    if isinstance(value, TextPattern):
        return isinstance(found, str) and len(found) <= MAX_TEXT and value.matches(found)
    # True and 1 are different values in JSON.
    return isinstance(value, bool) == isinstance(found, bool) and value == found


@dataclass(frozen=True)
class Requirements:
    """What claims have to say, all of them together."""

    each: tuple[_Requirement, ...] = ()

    @classmethod
    def parse(cls, written: Mapping[str, Any]) -> Requirements:
        """Read the option: a value, or a list of permitted values, for each claim."""
        return cls(
            tuple(
                _Requirement(
                    reference,
                    tuple(
                        TextPattern.parse(value) if isinstance(value, str) else value
                        for value in (values if isinstance(values, tuple) else (values,))
                    ),
                )
                for reference, values in written.items()
            )
        )

    def require_met(self, claims: Mapping[str, Any]) -> None:
        """Require that every claim has a permitted value.

        Raises:
            TokenRefused: a claim is missing or has another value.
        """
        for requirement in self.each:
            if not requirement.is_met(claims):
                found = shown(find_claim(claims, requirement.reference))
                raise TokenRefused(
                    f"its claim {shown(requirement.reference)} is {found}, which 'require' does "
                    "not allow"
                )


RequiredClaims = Annotated[
    Requirements, compiled(dict[ClaimReference, _Value | _Values], Requirements.parse)
]
"""The values that claims must have, by the claim's name or a JSON Pointer to it."""
