"""``audit.target: file``: JSON lines in a chain of hashes, flushed to disk before the answer.

Any number of threads and processes append to one chain, one after the other under a lock.  They
share the end of the chain in the small head file.  It also continues the chain in a new file after
the old one was rotated away.
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
from anchor.audit.chain import GENESIS, FileEnd
from anchor.audit.checkpoints import CheckpointInterval, CheckpointKey
from anchor.audit.events import AUTHENTICATION, CHECKPOINT, Event
from anchor.audit.heads import Head
from anchor.errors import AuditError, ConfigurationError

LOG = logging.getLogger(__name__)
CHECKPOINTS = logging.getLogger("anchor.checkpoints")

_WINDOW = 1 << 16


class FileSink:
    """Appends events to a file, and a checkpoint whenever one is due.

    Args:
        path: the file.
        key: the key that signs checkpoints.
        interval: when a checkpoint is due.
        node: the name of the node, in each line and each checkpoint.
        clock: the time in seconds since 1970.
    """

    def __init__(
        self,
        path: Path,
        key: CheckpointKey,
        interval: CheckpointInterval,
        node: str,
        clock: Callable[[], float] = time.time,
    ):
        self._path = path
        self._key = key
        self._interval = interval
        self._node = node
        self._clock = clock
        self._boot = heads.boot_id()

    @property
    def public_key_info(self) -> bytes:
        """The public key of checkpoints, as DER-encoded SubjectPublicKeyInfo."""
        return self._key.public_key_info

    def record(self, event: Event) -> None:
        """Append the event and flush it to disk.

        A successful authentication is not flushed: the answer follows only after the event of the
        signing, which flushes both.
        """
        is_answered = event.kind != AUTHENTICATION or bool(event.reasons)
        self._write(event.as_dict(), flush=is_answered)

    def check(self) -> None:
        """Return, since this sink does not use logging."""

    def checkpoint(self) -> str:
        """Append a checkpoint now, and return it as it is logged."""
        return self._write(None, flush=True)

    def _write(self, fields: Mapping[str, Any] | None, *, flush: bool) -> str:
        signed: dict[str, Any] | None = None
        try:
            with self._locked() as head_file, self._open() as file:
                head = self._current_head(head_file, file)
                # The name of the node is not proven before a checkpoint contains it.
                is_unnamed = head.node != self._node
                if fields is not None:
                    head = self._append(file, head, fields)
                since = head.number - head.marked, self._clock() - head.marked_at
                if fields is None or is_unnamed or self._interval.is_due(*since):
                    head, signed = self._append_checkpoint(file, head)
                heads.write(head_file, head)
                unflushed = os.dup(file)
            # Outside of the lock, so that others can append meanwhile, and one flush of the disk
            # can serve several writers.
            try:
                if flush or signed:
                    os.fdatasync(unflushed)
            finally:
                os.close(unflushed)
        except OSError as error:
            raise AuditError(f"{self._path}: {error.strerror}") from error
        if not signed:
            return ""
        # After the flush: otherwise the file would seem to be cut after a power failure.
        text = json.dumps({"checkpoint": signed}, separators=(",", ":"))
        CHECKPOINTS.info("%s", text)
        return text

    def _append_checkpoint(self, file: int, head: Head) -> tuple[Head, dict[str, Any]]:
        """Append a signed checkpoint of the last line."""
        now = self._clock()
        moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
        signed = self._key.sign(head.link, moment, self._node)
        fields = {"time": signed["time"], "event": CHECKPOINT, "checkpoint": signed}
        marked = self._append(file, head, fields)
        return replace(marked, marked=marked.number, marked_at=now), signed

    def _append(self, file: int, head: Head, fields: Mapping[str, Any]) -> Head:
        end = self._end(file, head)
        previous = end.link or GENESIS
        start = b"" if end.whole or end.torn.endswith(b"\n") else b"\n"
        if previous.number < head.number and head.boot in ("", self._boot):
            # Lines were written and removed. Continuing the remaining ones would hide that.
            LOG.error("%s: events after number %d are gone from it", self._path, previous.number)
            previous = head.link
        elif end.torn.strip(b"\n"):
            if chain.is_torn(end.torn, previous.hash, previous.number + 1):
                LOG.warning("%s: its last line was torn by a crash", self._path)
            else:
                LOG.error("%s: it ends with something that Anchor did not write", self._path)
            fields = {**fields, "torn": chain.torn_digest(end.torn)}
        if head.node not in ("", self._node):
            LOG.error("%s: it is the record of node %s, not %s", self._path, head.node, self._node)
        named = {"time": fields["time"], "node": self._node, **fields}
        line, link = chain.encode_line(named, previous)
        _write_all(file, start + line)
        status = os.fstat(file)
        return replace(
            head,
            number=link.number,
            hash=link.hash,
            inode=status.st_ino,
            size=status.st_size,
            boot=self._boot,
            node=self._node,
        )

    def _end(self, file: int, head: Head) -> FileEnd:
        """The end of the file, from the head file or else from the last lines."""
        status = os.fstat(file)
        if (status.st_ino, status.st_size) == (head.inode, head.size) or not status.st_size:
            return FileEnd(head.link, whole=True)
        return _read_end(file, status.st_size)

    def _current_head(self, head_file: int, file: int) -> Head:
        """The head; after a crash or the loss of the head file, from rotated files."""
        head = heads.read(head_file)
        status = os.fstat(file)
        if status.st_size or (head.number and status.st_ino == head.inode):
            return head
        is_lost = not head.number
        for rotated in rotation.rotated_files(self._path):
            if rotated.suffix == ".gz" or (not is_lost and rotated.stat().st_ino != head.inode):
                continue
            with rotated.open("rb") as old:
                end = _read_end(old.fileno(), os.fstat(old.fileno()).st_size)
            if end.link and end.link.number > head.number:
                head = replace(head, number=end.link.number, hash=end.link.hash)
        return head

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Lock out all other threads and processes; yield the open head file."""
        # Opened each time: a lock belongs to an open file, which threads and forks would share.
        head_file = os.open(f"{self._path}.head", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(head_file, fcntl.LOCK_EX)
            yield head_file
        finally:
            os.close(head_file)

    @contextmanager
    def _open(self) -> Iterator[int]:
        """Open the file at the path, which may be a new one after a rotation."""
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
    """Require that events can be appended to a file at this path.

    Raises:
        ConfigurationError: the file, its head file or the directory is not writable.
    """
    directory = path.parent
    if not directory.is_dir():
        raise ConfigurationError.about("path", f"{directory} is not a directory")
    for required in (directory, path, path.with_name(f"{path.name}.head")):
        if required.exists() and not os.access(required, os.W_OK):
            raise ConfigurationError.about("path", f"{required} is not writable")
    if path.exists() and not path.is_file():
        raise ConfigurationError.about("path", f"{path} is not a file")


def _read_end(file: int, size: int) -> FileEnd:
    window = _WINDOW
    while True:
        start = max(0, size - window)
        data = os.pread(file, size - start, start)
        if start:
            # Skip the rest of a line that begins before the window.
            data = data[data.find(b"\n") + 1 :]
        end = chain.find_end(data)
        if end.link or not start:
            return end
        window *= 4


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
