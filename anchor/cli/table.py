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
    # Elsewhere the output is for programs, which need all of it.
    longest = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    painter = Painter(coloured=is_coloured(sys.stdout))
    count = -1
    for count, row in enumerate(itertools.chain([header], sample, rows)):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        line = _cut("  ".join(cells).rstrip(), longest)
        sys.stdout.write(f"{line if count else painter.paint(BOLD, line)}\n")
    return count


def _cut(line: str, longest: int | None) -> str:
    if longest is None or len(line) <= longest:
        return line
    return f"{line[: max(0, longest - 3)]}..."


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
