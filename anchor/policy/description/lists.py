"""Lists in sentences, cut to what people read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

# A list can be as long as a configuration.
MAX_LISTED = 8
MAX_SHOWN = 120


def only(
    sentence: str,
    items: Iterable[str],
    conjunction: str = "or",
    otherwise: str = "Nothing is allowed here, so every request is refused.",
) -> Iterator[str]:
    """The sentence with a list in it, or what is so when the list is empty."""
    items = tuple(items)
    yield sentence.format(listed(items, conjunction)) if items else otherwise


def listed(items: Iterable[str], conjunction: str = "or") -> str:
    """The first of them, and how many more there are."""
    shown = [clipped(item) for item in items]
    if len(shown) > MAX_LISTED:
        return f"{', '.join(shown[:MAX_LISTED])} and {len(shown) - MAX_LISTED:,} more"
    return joined(shown, conjunction)


def joined(items: Sequence[str], conjunction: str) -> str:
    """All of them: one, two and three."""
    *others, last = items or [""]
    return f"{', '.join(others)} {conjunction} {last}" if others else last


def clipped(text: str) -> str:
    """The text, or its beginning."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
