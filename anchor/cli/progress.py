"""A progress line on a terminal."""

from __future__ import annotations

import sys
import time

_SECONDS = 0.2


class Progress:
    """A line on standard error that shows how much is done; nothing if it is no terminal.

    Use it as a context manager: the line disappears at the end of the block.

    Args:
        unit: what is counted, in the plural.
        total: how many there are; 0 if that is not known.
    """

    def __init__(self, unit: str, total: int = 0):
        self._unit = unit
        self._total = total
        self._done = 0
        self._shown = 0.0
        self._on_terminal = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def add(self, count: int) -> None:
        """Count some more, and show the line every fifth of a second."""
        self._done += count
        now = time.monotonic()
        if not self._on_terminal or now - self._shown < _SECONDS:
            return
        self._shown = now
        share = f" of {self._total:,}" if self._total else ""
        line = f"{self._done:,}{share} {self._unit}"
        if self._total:
            filled = min(20, 20 * self._done // self._total)
            line = f"[{'#' * filled}{' ' * (20 - filled)}] {line}"
        print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)
