"""Counters that several processes increment and every process can read.

Each process has one file, mapped into memory, and increments only the numbers in that file.  The
value of a counter is the sum over all files.  A process locks its file.  When the process ends, the
kernel releases the lock, and another process reuses the file with its counts.  So no count is lost
or counted twice, and there are at most as many files as there were processes at one time.
doc/adr/0070 gives the reasons.
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

NUMBER_BYTES = 8
SUFFIX = ".tally"


@dataclass(frozen=True)
class _OwnNumbers:
    """The numbers of this process; ``file`` is -1 if they are in no file."""

    pid: int
    numbers: memoryview[float]
    lock: threading.Lock
    file: int


class SharedCounters:
    """One number for each key, zero at first.

    Args:
        directory: for the files of all processes of a service; None to count this process only.
        keys: the names of the counters; files of a service with other keys are ignored.
        length: how many numbers there are, if some keys have more than one.
    """

    def __init__(self, directory: Path | None, keys: Sequence[str], length: int | None = None):
        self._directory = directory
        self._length = max(1, length or len(keys))
        layout = hashlib.sha256("\0".join(keys).encode()).hexdigest()[:16]
        self._prefix = f"{layout}-"
        self._own: _OwnNumbers | None = None
        self._claim_locks: dict[int, threading.Lock] = {}

    def add(self, position: int, amount: float = 1) -> None:
        """Add to the number of a key."""
        self.add_all({position: amount})

    def add_all(
        self, amounts: Mapping[int, float], in_slot: tuple[int, float] | None = None
    ) -> None:
        """Add to the numbers of several keys.

        Args:
            amounts: the amounts to add, by position.
            in_slot: the position of a slot, and the slot's number.  The count is at the next
                position; it restarts from zero if the slot has another number.
        """
        own = self._own_numbers()
        numbers = own.numbers
        with own.lock:
            for position, amount in amounts.items():
                numbers[position] += amount
            if in_slot is not None:
                position, slot_number = in_slot
                if numbers[position] != slot_number:
                    numbers[position], numbers[position + 1] = slot_number, 0
                numbers[position + 1] += 1

    def rows(self) -> list[Sequence[float]]:
        """The numbers in each file, of running and of ended processes."""
        own = self._own_numbers()
        if self._directory is None or own.file < 0:
            return [own.numbers.tolist()]
        rows: list[Sequence[float]] = []
        for path in sorted(self._directory.glob(f"{self._prefix}*{SUFFIX}")):
            with contextlib.suppress(OSError):
                data = path.read_bytes()
                if len(data) == self._length * NUMBER_BYTES:
                    rows.append(memoryview(data).cast("d").tolist())
        return rows

    def _own_numbers(self) -> _OwnNumbers:
        own = self._own
        if own is None or own.pid != os.getpid():
            # One lock per process: a lock that was held at a fork stays locked in the child.
            with self._claim_locks.setdefault(os.getpid(), threading.Lock()):
                own = self._own
                if own is None or own.pid != os.getpid():
                    own = self._own = self._claim()
        return own

    def _claim(self) -> _OwnNumbers:
        size = self._length * NUMBER_BYTES
        file = -1
        if self._directory is not None:
            try:
                file = self._lock_free_file(self._directory, size)
            except OSError as error:
                # A request must not fail because it cannot be counted.
                LOG.error("%s: %s: this process counts for itself", self._directory, error.strerror)
        mapped = mmap.mmap(file, size)
        return _OwnNumbers(os.getpid(), memoryview(mapped).cast("d"), threading.Lock(), file)

    def _lock_free_file(self, directory: Path, size: int) -> int:
        """Lock the first file that no process has, or a new one; return its descriptor."""
        for path in self._paths(directory):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            file = os.open(path, flags, 0o600)
            try:
                # The lock belongs to the open file; the kernel releases it when the process ends.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Writing to a mapping without space on disk would kill the process.
                os.posix_fallocate(file, 0, size)
                os.ftruncate(file, size)
            except BlockingIOError:
                os.close(file)
                continue
            except BaseException:
                os.close(file)
                raise
            return file
        raise AssertionError("the paths never end")

    def _paths(self, directory: Path) -> Iterator[Path]:
        number = 0
        while True:
            yield directory / f"{self._prefix}{number}{SUFFIX}"
            number += 1
