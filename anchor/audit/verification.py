"""Proving that a record is whole: nothing changed, removed, reordered or cut."""

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


class Broken(AnchorError):
    """The record is not what was written; the text says where and how."""

    def __init__(self, path: Path, line: int, what: str):
        self.path, self.line, self.what = path, line, what
        super().__init__(f"{path}, line {line}: {what}")


@dataclass
class Report:
    """What has been proved.

    Attributes:
        lines: how many lines.
        first, last: the place that the first line continues, and the last line.
        checkpoints: how many signatures of checkpoints were found good.
        signed: the number of the event up to which they reach.
        torn: where a crash left a line unfinished, as text.
        octets: how much of the files has been read.
    """

    lines: int = 0
    first: Link = GENESIS
    last: Link = GENESIS
    checkpoints: int = 0
    signed: int = 0
    torn: list[str] = field(default_factory=list)
    octets: int = 0


class Verification:
    """Reads files as one chain.

    Args:
        previous: the hash that the first line has to continue; without it, the first line has to be
            the first of all.
        key: the audit's key, for signatures; without it, they are not looked at.
        copies: checkpoints that were kept elsewhere.
        progress: is told now and then how it goes.
        must_be_signed: with a key, refuse a part of a record in which it signed no checkpoint.  A
            record with its first event always has one.
        head: what the record's head file says; without it, a cut end is not noticed.
        from_anywhere: accept a record that does not begin with the first event.
        each: is given every line, its line break included, once it agrees with those before it;
            those after it may still turn out to be wrong.
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
        each: Callable[[bytes], None] = lambda _: None,
    ):
        self._must_be_signed = must_be_signed
        self._head = head
        self._from_anywhere = from_anywhere
        self._each = each
        self._previous = previous
        self._key = key
        self._copies: dict[int, dict[str, Checkpoint]] = {}
        for copy in copies:
            self._copies.setdefault(copy.link.number, {})[copy.link.hash] = copy
        self._progress = progress
        self._report = Report()
        self._junk: list[tuple[int, bytes]] = []

    def verify(self, paths: Sequence[Path]) -> Report:
        """Return what was proved about the files, given oldest first.

        Raises:
            Broken: they are not what was written.
            OSError: they cannot be read.
        """
        path = paths[0]
        for path in paths:
            self._file(path)
        self._compare_the_end(path)
        return self._report

    def _file(self, path: Path) -> None:
        report = self._report
        with rotation.open_file(path) as file:
            for number, octets in enumerate(file, start=1):
                report.octets += len(octets)
                line = chain.read(octets[:-1] if octets.endswith(b"\n") else octets)
                if line is None:
                    self._junk.append((number, octets))
                    continue
                if self._junk:
                    self._excuse(path, line, octets)
                if (line.previous, line.link.number) != (report.last.hash, report.last.number + 1):
                    self._broken_chain(path, number, line, file)
                report.last = line.link
                report.lines += 1
                if _EVENT_IS_CHECKPOINT in octets:
                    self._checkpoint(path, number, line, octets)
                copies = self._copies.get(line.link.number)
                if copies is not None and copies.keys() != {line.link.hash}:
                    raise Broken(
                        path, number, "it was rewritten: a checkpoint has another hash for it"
                    )
                if self._head and line.link.number == self._head.number:
                    self._compare_with_the_head(path, number, line.link)
                try:
                    self._each(octets)
                except (ValueError, KeyError, TypeError, RecursionError):
                    raise Broken(path, number, _NO_EVENT) from None
                if report.lines % _PROGRESS_EVERY == 0:
                    self._progress(report)
        self._progress(report)
        if self._junk:
            # The last line of a file; whoever writes next says so, unless it is to another file.
            self._require_torn(path, report.last.hash, report.last.number + 1)
            self._junk.clear()

    def _excuse(self, path: Path, line: Line, octets: bytes) -> None:
        """Forgive unfinished lines before one that names them; raise Broken for others."""
        junk = b"".join(octets for _, octets in self._junk).rstrip(b"\n")
        first = self._junk[0][0]
        if junk:
            if _fields(path, first, octets).get("torn") != hashlib.sha256(junk).hexdigest():
                raise Broken(path, first, "it was changed")
            self._require_torn(path, line.previous, line.link.number)
        self._junk.clear()

    def _require_torn(self, path: Path, previous: str, number: int) -> None:
        """Note an unfinished line; raise Broken if it is not the beginning of what would follow."""
        first = self._junk[0][0]
        junk = b"".join(octets for _, octets in self._junk)
        if not chain.is_torn(junk, previous, number):
            raise Broken(path, first, "it was changed, or inserted: it is not what Anchor writes")
        self._report.torn.append(f"{path}, line {first}: unfinished, as a crash leaves it")

    def _broken_chain(self, path: Path, number: int, line: Line, file: IO[bytes]) -> None:
        """Return if the line may stand where it does after all, at the beginning of the record."""
        report = self._report
        expected = report.last.number + 1
        found = line.link.number
        if not report.lines:
            report.first = Link(found - 1, line.previous)
            if line.previous == self._previous or self._from_anywhere:
                return
            if self._previous is not None:
                raise Broken(path, number, "it does not continue the hash that was given")
            raise Broken(
                path,
                number,
                f"the record begins with event {found}: give the files before it too, or the hash "
                f"that they end with as --previous",
            )
        if found == expected:
            raise Broken(
                path, number, "the line before it was replaced: this one continues another hash"
            )
        if found < expected:
            raise Broken(
                path, number, f"event {found} is out of its place: moved, repeated or inserted"
            )
        if any(_number_of(octets) == expected for octets in file):
            raise Broken(path, number, f"event {expected} was here: the lines were reordered")
        missing = (
            f"event {expected} was"
            if found == expected + 1
            else (f"events {expected} to {found - 1} were")
        )
        raise Broken(path, number, f"{missing} removed before this line")

    def _checkpoint(self, path: Path, number: int, line: Line, octets: bytes) -> None:
        event = _fields(path, number, octets)
        if event.get("event") != CHECKPOINT:
            return
        try:
            checkpoint = Checkpoint.of(event.get("checkpoint"))
        except ValueError as error:
            raise Broken(path, number, f"{error}") from error
        if checkpoint.link != Link(line.link.number - 1, line.previous):
            raise Broken(path, number, "the checkpoint is of another place: lines were rewritten")
        if self._key is None:
            return
        if not checkpoint.is_signed_by(self._key):
            raise Broken(path, number, "the checkpoint is not signed with the audit's key")
        self._report.checkpoints += 1
        self._report.signed = checkpoint.link.number

    def _compare_with_the_head(self, path: Path, number: int, link: Link) -> None:
        if self._head and link != self._head.link:
            raise Broken(path, number, "it was rewritten: the head file has another hash for it")

    def _compare_the_end(self, path: Path) -> None:
        report = self._report
        if not report.lines:
            raise Broken(path, 1, "there is no event in it")
        required = self._must_be_signed or report.first == GENESIS
        if self._key is not None and not report.checkpoints and required:
            raise Broken(path, report.lines, "there is no checkpoint, signed with that key, in it")
        beyond = max(self._copies, default=0)
        if beyond > report.last.number:
            last = next(iter(self._copies[beyond].values()))
            raise Broken(
                path,
                report.lines,
                f"it was cut after event {report.last.number}: a checkpoint of {last.time} is of "
                f"event {last.link.number}",
            )
        if self._head and self._head.number > report.last.number:
            lost = "" if self._head.is_of_this_boot else _LOST_POWER
            raise Broken(
                path,
                report.lines,
                f"it was cut after event {report.last.number}: the head file knows of event "
                f"{self._head.number}{lost}",
            )


_NO_EVENT = "it was rewritten: it is not an event as Anchor writes it"
_LOST_POWER = (
    "; if the machine lost its power just then, these are events that nobody was answered about"
)


def _fields(path: Path, number: int, octets: bytes) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = json.loads(octets)
    except (ValueError, RecursionError):
        raise Broken(path, number, _NO_EVENT) from None
    return fields


def _number_of(octets: bytes) -> int | None:
    line = chain.read(octets.rstrip(b"\n"))
    return line.link.number if line else None
