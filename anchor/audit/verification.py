"""Verification that no line of a record was changed, removed, reordered or cut off."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from anchor.audit import chain, rotation
from anchor.audit.chain import GENESIS, Line, Link
from anchor.audit.checkpoints import Checkpoint
from anchor.audit.events import CHECKPOINT
from anchor.audit.heads import Head
from anchor.audit.report import BrokenRecord, Report

_EVENT_IS_CHECKPOINT = f'"event":"{CHECKPOINT}"'.encode()
_PROGRESS_EVERY = 5000


class _Place(NamedTuple):
    """A line that a copied checkpoint is about, and where it is."""

    path: Path
    line: int
    link: Link


class Verification:
    """Verifies the files of a record as one chain.

    Args:
        previous: hashes of which the first file continues one; empty if it begins with event 1.
        key: the public audit key; None to skip signatures.
        copies: checkpoints that were copied from a log.  Those of other nodes do not count.
        progress: called with the report every few thousand lines, and after each file.
        must_be_signed: if a key is given, require a signed checkpoint even if the record does not
            begin with event 1.
        head: the contents of the head file; without it, missing lines at the end are not noticed.
        from_anywhere: accept a record that does not begin with event 1.
        on_line: called with every verified line, including its line break.  Later lines may still
            be wrong.
        among_others: True if copies and records that name no node may belong to different nodes.
    """

    def __init__(
        self,
        previous: frozenset[str] = frozenset(),
        key: Ed25519PublicKey | None = None,
        copies: Sequence[Checkpoint] = (),
        progress: Callable[[Report], None] = lambda _: None,
        *,
        must_be_signed: bool = True,
        head: Head | None = None,
        from_anywhere: bool = False,
        on_line: Callable[[bytes], None] = lambda _: None,
        among_others: bool = False,
    ):
        self._must_be_signed = must_be_signed
        self._head = head
        self._from_anywhere = from_anywhere
        self._on_line = on_line
        self._previous = previous
        self._key = key
        self._copies = copies
        self._copied = {copy.link.number for copy in copies}
        self._places: dict[int, _Place] = {}
        self._among_others = among_others
        self._progress = progress
        self.report = Report()
        self._unparsed: list[tuple[int, bytes]] = []
        self._node_is_signed = False

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
        return self.report

    def _verify_file(self, path: Path) -> None:
        report = self.report
        with rotation.open_file(path) as file:
            for number, data in enumerate(file, start=1):
                report.bytes_read += len(data)
                line = chain.parse_line(data[:-1] if data.endswith(b"\n") else data)
                if line is None:
                    self._unparsed.append((number, data))
                    continue
                if self._unparsed:
                    self._accept_torn(path, line, data)
                self._verify_node(path, number, line)
                if (line.previous, line.link.number) != (report.last.hash, report.last.number + 1):
                    self._verify_break(path, number, line, file)
                report.last = line.link
                report.lines += 1
                if _EVENT_IS_CHECKPOINT in data:
                    self._verify_checkpoint(path, number, line, data)
                if line.link.number in self._copied:
                    self._places[line.link.number] = _Place(path, number, line.link)
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
        self.report.torn.append(f"{path}, line {first}: unfinished, as a crash leaves it")

    def _verify_node(self, path: Path, number: int, line: Line) -> None:
        """Require the node of the lines before; lines of older versions have no node."""
        report = self.report
        report.node = report.node or line.node
        if line.node not in (None, report.node):
            raise BrokenRecord(
                path, number, f"it is of node {line.node}, the lines before it of {report.node}"
            )

    def _verify_break(self, path: Path, number: int, line: Line, file: IO[bytes]) -> None:
        """Accept a line that may begin the record; raise BrokenRecord for any other gap."""
        report = self.report
        expected = report.last.number + 1
        actual = line.link.number
        if not report.lines:
            report.first = Link(actual - 1, line.previous)
            if line.previous in self._previous or self._from_anywhere:
                return
            if self._previous:
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
        if checkpoint.node != line.node:
            raise BrokenRecord(path, number, "the checkpoint is of another node than its line")
        if self._key is None:
            return
        if not checkpoint.is_signed_by(self._key):
            raise BrokenRecord(path, number, "the checkpoint is not signed with the audit's key")
        self.report.checkpoints += 1
        self.report.signed = checkpoint.link.number
        self._node_is_signed = self._node_is_signed or checkpoint.node is not None

    def _verify_head(self, path: Path, number: int, link: Link) -> None:
        if self._head and link != self._head.link:
            raise BrokenRecord(
                path, number, "it was rewritten: the head file has another hash for it"
            )

    def _verify_end(self, path: Path) -> None:
        report = self.report
        if not report.lines:
            raise BrokenRecord(path, 1, "there is no event in it")
        required = self._must_be_signed or report.first == GENESIS
        if self._key is not None and not report.checkpoints and required:
            raise BrokenRecord(
                path, report.lines, "there is no checkpoint, signed with that key, in it"
            )
        if self._key is not None and report.node and not self._node_is_signed and required:
            raise BrokenRecord(
                path,
                report.lines,
                f"no checkpoint that is signed with that key names node {report.node}",
            )
        self._verify_copies(path)
        if self._head and self._head.node not in ("", report.node):
            raise BrokenRecord(
                path, report.lines, f"the head file is that of another node, {self._head.node}"
            )
        if self._head and self._head.number > report.last.number:
            lost = "" if self._head.is_of_this_boot else _LOST_POWER
            raise BrokenRecord(
                path,
                report.lines,
                f"it was cut after event {report.last.number}: the head file knows of event "
                f"{self._head.number}{lost}",
            )

    def _verify_copies(self, path: Path) -> None:
        report = self.report
        for copy in sorted(self._copies, key=lambda copy: -copy.link.number):
            place = self._places.get(copy.link.number)
            if place and place.link == copy.link:
                report.copies.append(copy)
            elif not self._is_own(copy):
                continue
            elif place:
                raise BrokenRecord(
                    place.path,
                    place.line,
                    "it was rewritten: a checkpoint has another hash for it",
                )
            elif copy.link.number > report.last.number:
                raise BrokenRecord(
                    path,
                    report.lines,
                    f"it was cut after event {report.last.number}: a checkpoint of {copy.time} is "
                    f"of event {copy.link.number}",
                )

    def _is_own(self, copy: Checkpoint) -> bool:
        if copy.node is None or self.report.node is None:
            return not self._among_others
        return copy.node == self.report.node


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
