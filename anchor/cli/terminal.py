"""Text on a terminal: aligned, sparingly coloured, and never what a hostile request had in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO

GREEN, RED, YELLOW = "32", "31", "33"


def printable(text: str) -> str:
    """The text in printable ASCII; all else is escaped, and so are no commands to a terminal.

    Letters of other scripts are escaped too: some of them look just like ASCII's.
    """
    return "".join(
        character if " " <= character <= "~" else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def is_coloured(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether colour is wanted: on a terminal, unless https://no-color.org is followed."""
    if environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return False
    return stream.isatty()


class Painter:
    """Colours words, or leaves them as they are."""

    def __init__(self, *, coloured: bool):
        self._coloured = coloured

    def paint(self, colour: str, text: str) -> str:
        """The text in that colour."""
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text
