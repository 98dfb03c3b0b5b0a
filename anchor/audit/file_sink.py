"""``audit.target: file``: JSON lines in a chain of hashes, on disk before anything is answered.

Any number of threads and processes append to one chain.  Nothing about it is kept in memory: who
holds the lock reads from the head file, a few octets long, what the next line has to continue.  The
head file also carries the chain over to a new file when the old one has been moved away.
"""

from __future__ import annotations

import datetime
import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from anchor.audit import chain, heads, rotation
from anchor.audit.chain import GENESIS, End
from anchor.audit.checkpoints import CheckpointInterval, CheckpointKey
from anchor.audit.events import AUTHENTICATION, CHECKPOINT, Event
from anchor.audit.heads import Head
from anchor.errors import AuditError, ConfigurationError

LOG = logging.getLogger(__name__)
CHECKPOINTS = logging.getLogger("anchor.checkpoints")

_WINDOW = 1 << 16


class FileSink:
    """Appends events to a file, and checkpoints when they are due."""

    def __init__(
        self,
        path: Path,
        key: CheckpointKey,
        due: CheckpointInterval,
        seconds: Callable[[], float] = time.time,
    ):
        self._path = path
        self._key = key
        self._due = due
        self._seconds = seconds
        self._boot = heads.boot()

    @property
    def public_key_info(self) -> bytes:
        """The public key of checkpoints, as DER-encoded SubjectPublicKeyInfo."""
        return self._key.public_key_info

    def record(self, event: Event) -> None:
        """Append the event; when this returns, it is on disk.

        The one exception is a successful authentication, which answers nothing yet: the event that
        follows it takes it along.
        """
        answers = event.kind != AUTHENTICATION or bool(event.reasons)
        self._write(event.as_dict(), flush=answers)

    def check(self) -> None:
        """Nothing depends on logging; the configuration of the file was proved before."""

    def checkpoint(self) -> str:
        """Append a checkpoint now, due or not; returns it as the log shows it."""
        return self._write(None, flush=True)

    def _write(self, fields: Mapping[str, Any] | None, *, flush: bool) -> str:
        signed: dict[str, Any] | None = None
        try:
            with self._locked() as head_file, self._opened() as file:
                head = self._current(head_file, file)
                if fields is not None:
                    head = self._append(file, head, fields)
                since = head.number - head.marked, self._seconds() - head.marked_at
                if fields is None or self._due.now(*since):
                    head, signed = self._mark(file, head)
                heads.write(head_file, head)
                unflushed = os.dup(file)
            # Outside of the lock: who waits for the disk delays nobody, and the disk serves all
            # who wait at once.
            try:
                if flush or signed:
                    os.fdatasync(unflushed)
            finally:
                os.close(unflushed)
        except OSError as error:
            raise AuditError(f"{self._path}: {error.strerror}") from error
        if not signed:
            return ""
        # Not before it is on disk, or a power failure would look like a file that was cut.
        text = json.dumps({"checkpoint": signed}, separators=(",", ":"))
        CHECKPOINTS.info("%s", text)
        return text

    def _mark(self, file: int, head: Head) -> tuple[Head, dict[str, Any]]:
        """Put the place reached so far, signed, into the file."""
        now = self._seconds()
        signed = self._key.sign(head.link, datetime.datetime.fromtimestamp(now, datetime.UTC))
        fields = {"time": signed["time"], "event": CHECKPOINT, "checkpoint": signed}
        marked = self._append(file, head, fields)
        return replace(marked, marked=marked.number, marked_at=now), signed

    def _append(self, file: int, head: Head, fields: Mapping[str, Any]) -> Head:
        end = self._end(file, head)
        after = end.link or GENESIS
        start = b"" if end.whole or end.torn.endswith(b"\n") else b"\n"
        if after.number < head.number and head.boot in ("", self._boot):
            # Written, and gone: continuing what is left would hide it.
            LOG.error("%s: events after number %d are gone from it", self._path, after.number)
            after = head.link
        elif end.torn.strip(b"\n"):
            if chain.is_torn(end.torn, after.hash, after.number + 1):
                LOG.warning("%s: its last line was torn by a crash", self._path)
            else:
                LOG.error("%s: it ends with something that Anchor did not write", self._path)
            fields = {**fields, "torn": chain.torn_mark(end.torn)}
        line, link = chain.write(fields, after)
        _write_all(file, start + line)
        there = os.fstat(file)
        return replace(
            head,
            number=link.number,
            hash=link.hash,
            inode=there.st_ino,
            size=there.st_size,
            boot=self._boot,
        )

    def _end(self, file: int, head: Head) -> End:
        """Where the file stops: as the head file says, or as its own last lines do."""
        there = os.fstat(file)
        if (there.st_ino, there.st_size) == (head.inode, head.size) or not there.st_size:
            return End(head.link, whole=True)
        return _read_end(file, there.st_size)

    def _current(self, head_file: int, file: int) -> Head:
        """The head; a file that was moved away may be ahead of it after a crash, or know better."""
        head = heads.read(head_file)
        there = os.fstat(file)
        if there.st_size or (head.number and there.st_ino == head.inode):
            return head
        lost = not head.number
        for moved in rotation.beside(self._path):
            if moved.suffix == ".gz" or (not lost and moved.stat().st_ino != head.inode):
                continue
            with moved.open("rb") as old:
                end = _read_end(old.fileno(), os.fstat(old.fileno()).st_size)
            if end.link and end.link.number > head.number:
                head = replace(head, number=end.link.number, hash=end.link.hash)
        return head

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Alone among all threads and processes, with the head file open."""
        # Opened anew each time: a lock belongs to an open file, which a fork or a thread shares.
        head_file = os.open(f"{self._path}.head", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(head_file, fcntl.LOCK_EX)
            yield head_file
        finally:
            os.close(head_file)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The file that has the name now, whatever was moved away from under it."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        try:
            file = os.open(self._path, flags)
        except FileNotFoundError:
            file = os.open(self._path, flags | os.O_CREAT, 0o600)
            _sync_directory(self._path.parent)
        try:
            yield file
        finally:
            os.close(file)


def check_path(path: Path) -> None:
    """Return if events could be appended at this path.

    Raises:
        ConfigurationError: they could not.
    """
    directory = path.parent
    if not directory.is_dir():
        raise ConfigurationError.about("path", f"{directory} is not a directory")
    for place in (directory, path, path.with_name(f"{path.name}.head")):
        if place.exists() and not os.access(place, os.W_OK):
            raise ConfigurationError.about("path", f"{place} is not writable")
    if path.exists() and not path.is_file():
        raise ConfigurationError.about("path", f"{path} is not a file")


def _read_end(file: int, size: int) -> End:
    window = _WINDOW
    while True:
        start = max(0, size - window)
        octets = os.pread(file, size - start, start)
        if start:
            # What stands before the first line break is the end of a line.
            octets = octets[octets.find(b"\n") + 1 :]
        end = chain.find_end(octets)
        if end.link or not start:
            return end
        window *= 4


def _write_all(file: int, octets: bytes) -> None:
    while octets:
        octets = octets[os.write(file, octets) :]


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
