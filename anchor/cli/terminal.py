"""Safe and coloured text for terminals."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO

GREEN, RED, YELLOW, BOLD = "32", "31", "33", "1"


def printable(text: str) -> str:
    """The text in printable ASCII; all other characters are escaped.

    So a hostile request cannot send control sequences to the terminal, or show letters of other
    scripts that look like ASCII.
    """
    return "".join(
        character if " " <= character <= "~" else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def is_coloured(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """True on a terminal, unless NO_COLOR is set (https://no-color.org)."""
    if environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return False
    return stream.isatty()


class Painter:
    """Colours text, if colour is on."""

    def __init__(self, *, coloured: bool):
        self._coloured = coloured

    def paint(self, colour: str, text: str) -> str:
        """The text in this colour."""
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text
