"""Which of several audit files belong to one record."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from anchor.audit import heads, rotation
from anchor.audit.chain import GENESIS, Line


def by_record(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    """The files of each record, by the path of the record."""
    records: dict[Path, list[Path]] = {}
    for path in paths:
        records.setdefault(rotation.record_of(path), []).append(path)
    return _joined(records) if len(records) > 1 else records


class _Ends(NamedTuple):
    """The number of the first event, the hash that it continues, and the hash of the last one."""

    number: float
    previous: str
    last: str


def _joined(records: dict[Path, list[Path]]) -> dict[Path, list[Path]]:
    """Join files that continue each other although their names do not show it.

    The joined record has the path of its newest file.
    """
    joined: dict[Path, list[Path]] = {}
    ended: dict[str, Path] = {}
    ends = {record: _ends(record, files) for record, files in records.items()}
    for record in sorted(records, key=lambda record: ends[record].number):
        before = ended.pop(ends[record].previous, None)
        earlier = joined.pop(before) if before else []
        joined[record] = earlier + records[record]
        ended[ends[record].last] = record
    # In the order of the command line.
    return {record: joined[record] for record in records if record in joined}


def _ends(record: Path, files: list[Path]) -> _Ends:
    first: list[Line] = []
    last: list[Line] = []
    # Verification tells about files that cannot be read.
    with contextlib.suppress(OSError):
        for path in files:
            first += filter(None, [rotation.first_line(path)])
            last += filter(None, [rotation.last_line(path)])
    if first and last:
        oldest = min(first, key=lambda line: line.link.number)
        newest = max(last, key=lambda line: line.link.number)
        return _Ends(oldest.link.number, oldest.previous, newest.link.hash)
    with contextlib.suppress(OSError, heads.HeadDamaged):
        if head := heads.find(record):
            # Nothing was written since a rotation.
            return _Ends(head.number + 1, head.hash, head.hash)
    return _Ends(float("inf"), GENESIS.hash, "")
