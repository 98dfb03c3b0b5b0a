"""Text for people in which some words are to be replaced."""

from __future__ import annotations

from collections.abc import Iterable


class Variable(str):
    """A word that the reader replaces, such as ``USER``."""

    __slots__ = ()


Parts = tuple[str, ...]
"""Pieces of a text; those of the type :class:`Variable` are to be replaced."""


def sample(parts: Iterable[str]) -> str:
    """The text with a value in place of each variable."""
    return "".join(part.lower() if isinstance(part, Variable) else part for part in parts)
