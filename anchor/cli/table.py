"""Tables for people, whose first lines are printed before the last rows are read."""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Iterable, Sequence

from anchor.cli.terminal import BOLD, Painter, is_coloured, printable

# The widths come from the first rows, so that the others need not be read before the first line.
_SAMPLE = 50
_MAX_WIDTH = 32
MAX_CELL = 160
"""The length of the longest value that is shown in full."""


def print_rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Print a header and a line for each row; nothing if there is none.

    Returns:
        the number of rows.
    """
    rows = iter(rows)
    sample = list(itertools.islice(rows, _SAMPLE))
    if not sample:
        return 0
    widths = [
        min(max(map(len, column)), _MAX_WIDTH) for column in zip(header, *sample, strict=True)
    ]
    lines = Lines(widths)
    lines.print_header(header)
    count = 0
    for row in itertools.chain(sample, rows):
        lines.print_row(row)
        count += 1
    return count


class Lines:
    """Prints the lines of a table; on a terminal cut to its width, with a bold header."""

    def __init__(self, widths: Sequence[int]):
        self._widths = widths
        # Elsewhere the output is for programs, which need all of it.
        self._longest = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        self._painter = Painter(coloured=is_coloured(sys.stdout))

    def print_header(self, cells: Sequence[str]) -> None:
        """Print the line with the names of the columns."""
        sys.stdout.write(f"{self._painter.paint(BOLD, self._line(cells))}\n")

    def print_row(self, cells: Sequence[str]) -> None:
        """Print a line with values."""
        sys.stdout.write(f"{self._line(cells)}\n")

    def _line(self, cells: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, self._widths, strict=True))
        line = "  ".join(padded).rstrip()
        if self._longest is None or len(line) <= self._longest:
            return line
        return f"{line[: max(0, self._longest - 3)]}..."


def cell(text: str) -> str:
    """A value in printable ASCII, of limited length."""
    return _shorten(printable(text[: MAX_CELL + 1])) or "-"


def cell_of_list(values: Sequence[str]) -> str:
    """As many of the values as fit, at least one, and how many more there are."""
    shown: list[str] = []
    room = MAX_CELL
    for value in values:
        text = _shorten(printable(value[: MAX_CELL + 1]))
        room -= len(text) + 1
        if shown and room < 0:
            break
        shown.append(text)
    more = len(values) - len(shown)
    return " ".join(shown) + (f" and {more} more" if more else "")


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 3]}..."
