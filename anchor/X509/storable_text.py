"""Text that every database can store."""

from __future__ import annotations


def storable(text: str) -> str:
    """The text; NUL and lone surrogates, which databases reject, are escaped."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
