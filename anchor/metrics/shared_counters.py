"""Numbers that several processes add to, and that any of them can read.

Each process has a file of its own in a directory, mapped into memory, and adds to its own numbers
only; what is read is the sum over all files.  A file is locked by the process that has it.  When
that one ends, however it does, another takes the file over with all that was counted in it, so that
nothing is lost, nothing is counted twice, and there are never more files than there were processes
at once.  doc/adr/0070 says why it is done so.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import mmap
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOG = logging.getLogger(__name__)

WIDTH = 8
SUFFIX = ".tally"


@dataclass(frozen=True)
class _Mine:
    """The numbers of this process."""

    pid: int
    numbers: memoryview[float]
    lock: threading.Lock
    file: int


class SharedCounters:
    """As many numbers as there are keys, all of them zero at first.

    Args:
        directory: where the processes of one service have their files; without it each process
            counts for itself.
        keys: what is counted; files of a service that counts something else are left alone.
        length: how many numbers there are, if some keys have more than one.
    """

    def __init__(self, directory: Path | None, keys: Sequence[str], length: int | None = None):
        self._directory = directory
        self._length = max(1, length or len(keys))
        layout = hashlib.sha256("\0".join(keys).encode()).hexdigest()[:16]
        self._prefix = f"{layout}-"
        self._mine: _Mine | None = None
        self._claiming: dict[int, threading.Lock] = {}

    def add(self, position: int, amount: float = 1) -> None:
        """Add to the number of a key."""
        self.add_all({position: amount})

    def add_all(
        self, amounts: Mapping[int, float], in_slot: tuple[int, float] | None = None
    ) -> None:
        """Add to the numbers of several keys.

        Args:
            amounts: what to add, by position.
            in_slot: a position that holds what is counted behind it, and what that should be; a
                count of something else begins anew.
        """
        mine = self._own()
        numbers = mine.numbers
        with mine.lock:
            for position, amount in amounts.items():
                numbers[position] += amount
            if in_slot is not None:
                position, counted = in_slot
                if numbers[position] != counted:
                    numbers[position], numbers[position + 1] = counted, 0
                numbers[position + 1] += 1

    def rows(self) -> list[Sequence[float]]:
        """The numbers of each process there is or was."""
        mine = self._own()
        if self._directory is None or mine.file < 0:
            return [mine.numbers.tolist()]
        found: list[Sequence[float]] = []
        for path in sorted(self._directory.glob(f"{self._prefix}*{SUFFIX}")):
            with contextlib.suppress(OSError):
                octets = path.read_bytes()
                if len(octets) == self._length * WIDTH:
                    found.append(memoryview(octets).cast("d").tolist())
        return found

    def _own(self) -> _Mine:
        mine = self._mine
        if mine is None or mine.pid != os.getpid():
            # By process: a lock that a thread of the parent held at the fork would stay locked.
            with self._claiming.setdefault(os.getpid(), threading.Lock()):
                mine = self._mine
                if mine is None or mine.pid != os.getpid():
                    mine = self._mine = self._claim()
        return mine

    def _claim(self) -> _Mine:
        """A file that no process has, or else a new one, once per process."""
        size = self._length * WIDTH
        file = -1
        if self._directory is not None:
            try:
                file = self._lock_one(self._directory, size)
            except OSError as error:
                # Counting is not worth a failed request.
                LOG.error("%s: %s: this process counts for itself", self._directory, error.strerror)
        mapped = mmap.mmap(file, size)
        return _Mine(os.getpid(), memoryview(mapped).cast("d"), threading.Lock(), file)

    def _lock_one(self, directory: Path, size: int) -> int:
        for path in self._places(directory):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            file = os.open(path, flags, 0o600)
            try:
                # Of the open file, not of the process: it is given up when the process ends.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Without its space on disk, writing to the mapping would end the process.
                os.posix_fallocate(file, 0, size)
                os.ftruncate(file, size)
            except BlockingIOError:
                os.close(file)
                continue
            except BaseException:
                os.close(file)
                raise
            return file
        raise AssertionError("there is always another number")

    def _places(self, directory: Path) -> Iterator[Path]:
        number = 0
        while True:
            yield directory / f"{self._prefix}{number}{SUFFIX}"
            number += 1
