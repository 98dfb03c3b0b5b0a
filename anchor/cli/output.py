"""Standard output whose write errors differ from the errors of other files, and error messages."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

from anchor.cli.terminal import RED, Painter, is_coloured


def print_error(text: str) -> None:
    """Print a message on standard error, after the name of the program."""
    name = Painter(coloured=is_coloured(sys.stderr)).paint(RED, "anchor:")
    # Standard error may be on a full disk, or a closed pipe.
    with contextlib.suppress(OSError):
        print(f"{name} {text}", file=sys.stderr, flush=True)


def number_of(count: int, noun: str) -> str:
    """Such as ``1 ban`` and ``2 bans``."""
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


class OutputError(OSError):
    """Standard output cannot be written."""


class _CheckedStream:
    """A stream that raises OutputError if it cannot be written."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._error: OutputError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._remember_error():
            return self._stream.write(text)

    def flush(self) -> None:
        # argparse ignores errors when it prints the help.
        if self._error:
            raise self._error
        with self._remember_error():
            self._stream.flush()

    @contextlib.contextmanager
    def _remember_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._error = OutputError(error.errno, error.strerror)
            raise self._error from error


@contextlib.contextmanager
def checked_output() -> Iterator[None]:
    """Check every write to ``sys.stdout`` in the block, and flush it at the end.

    Raises:
        OutputError: standard output cannot be written; the rest of it is discarded.
    """
    # Python sets them to None if the descriptor is closed; printing to None is an error, or goes to
    # standard output.
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    checked = cast(TextIO, _CheckedStream(sys.stdout))
    try:
        with contextlib.redirect_stdout(checked):
            try:
                yield
            finally:
                checked.flush()
    except OutputError:
        # Python would fail once more at its exit, when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
