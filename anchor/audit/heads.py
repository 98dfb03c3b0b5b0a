"""The head file ``<path>.head``: the last line of the chain, and its file."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pydantic

from anchor.audit.chain import GENESIS, NODE_NAME, Link
from anchor.errors import AnchorError

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Head:
    """The contents of the head file.

    Attributes:
        number, hash: the number and the hash of the last line.
        inode, size: the inode of its file, and the size of that file after the line.
        marked, marked_at: the number of the last checkpoint, and its time in seconds.
        boot: the boot of the machine in which the line was written.
        node: the node that the chain belongs to; empty if an older version wrote the head.
    """

    __pydantic_config__ = pydantic.ConfigDict(strict=True)

    number: Annotated[int, pydantic.Field(ge=0)] = 0
    hash: Annotated[str, pydantic.Field(pattern="^[0-9a-f]{64}$")] = GENESIS.hash
    inode: int = 0
    size: int = 0
    marked: int = 0
    marked_at: float = 0.0
    boot: str = ""
    node: Annotated[str, pydantic.Field(pattern=f"^({NODE_NAME})?$")] = ""

    @property
    def link(self) -> Link:
        """The last line, as a link of the chain."""
        return Link(self.number, self.hash)

    @property
    def is_of_this_boot(self) -> bool:
        """True if the machine has not rebooted since, so no lines are lost."""
        return self.boot == boot_id()


_HEAD = pydantic.TypeAdapter(Head)
_SIZE = 1024


class HeadDamaged(AnchorError):
    """The head file exists and is not what Anchor wrote."""


def boot_id() -> str:
    """The identifier of this boot of the machine, from the kernel."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def path_of(record: Path) -> Path:
    """The head file of a record."""
    return record.with_name(f"{record.name}.head")


def find(record: Path) -> Head | None:
    """Read the head file of a record; None if there is no event yet.

    Raises:
        HeadDamaged: it is not valid, so it cannot tell whether events at the end are missing.
        OSError: it cannot be read.
    """
    try:
        with path_of(record).open("rb") as file:
            text = file.read(_SIZE)
    except FileNotFoundError:
        return None
    if not text:
        # It is created before the first event is written.
        return None
    head = _parsed(text)
    if head is None:
        raise HeadDamaged(
            f"{path_of(record)}: it is damaged, so it does not tell whether events at the end of "
            "the record are missing; move it away, and verify again with a copied checkpoint"
        )
    return head if head.number else None


def read(head_file: int) -> Head:
    """Read an open head file; an empty Head if it is new or damaged."""
    text = os.pread(head_file, _SIZE, 0)
    head = _parsed(text) if text else Head()
    if head is None:
        # The caller reads the end of the record instead.
        LOG.error("the audit's head file is damaged")
        # The next contents may be shorter.
        os.ftruncate(head_file, 0)
        return Head()
    return head


def _parsed(text: bytes) -> Head | None:
    """The head, or None if this is not what write() writes."""
    try:
        return _HEAD.validate_json(text)
    except ValueError:
        return None


def write(head_file: int, head: Head) -> None:
    """Replace the contents of an open head file."""
    text = json.dumps(vars(head)).encode("ascii")
    # One write of a constant length, so that the file is valid JSON at any time.
    os.pwrite(head_file, text.ljust(512), 0)
