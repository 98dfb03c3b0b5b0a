"""Numbers and slots that all processes of a service share, also those that did not fork."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import mmap
import os
import stat
import struct
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Opened:
    """The file as one process has opened and mapped it."""

    pid: int
    file: int
    memory: mmap.mmap


class SharedState:
    """Numbers, all zero at first, and slots that one thread at a time can take.

    They are in a file, and every process opens it again.  A slot is a lock on an open file, so the
    kernel frees the slots of a process that dies.  Without a path, or if the file cannot be used,
    only processes that are forked from this one share them.

    Args:
        path: the file; created with mode 600 if it does not exist.
        count: how many numbers there are.
        prepare: creates the directory of the file; called once in each process.
    """

    def __init__(
        self, path: Path | None, count: int, prepare: Callable[[Path], object] | None = None
    ):
        self._path = path
        self._prepare = prepare
        self._numbers = struct.Struct(f"{count}d")
        # A file without a name: no other program can open it.
        self._unnamed = os.memfd_create("anchor")
        weakref.finalize(self, os.close, self._unnamed)
        self._opened: _Opened | None = None
        self._threads: dict[int, threading.Lock] = {}

    @contextmanager
    def locked(self) -> Iterator[list[float]]:
        """Numbers that the block may change; other processes and threads wait."""
        # Per process: a lock that was taken during a fork would stay locked in the child.
        with self._threads.setdefault(os.getpid(), threading.Lock()):
            opened = self._opened_here()
            _lock(opened.file, 0, wait=True)
            try:
                numbers = list(self._numbers.unpack_from(opened.memory))
                yield numbers
                self._numbers.pack_into(opened.memory, 0, *numbers)
            finally:
                _unlock(opened.file, 0)

    def take_slot(self, count: int, first: int = 0) -> int | None:
        """Take one of ``count`` slots.  Call it with the numbers locked.

        Args:
            count: how many slots there are.
            first: the number of the first of them. The file does not grow with it.

        Returns:
            A file descriptor for ``free_slot``, or None if all slots are taken.
        """
        file = _reopen(self._opened_here().file)
        for slot in range(first, first + count):
            # Byte 0 locks the numbers.
            if _lock(file, 1 + slot, wait=False):
                return file
        os.close(file)
        return None

    @staticmethod
    def free_slot(slot: int) -> None:
        """Free a slot that ``take_slot`` returned."""
        os.close(slot)

    def _opened_here(self) -> _Opened:
        """The file, opened by this process."""
        opened = self._opened
        if opened is None or opened.pid != os.getpid():
            if opened is not None:
                # The parent opened it: while it is open here, the parent's locks stay.
                os.close(opened.file)
            file = self._open()
            weakref.finalize(self, _close_in, os.getpid(), file)
            # Writing to a mapping without space on disk would kill the process.
            os.posix_fallocate(file, 0, self._numbers.size)
            memory = mmap.mmap(file, self._numbers.size)
            opened = self._opened = _Opened(os.getpid(), file, memory)
        return opened

    def _open(self) -> int:
        if self._path is not None:
            try:
                return self._open_path(self._path)
            except OSError as error:
                LOG.error("%s: only forked processes share the limit on waiting requests", error)
        return _reopen(self._unnamed)

    def _open_path(self, path: Path) -> int:
        if self._prepare is not None:
            self._prepare(path.parent)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        status = os.fstat(file)
        is_private = status.st_uid == os.getuid() and not status.st_mode & 0o077
        if not stat.S_ISREG(status.st_mode) or not is_private:
            os.close(file)
            raise PermissionError(f"{path} is not a file of this user alone")
        return file


def _reopen(file: int) -> int:
    """Open the same file again: locks belong to one opening of it."""
    return os.open(f"/proc/self/fd/{file}", os.O_RDWR | os.O_CLOEXEC)


def _close_in(pid: int, file: int) -> None:
    """Close a file in the process that opened it; in a fork the number may be another file."""
    if os.getpid() == pid:
        with contextlib.suppress(OSError):
            os.close(file)


def _lock(file: int, position: int, *, wait: bool) -> bool:
    """Lock a byte for this open file; False if it is locked already and ``wait`` is not set."""
    command = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
    try:
        fcntl.fcntl(file, command, _flock(fcntl.F_WRLCK, position))
    except BlockingIOError:
        return False
    return True


def _unlock(file: int, position: int) -> None:
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, position))


def _flock(kind: int, position: int) -> bytes:
    """The bytes of Linux's ``struct flock`` for one byte of a file."""
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, position, 1, 0)
