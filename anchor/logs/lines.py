"""A log handler that writes each line with one call: ``{"class": "anchor.logs.Lines"}``."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager


class Lines(logging.Handler):
    """Writes each message as one line, unbuffered.

    The kernel appends a line as a whole, so processes can share a file without a lock.

    Args:
        filename: the file to append to; None for standard error.
        delay: open the file at the first line, as ``logging.FileHandler`` does.

    Raises:
        OSError: the file or standard error cannot be written to.
    """

    def __init__(self, filename: str | None = None, *, delay: bool = False):
        super().__init__()
        self.filename = filename
        self._closed = False
        self._torn = False
        self._file: int | None = None
        if filename is None:
            _require_standard_error()
            self._file = STANDARD_ERROR
        elif not delay:
            self._file = _open_for_append(filename)

    def handle(self, record: logging.LogRecord) -> bool:
        """Write the record unless a filter rejects it."""
        kept = self.filter(record)
        if kept:
            # Since Python 3.12 a filter may return another record.
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return bool(kept)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the formatted message; errors go to ``handleError``."""
        try:
            if self._closed:
                # After close(), lines go to standard error.
                os.write(STANDARD_ERROR, _line(self._text(record)))
            else:
                self.write(self._text(record))
        except Exception:  # noqa: BLE001  # logging must never raise
            self.handleError(record)

    def deliver(self, record: logging.LogRecord) -> None:
        """Write the formatted message; raise OSError, unlike :meth:`emit`."""
        self.write(self._text(record))

    def write(self, line: str) -> None:
        """Write a line; raise OSError if it cannot be written."""
        if self._closed:
            raise OSError(errno.EBADF, "the handler is closed")
        if self._file is None:
            self._open()
        assert self._file is not None
        if self.filename is not None and is_deleted(self._file):
            self._open_again(self.filename)
        # After a partial write, end the partial line first.
        data = _line(f"\n{line}" if self._torn else line)
        whole = len(data)
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError:
            self._torn = self._torn or len(data) < whole
            raise
        self._torn = False

    def close(self) -> None:
        """Close the file; standard error stays open."""
        with self._handler_lock():
            if self.filename is not None:
                self._closed = True
                if self._file is not None:
                    os.close(self._file)
                    self._file = None
        super().close()

    def _open(self) -> None:
        with self._handler_lock():
            if self._file is None and self.filename is not None:
                self._file = _open_for_append(self.filename)

    def _open_again(self, filename: str) -> None:
        """Open a new file after the old one was deleted."""
        with self._handler_lock():
            if self._file is None or not is_deleted(self._file):
                return
            new = _open_for_append(filename)
            try:
                # Keep the descriptor: another thread may be about to write to it.
                os.dup2(new, self._file, inheritable=False)
            finally:
                os.close(new)
            self._torn = False

    @contextmanager
    def _handler_lock(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def _text(self, record: logging.LogRecord) -> str:
        return self.format(record) if self.formatter else record.getMessage()


STANDARD_ERROR = 2


def _line(text: str) -> bytes:
    return f"{text}\n".encode("utf-8", "backslashreplace")


def _require_standard_error() -> None:
    """Raise OSError if standard error cannot be written to."""
    # If standard error was closed, another open file may have its number.
    if fcntl.fcntl(STANDARD_ERROR, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "standard error is not open for writing")


def is_deleted(file: int) -> bool:
    """True if an open file was deleted, so that nobody can read new lines in it."""
    status = os.fstat(file)
    return status.st_nlink == 0 and stat.S_ISREG(status.st_mode)


def _open_for_append(filename: str) -> int:
    # O_NONBLOCK: without a reader, opening a pipe raises OSError and does not wait.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    file = os.open(filename, flags, 0o640)
    os.set_blocking(file, True)
    return file
