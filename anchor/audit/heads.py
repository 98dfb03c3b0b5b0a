"""The head file beside a record, ``<path>.head``: how far the chain has come, and in which file."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from anchor.audit.chain import GENESIS, Link

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Head:
    """What the head file says.

    Attributes:
        number, hash: the last line.
        inode, size: the file it went to, and where that ended after it.
        marked, marked_at: the last checkpoint's number, and when it was made, in seconds.
        boot: which run of the machine it was written in.
    """

    number: int = 0
    hash: str = GENESIS.hash
    inode: int = 0
    size: int = 0
    marked: int = 0
    marked_at: float = 0.0
    boot: str = ""

    @property
    def link(self) -> Link:
        """The place in the chain."""
        return Link(self.number, self.hash)

    @property
    def is_of_this_boot(self) -> bool:
        """True if nothing can be missing because the machine lost its power."""
        return self.boot == boot()


def boot() -> str:
    """This run of the machine; what has not been flushed does not outlive it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def path_of(record: Path) -> Path:
    """The head file of a record."""
    return record.with_name(f"{record.name}.head")


def find(record: Path) -> Head | None:
    """What the head file of a record says; None if there is none.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with path_of(record).open("rb") as file:
            found = read(file.fileno())
    except FileNotFoundError:
        return None
    return found if found.number else None


def read(head_file: int) -> Head:
    """What an open head file says; nothing if it is new or damaged."""
    text = os.pread(head_file, 1024, 0)
    try:
        return Head(**json.loads(text)) if text else Head()
    except (ValueError, TypeError):
        # The file itself knows its end.
        LOG.error("the audit's head file is damaged")
        return Head()


def write(head_file: int, head: Head) -> None:
    """Replace what the head file says."""
    text = json.dumps(vars(head)).encode("ascii")
    # One write, of a constant length: there is no moment at which it is not JSON.
    os.pwrite(head_file, text.ljust(512), 0)
