"""The files of one record: the current one and the rotated ones."""

from __future__ import annotations

import errno
import glob
import gzip
import re
import zlib
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from anchor.audit import chain
from anchor.audit.chain import Line

# Files beside the record that contain no events: the head file and the audit keys.
_COMPANIONS = (".head", ".key", ".key.pub", ".pub")
# Names that logrotate and others use: audit.log.1, audit.log-20261126, audit.log.2026-11-26_10.
_ROTATED = re.compile(r"(.+?)([.-][0-9][0-9T:_.-]*)", re.ASCII)
_SUFFIX = re.compile(r"[.-][0-9][0-9T:_.-]*(\.gz)?", re.ASCII)


@contextmanager
def open_file(path: Path) -> Iterator[IO[bytes]]:
    """A file of the record, which may be compressed, open for reading.

    Raises:
        OSError: it cannot be read, or what is compressed is damaged.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            yield cast(IO[bytes], file)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise OSError(errno.EIO, f"it is damaged: {error}", str(path)) from None


def absolute(path: Path) -> Path:
    """The path with its directory resolved, so that paths can be compared."""
    return path.parent.resolve() / path.name


def record_of(path: Path) -> Path:
    """The path of the record that a file belongs to, with its directory resolved.

    A file that was not rotated is the record itself.
    """
    path = absolute(path)
    name = path.name.removesuffix(".gz")
    rotated = _ROTATED.fullmatch(name)
    if rotated is None or path.with_name(f"{path.name}.head").exists():
        return path
    return path.with_name(rotated[1])


def without_companions(paths: Collection[Path]) -> list[Path]:
    """The files without head files and keys, which a shell's ``*`` matches too."""
    # The current file need not be there: a rotation has renamed it.
    records = {path for each in paths for path in (absolute(each), record_of(each))}
    names = {f"{record}{companion}" for record in records for companion in _COMPANIONS}
    return [path for path in paths if str(absolute(path)) not in names]


def rotated_files(record: Path) -> Iterator[Path]:
    """The rotated files of a record, in any order."""
    for path in record.parent.glob(f"{glob.escape(record.name)}?*"):
        suffix = path.name.removeprefix(record.name)
        if suffix in _COMPANIONS or not path.is_file():
            continue
        # The name of another file, such as a key, may begin with the name of the record.
        if _SUFFIX.fullmatch(suffix) or _begins_with_an_event(path):
            yield path


def files_of(record: Path) -> list[Path]:
    """The current file and the rotated files of a record, oldest first."""
    return in_order([*rotated_files(record), *([record] if record.is_file() else [])])


def has_end(record: Path, paths: Collection[Path]) -> bool:
    """Whether files of a record include its end, which the head file is about.

    The end is in the current file or, until an event follows a rotation, in the newest other one.
    """
    newest = record if record.exists() else next(reversed(files_of(record)), record)
    return absolute(newest) in map(absolute, paths)


def in_order(paths: Collection[Path]) -> list[Path]:
    """The files, oldest first; files that do not begin with an event come last."""
    return sorted(paths, key=_first_number)


def _begins_with_an_event(path: Path) -> bool:
    try:
        return _first_number(path) < float("inf")
    except PermissionError:
        # If it belongs to the record, verification notices that its events are missing.
        return False


def _first_number(path: Path) -> float:
    line = first_line(path)
    return line.link.number if line else float("inf")


# Unfinished lines of crashes may come before the first event or after the last one.
_MOST_UNFINISHED = 8


def first_line(path: Path) -> Line | None:
    """The first event in a file; None if there is none."""
    with open_file(path) as file:
        return _first_valid(file.readline() for _ in range(_MOST_UNFINISHED))


def last_line(path: Path) -> Line | None:
    """The last event in a file, which may be compressed; None if there is none."""
    with open_file(path) as file:
        return _first_valid(reversed(deque(file, _MOST_UNFINISHED)))


def _first_valid(lines: Iterable[bytes]) -> Line | None:
    parsed = (chain.parse_line(line.rstrip(b"\n")) for line in lines)
    return next((line for line in parsed if line), None)
