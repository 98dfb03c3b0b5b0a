"""A few numbers and places that all processes of a service share, whichever way they started."""

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
    """The file as one process has it."""

    pid: int
    file: int
    memory: mmap.mmap


class SharedState:
    """Numbers, all of them zero at first, and places that one thread at a time can have.

    They are in a file that every process opens for itself.  Locks belong to an open file, so the
    kernel releases those of a process that dies.  Without a path, or where the file cannot be used,
    only processes that are forked from this one share them.

    Args:
        path: the file; made with mode 600 if it is not there.
        count: how many numbers there are.
        prepare: makes the directory of the file; called once in each process.
    """

    def __init__(
        self, path: Path | None, count: int, prepare: Callable[[Path], object] | None = None
    ):
        self._path = path
        self._prepare = prepare
        self._numbers = struct.Struct(f"{count}d")
        # It has no name, so nobody else can open it.
        self._unnamed = os.memfd_create("anchor")
        weakref.finalize(self, os.close, self._unnamed)
        self._opened: _Opened | None = None
        self._threads: dict[int, threading.Lock] = {}

    @contextmanager
    def locked(self) -> Iterator[list[float]]:
        """The numbers, for the block to change while no other process or thread does."""
        # By process: a lock that a thread of the parent held at the fork would stay locked.
        with self._threads.setdefault(os.getpid(), threading.Lock()):
            opened = self._own()
            _lock(opened.file, 0, wait=True)
            try:
                numbers = list(self._numbers.unpack_from(opened.memory))
                yield numbers
                self._numbers.pack_into(opened.memory, 0, *numbers)
            finally:
                _unlock(opened.file, 0)

    def take_place(self, count: int) -> int | None:
        """Take one of so many places, if one is free.  Call it with the numbers locked.

        Returns:
            What ``leave_place`` wants, or None.
        """
        file = _reopen(self._own().file)
        for place in range(count):
            # Behind the byte that stands for the numbers.
            if _lock(file, 1 + place, wait=False):
                return file
        os.close(file)
        return None

    @staticmethod
    def leave_place(place: int) -> None:
        """Free a place."""
        os.close(place)

    def _own(self) -> _Opened:
        opened = self._opened
        if opened is None or opened.pid != os.getpid():
            if opened is not None:
                # The parent's, whose locks would outlive it here.
                os.close(opened.file)
            file = self._open()
            weakref.finalize(self, _close_in, os.getpid(), file)
            # Without its space on disk, writing to the mapping would end the process.
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
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            os.close(file)
            raise PermissionError(f"{path} is not a file of this user alone")
        return file


def _reopen(file: int) -> int:
    """Another open file for the same contents, with locks of its own."""
    return os.open(f"/proc/self/fd/{file}", os.O_RDWR | os.O_CLOEXEC)


def _close_in(pid: int, file: int) -> None:
    if os.getpid() == pid:
        with contextlib.suppress(OSError):
            os.close(file)


def _lock(file: int, position: int, *, wait: bool) -> bool:
    """Lock a byte for this open file; False if another has it, unless told to wait."""
    command = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
    try:
        fcntl.fcntl(file, command, _flock(fcntl.F_WRLCK, position))
    except BlockingIOError:
        return False
    return True


def _unlock(file: int, position: int) -> None:
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, position))


def _flock(kind: int, position: int) -> bytes:
    """Linux' struct flock for one byte."""
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, position, 1, 0)
