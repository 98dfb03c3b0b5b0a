"""Proving that a record is whole: nothing changed, removed, reordered or cut."""

from __future__ import annotations

import glob
import gzip
import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from anchor.audit import chain
from anchor.audit.chain import GENESIS, Line, Link
from anchor.audit.checkpoints import Checkpoint
from anchor.audit.events import CHECKPOINT
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


def open_record(path: Path) -> IO[bytes]:
    """A file of the record, compressed or not."""
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    return path.open("rb")


def in_order(paths: Collection[Path]) -> list[Path]:
    """The files, oldest first; those without a whole line at their beginning come last."""

    def first_number(path: Path) -> float:
        with open_record(path) as file:
            # What a crash tore may be in front.
            for octets in (file.readline() for _ in range(8)):
                line = chain.read(octets.rstrip(b"\n"))
                if line:
                    return line.link.number
        return float("inf")

    return sorted(paths, key=first_number)


class Verification:
    """Reads files as one chain.

    Args:
        previous: the hash that the first line has to continue; without it, the first line has to be
            the first of all.
        key: the audit's key, for signatures; without it, they are not looked at.
        copies: checkpoints that were kept elsewhere.
        progress: is told now and then how it goes.
    """

    def __init__(
        self,
        previous: str | None = None,
        key: Ed25519PublicKey | None = None,
        copies: Sequence[Checkpoint] = (),
        progress: Callable[[Report], None] = lambda _: None,
    ):
        self._previous = previous
        self._key = key
        self._copies: dict[int, dict[str, Checkpoint]] = {}
        for copy in copies:
            self._copies.setdefault(copy.link.number, {})[copy.link.hash] = copy
        self._progress = progress
        self._report = Report()
        self._junk: list[tuple[int, bytes]] = []

    def prove(self, paths: Sequence[Path]) -> Report:
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
        with open_record(path) as file:
            for number, octets in enumerate(file, start=1):
                report.octets += len(octets)
                line = chain.read(octets[:-1] if octets.endswith(b"\n") else octets)
                if line is None:
                    self._junk.append((number, octets))
                    continue
                if self._junk:
                    self._excuse(path, octets)
                if (line.previous, line.link.number) != (report.last.hash, report.last.number + 1):
                    self._broken_chain(path, number, line, file)
                report.last = line.link
                report.lines += 1
                if _EVENT_IS_CHECKPOINT in octets:
                    self._checkpoint(path, number, octets)
                copies = self._copies.get(line.link.number)
                if copies is not None and copies.keys() != {line.link.hash}:
                    raise Broken(
                        path, number, "it was rewritten: a checkpoint has another hash for it"
                    )
                if report.lines % _PROGRESS_EVERY == 0:
                    self._progress(report)
        self._progress(report)
        if self._junk:
            # The last line of a file; whoever writes next says so, unless it is to another file.
            first, _ = self._junk[0]
            if any(chain.looks_whole(junk.rstrip(b"\n")) for _, junk in self._junk):
                raise Broken(path, first, "it was changed")
            report.torn.append(f"{path}, line {first}: unfinished, as a crash leaves it")
            self._junk.clear()

    def _excuse(self, path: Path, octets: bytes) -> None:
        """A line that names unfinished ones before it tells what a crash did; others accuse."""
        junk = b"".join(octets for _, octets in self._junk).rstrip(b"\n")
        first = self._junk[0][0]
        if junk:
            if json.loads(octets).get("torn") != hashlib.sha256(junk).hexdigest():
                raise Broken(path, first, "it was changed")
            self._report.torn.append(f"{path}, line {first}: unfinished, as a crash leaves it")
        self._junk.clear()

    def _broken_chain(self, path: Path, number: int, line: Line, file: IO[bytes]) -> None:
        """Return if the line may stand where it does after all, at the beginning of the record."""
        report = self._report
        expected = report.last.number + 1
        found = line.link.number
        if not report.lines:
            report.first = Link(found - 1, line.previous)
            if line.previous == self._previous:
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

    def _checkpoint(self, path: Path, number: int, octets: bytes) -> None:
        event = json.loads(octets)
        if event.get("event") != CHECKPOINT:
            return
        try:
            checkpoint = Checkpoint.of(event.get("checkpoint"))
        except ValueError as error:
            raise Broken(path, number, f"{error}") from error
        if checkpoint.link != Link(event["number"] - 1, event["previous"]):
            raise Broken(path, number, "the checkpoint is of another place: lines were rewritten")
        if self._key is None:
            return
        if not checkpoint.is_signed_by(self._key):
            raise Broken(path, number, "the checkpoint is not signed with the audit's key")
        self._report.checkpoints += 1
        self._report.signed = checkpoint.link.number

    def _compare_the_end(self, path: Path) -> None:
        report = self._report
        if not report.lines:
            raise Broken(path, 1, "there is no event in it")
        if self._key is not None and not report.checkpoints:
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


def _number_of(octets: bytes) -> int | None:
    line = chain.read(octets.rstrip(b"\n"))
    return line.link.number if line else None


def files_of(path: Path) -> list[Path]:
    """The file at this path and those that log rotation moved away from there, oldest first."""
    kept = [
        place
        for place in path.parent.glob(f"{glob.escape(path.name)}*")
        if place.is_file() and place.name != f"{path.name}.head"
    ]
    return in_order(kept)


def lines_of(paths: Sequence[Path]) -> Iterator[bytes]:
    """Every line of some files, unproved."""
    for path in paths:
        with open_record(path) as file:
            yield from file
