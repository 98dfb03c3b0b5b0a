"""The files of one record: the one that is written now, and those rotated away from it."""

from __future__ import annotations

import glob
import gzip
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, cast

from anchor.audit import chain

# Neither is a part of the record: where the chain is, and keys that are kept beside it.
_COMPANIONS = (".head", ".key", ".key.pub", ".pub")
# As logrotate and others name them: audit.log.1, audit.log-20261126, audit.log.2026-11-26_10.
_ROTATED = re.compile(r"(.+?)([.-][0-9][0-9T:_.-]*)", re.ASCII)
_SUFFIX = re.compile(r"[.-][0-9][0-9T:_.-]*(\.gz)?", re.ASCII)


def open_file(path: Path) -> IO[bytes]:
    """A file of the record, compressed or not."""
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    return path.open("rb")


def absolute(path: Path) -> Path:
    """One path for a file, however that of its directory is written."""
    return path.parent.resolve() / path.name


def record_of(path: Path) -> Path:
    """The path of the record that a file was rotated away from; the path itself if it was not.

    It is the same however the path of the directory is written.
    """
    path = absolute(path)
    name = path.name.removesuffix(".gz")
    rotated = _ROTATED.fullmatch(name)
    if rotated is None or path.with_name(f"{path.name}.head").exists():
        return path
    return path.with_name(rotated[1])


def without_companions(paths: Collection[Path]) -> list[Path]:
    """The files without those that belong to another of them, as a shell's ``*`` finds them."""
    names = {f"{path}{companion}" for path in paths for companion in _COMPANIONS}
    return [path for path in paths if str(path) not in names]


def beside(record: Path) -> Iterator[Path]:
    """The files that have been rotated away from a record, in any order."""
    for place in record.parent.glob(f"{glob.escape(record.name)}?*"):
        suffix = place.name.removeprefix(record.name)
        if suffix in _COMPANIONS or not place.is_file():
            continue
        # Other files, such as keys, may have names that begin like that of the record.
        if _SUFFIX.fullmatch(suffix) or _begins_with_an_event(place):
            yield place


def files_of(record: Path) -> list[Path]:
    """The file at this path and those that were rotated away from it, oldest first."""
    return in_order([*beside(record), *([record] if record.is_file() else [])])


def in_order(paths: Collection[Path]) -> list[Path]:
    """The files, oldest first; those without a whole line at their beginning come last."""
    return sorted(paths, key=_first_number)


def _begins_with_an_event(path: Path) -> bool:
    try:
        return _first_number(path) < float("inf")
    except PermissionError:
        # If it is a part of the record after all, its events are missing.
        return False


def _first_number(path: Path) -> float:
    """The number of the first event in a file; infinity if it does not begin with one."""
    with open_file(path) as file:
        # What a crash tore may be in front.
        for octets in (file.readline() for _ in range(8)):
            line = chain.read(octets.rstrip(b"\n"))
            if line:
                return line.link.number
    return float("inf")
