"""Lists in sentences, shortened for reading."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

# Lists in a configuration can be very long.
MAX_LISTED = 8
MAX_SHOWN = 120


def list_sentence(
    sentence: str,
    items: Iterable[str],
    conjunction: str = "or",
    otherwise: str = "Nothing is allowed here, so every request is refused.",
) -> Iterator[str]:
    """The sentence with the list in place of ``{}``; another one if it is empty."""
    items = tuple(items)
    yield sentence.format(listed(items, conjunction)) if items else otherwise


def listed(items: Iterable[str], conjunction: str = "or") -> str:
    """The first items, and the number of the others."""
    shown = [clipped(item) for item in items]
    if len(shown) > MAX_LISTED:
        return f"{', '.join(shown[:MAX_LISTED])} and {len(shown) - MAX_LISTED:,} more"
    return joined(shown, conjunction)


def joined(items: Sequence[str], conjunction: str) -> str:
    """All items, such as ``one, two and three``."""
    *others, last = items or [""]
    return f"{', '.join(others)} {conjunction} {last}" if others else last


def clipped(text: str) -> str:
    """The text, cut to MAX_SHOWN characters."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
