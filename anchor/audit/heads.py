"""The head file beside a record, ``<path>.head``: how far the chain has come, and in which file."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pydantic

from anchor.audit.chain import GENESIS, Link
from anchor.errors import AnchorError

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

    __pydantic_config__ = pydantic.ConfigDict(strict=True)

    number: Annotated[int, pydantic.Field(ge=0)] = 0
    hash: Annotated[str, pydantic.Field(pattern="^[0-9a-f]{64}$")] = GENESIS.hash
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


_HEAD = pydantic.TypeAdapter(Head)
_SIZE = 1024


class Damaged(AnchorError):
    """The head file is there, and not what Anchor wrote."""


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
        Damaged: it says nothing, so nobody knows whether events at the end are missing.
        OSError: it cannot be read.
    """
    try:
        with path_of(record).open("rb") as file:
            text = file.read(_SIZE)
    except FileNotFoundError:
        return None
    if not text:
        # It is made before the first event is written.
        return None
    found = _parsed(text)
    if found is None:
        raise Damaged(
            f"{path_of(record)}: it is damaged, so it does not tell whether events at the end of "
            "the record are missing; move it away, and verify again with a copied checkpoint"
        )
    return found if found.number else None


def read(head_file: int) -> Head:
    """What an open head file says; nothing if it is new or damaged."""
    text = os.pread(head_file, _SIZE, 0)
    head = _parsed(text) if text else Head()
    if head is None:
        # The file itself knows its end.
        LOG.error("the audit's head file is damaged")
        # What is written next may be shorter.
        os.ftruncate(head_file, 0)
        return Head()
    return head


def _parsed(text: bytes) -> Head | None:
    """What it says; None if that is not what is written here."""
    try:
        return _HEAD.validate_json(text)
    except ValueError:
        return None


def write(head_file: int, head: Head) -> None:
    """Replace what the head file says."""
    text = json.dumps(vars(head)).encode("ascii")
    # One write, of a constant length: there is no moment at which it is not JSON.
    os.pwrite(head_file, text.ljust(512), 0)
