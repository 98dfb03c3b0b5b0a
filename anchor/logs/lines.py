"""A log handler that appends each line whole: ``{"class": "anchor.logs.Lines"}``."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager


class Lines(logging.Handler):
    """Each message as it is, written at once, with the end of its line.

    The system appends a line whole, so processes that share a file need no lock and mix no lines,
    and it costs a third of what ``logging.StreamHandler`` takes.

    Args:
        filename: the file to append to; without it standard error.
        delay: open the file with the first line only, as ``logging.FileHandler`` does.

    Raises:
        OSError: the file, or standard error, cannot be written to.
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
            self._file = _appended_to(filename)

    def handle(self, record: logging.LogRecord) -> bool:
        """Write what no filter objects to."""
        kept = self.filter(record)
        if kept:
            # From Python 3.12 on a filter may answer another record.
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return bool(kept)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message, or what the formatter makes of it if there is one."""
        try:
            if self._closed:
                # What is still logged goes where it is seen.
                os.write(STANDARD_ERROR, _line(self._text(record)))
            else:
                self.write(self._text(record))
        except Exception:  # noqa: BLE001  # logging's rule: it never fails who logs
            self.handleError(record)

    def deliver(self, record: logging.LogRecord) -> None:
        """Write the record; raises what went wrong, unlike :meth:`emit`."""
        self.write(self._text(record))

    def write(self, line: str) -> None:
        """Write a line as it is; raises OSError if it cannot be written."""
        if self._closed:
            raise OSError(errno.EBADF, "the handler is closed")
        if self._file is None:
            self._open()
        assert self._file is not None
        if self.filename is not None and is_deleted(self._file):
            self._open_again(self.filename)
        # After a write that stopped midway, what follows needs a line of its own.
        octets = _line(f"\n{line}" if self._torn else line)
        whole = len(octets)
        try:
            while octets:
                octets = octets[os.write(self._file, octets) :]
        except OSError:
            self._torn = self._torn or len(octets) < whole
            raise
        self._torn = False

    def close(self) -> None:
        """Close the file; standard error belongs to others."""
        with self._alone():
            if self.filename is not None:
                self._closed = True
                if self._file is not None:
                    os.close(self._file)
                    self._file = None
        super().close()

    def _open(self) -> None:
        with self._alone():
            if self._file is None and self.filename is not None:
                self._file = _appended_to(self.filename)

    def _open_again(self, filename: str) -> None:
        """Go on in a new file of the same name."""
        with self._alone():
            if self._file is None or not is_deleted(self._file):
                return
            new = _appended_to(filename)
            try:
                # The number stays the same: another thread may be about to write to it.
                os.dup2(new, self._file, inheritable=False)
            finally:
                os.close(new)
            self._torn = False

    @contextmanager
    def _alone(self) -> Iterator[None]:
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
    # A file that is opened while standard error is closed gets its number.
    if fcntl.fcntl(STANDARD_ERROR, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "standard error is not open for writing")


def is_deleted(file: int) -> bool:
    """True if an open file has no name any more, so that nobody will read what is written to it."""
    found = os.fstat(file)
    return found.st_nlink == 0 and stat.S_ISREG(found.st_mode)


def _appended_to(filename: str) -> int:
    # O_NONBLOCK: a pipe without a reader is an error, and is not waited for.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    file = os.open(filename, flags, 0o640)
    os.set_blocking(file, True)
    return file
