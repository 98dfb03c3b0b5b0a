"""Verification that no line of a record was changed, removed, reordered or cut off."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from anchor.audit import chain, rotation
from anchor.audit.chain import GENESIS, Line, Link
from anchor.audit.checkpoints import Checkpoint
from anchor.audit.events import CHECKPOINT
from anchor.audit.heads import Head
from anchor.errors import AnchorError

_EVENT_IS_CHECKPOINT = f'"event":"{CHECKPOINT}"'.encode()
_PROGRESS_EVERY = 5000


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
        torn: the unfinished lines that crashes left, for messages.
        bytes_read: the number of bytes that were read from the files.
    """

    lines: int = 0
    first: Link = GENESIS
    last: Link = GENESIS
    checkpoints: int = 0
    signed: int = 0
    torn: list[str] = field(default_factory=list)
    bytes_read: int = 0


class Verification:
    """Verifies the files of a record as one chain.

    Args:
        previous: the hash of the line before the first file; None if the files begin with event 1.
        key: the public audit key; None to skip signatures.
        copies: checkpoints that were copied from a log.
        progress: called with the report every few thousand lines, and after each file.
        must_be_signed: if a key is given, require a signed checkpoint even if the record does not
            begin with event 1.
        head: the contents of the head file; without it, missing lines at the end are not noticed.
        from_anywhere: accept a record that does not begin with event 1.
        on_line: called with every verified line, including its line break.  Later lines may still
            be wrong.
    """

    def __init__(
        self,
        previous: str | None = None,
        key: Ed25519PublicKey | None = None,
        copies: Sequence[Checkpoint] = (),
        progress: Callable[[Report], None] = lambda _: None,
        *,
        must_be_signed: bool = True,
        head: Head | None = None,
        from_anywhere: bool = False,
        on_line: Callable[[bytes], None] = lambda _: None,
    ):
        self._must_be_signed = must_be_signed
        self._head = head
        self._from_anywhere = from_anywhere
        self._on_line = on_line
        self._previous = previous
        self._key = key
        self._copies: dict[int, dict[str, Checkpoint]] = {}
        for copy in copies:
            self._copies.setdefault(copy.link.number, {})[copy.link.hash] = copy
        self._progress = progress
        self._report = Report()
        self._unparsed: list[tuple[int, bytes]] = []

    def verify(self, paths: Sequence[Path]) -> Report:
        """Verify the files, given oldest first.

        Raises:
            BrokenRecord: the record is not what Anchor wrote.
            OSError: a file cannot be read.
        """
        path = paths[0]
        for path in paths:
            self._verify_file(path)
        self._verify_end(path)
        return self._report

    def _verify_file(self, path: Path) -> None:
        report = self._report
        with rotation.open_file(path) as file:
            for number, data in enumerate(file, start=1):
                report.bytes_read += len(data)
                line = chain.parse_line(data[:-1] if data.endswith(b"\n") else data)
                if line is None:
                    self._unparsed.append((number, data))
                    continue
                if self._unparsed:
                    self._accept_torn(path, line, data)
                if (line.previous, line.link.number) != (report.last.hash, report.last.number + 1):
                    self._verify_break(path, number, line, file)
                report.last = line.link
                report.lines += 1
                if _EVENT_IS_CHECKPOINT in data:
                    self._verify_checkpoint(path, number, line, data)
                copies = self._copies.get(line.link.number)
                if copies is not None and copies.keys() != {line.link.hash}:
                    raise BrokenRecord(
                        path, number, "it was rewritten: a checkpoint has another hash for it"
                    )
                if self._head and line.link.number == self._head.number:
                    self._verify_head(path, number, line.link)
                try:
                    self._on_line(data)
                except (ValueError, KeyError, TypeError, RecursionError):
                    raise BrokenRecord(path, number, _NO_EVENT) from None
                if report.lines % _PROGRESS_EVERY == 0:
                    self._progress(report)
        self._progress(report)
        if self._unparsed:
            # Unfinished lines at the end of a file: the next line may be in another file.
            self._require_torn(path, report.last.hash, report.last.number + 1)
            self._unparsed.clear()

    def _accept_torn(self, path: Path, line: Line, data: bytes) -> None:
        """Accept unfinished lines if this line contains their digest, or raise BrokenRecord."""
        torn = b"".join(data for _, data in self._unparsed).rstrip(b"\n")
        first = self._unparsed[0][0]
        if torn:
            if _fields(path, first, data).get("torn") != hashlib.sha256(torn).hexdigest():
                raise BrokenRecord(path, first, "it was changed")
            self._require_torn(path, line.previous, line.link.number)
        self._unparsed.clear()

    def _require_torn(self, path: Path, previous: str, number: int) -> None:
        """Report unfinished lines, or raise BrokenRecord if they do not begin that line."""
        first = self._unparsed[0][0]
        torn = b"".join(data for _, data in self._unparsed)
        if not chain.is_torn(torn, previous, number):
            raise BrokenRecord(
                path, first, "it was changed, or inserted: it is not what Anchor writes"
            )
        self._report.torn.append(f"{path}, line {first}: unfinished, as a crash leaves it")

    def _verify_break(self, path: Path, number: int, line: Line, file: IO[bytes]) -> None:
        """Accept a line that may begin the record; raise BrokenRecord for any other gap."""
        report = self._report
        expected = report.last.number + 1
        actual = line.link.number
        if not report.lines:
            report.first = Link(actual - 1, line.previous)
            if line.previous == self._previous or self._from_anywhere:
                return
            if self._previous is not None:
                raise BrokenRecord(path, number, "it does not continue the hash that was given")
            raise BrokenRecord(
                path,
                number,
                f"the record begins with event {actual}: give the files before it too, or the hash "
                f"that they end with as --previous",
            )
        if actual == expected:
            raise BrokenRecord(
                path, number, "the line before it was replaced: this one continues another hash"
            )
        if actual < expected:
            raise BrokenRecord(
                path, number, f"event {actual} is out of its place: moved, repeated or inserted"
            )
        if any(_number_of(data) == expected for data in file):
            raise BrokenRecord(path, number, f"event {expected} was here: the lines were reordered")
        missing = (
            f"event {expected} was"
            if actual == expected + 1
            else (f"events {expected} to {actual - 1} were")
        )
        raise BrokenRecord(path, number, f"{missing} removed before this line")

    def _verify_checkpoint(self, path: Path, number: int, line: Line, data: bytes) -> None:
        event = _fields(path, number, data)
        if event.get("event") != CHECKPOINT:
            return
        try:
            checkpoint = Checkpoint.of(event.get("checkpoint"))
        except ValueError as error:
            raise BrokenRecord(path, number, f"{error}") from error
        if checkpoint.link != Link(line.link.number - 1, line.previous):
            raise BrokenRecord(
                path, number, "the checkpoint is not of the event before it: lines were rewritten"
            )
        if self._key is None:
            return
        if not checkpoint.is_signed_by(self._key):
            raise BrokenRecord(path, number, "the checkpoint is not signed with the audit's key")
        self._report.checkpoints += 1
        self._report.signed = checkpoint.link.number

    def _verify_head(self, path: Path, number: int, link: Link) -> None:
        if self._head and link != self._head.link:
            raise BrokenRecord(
                path, number, "it was rewritten: the head file has another hash for it"
            )

    def _verify_end(self, path: Path) -> None:
        report = self._report
        if not report.lines:
            raise BrokenRecord(path, 1, "there is no event in it")
        required = self._must_be_signed or report.first == GENESIS
        if self._key is not None and not report.checkpoints and required:
            raise BrokenRecord(
                path, report.lines, "there is no checkpoint, signed with that key, in it"
            )
        newest = max(self._copies, default=0)
        if newest > report.last.number:
            last = next(iter(self._copies[newest].values()))
            raise BrokenRecord(
                path,
                report.lines,
                f"it was cut after event {report.last.number}: a checkpoint of {last.time} is of "
                f"event {last.link.number}",
            )
        if self._head and self._head.number > report.last.number:
            lost = "" if self._head.is_of_this_boot else _LOST_POWER
            raise BrokenRecord(
                path,
                report.lines,
                f"it was cut after event {report.last.number}: the head file knows of event "
                f"{self._head.number}{lost}",
            )


_NO_EVENT = "it was rewritten: it is not an event as Anchor writes it"
_LOST_POWER = (
    "; if the machine lost its power just then, these are events that nobody was answered about"
)


def _fields(path: Path, number: int, data: bytes) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = json.loads(data)
    except (ValueError, RecursionError):
        raise BrokenRecord(path, number, _NO_EVENT) from None
    return fields


def _number_of(data: bytes) -> int | None:
    line = chain.parse_line(data.rstrip(b"\n"))
    return line.link.number if line else None
