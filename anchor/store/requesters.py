"""User names of requesters, as they are compared."""

from __future__ import annotations

import unicodedata


def normalize_requester(name: str) -> str:
    """The form in which user names are compared: directories ignore their case."""
    return unicodedata.normalize("NFKC", name).strip().casefold()
