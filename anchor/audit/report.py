"""The result of verifying a record."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from anchor.audit.chain import GENESIS, Link
from anchor.audit.checkpoints import Checkpoint
from anchor.errors import AnchorError


class BrokenRecord(AnchorError):
    """The record is not what Anchor wrote; the message says where and how."""

    def __init__(self, path: Path, line: int, problem: str):
        super().__init__(f"{path}, line {line}: {problem}")


@dataclass
class Report:
    """The result of a verification.

    Attributes:
        lines: the number of verified lines.
        first, last: the link before the first line, and that of the last line.
        checkpoints: the number of checkpoints with a valid signature.
        signed: the number of the last event that a checkpoint covers.
        node: the node that the lines name; None if they name none.
        copies: the copied checkpoints that agree with the record.
        torn: the unfinished lines that crashes left, for messages.
        bytes_read: the number of bytes that were read from the files.
    """

    lines: int = 0
    first: Link = GENESIS
    last: Link = GENESIS
    checkpoints: int = 0
    signed: int = 0
    node: str | None = None
    copies: list[Checkpoint] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    bytes_read: int = 0
