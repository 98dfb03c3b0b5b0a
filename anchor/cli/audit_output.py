"""What ``anchor audit verify`` prints: the progress, and the summary of a record."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from anchor.audit.heads import Head
from anchor.audit.report import Report


@contextmanager
def progress(paths: list[Path]) -> Iterator[Callable[[Report], None]]:
    """Show the progress on a terminal during the block."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    total = sum(path.stat().st_size for path in paths)
    # The size of the events in a compressed file is not known.
    total *= not any(path.suffix == ".gz" for path in paths)
    started = shown = time.monotonic()

    def show(report: Report) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown < 0.2:
            return
        shown = now
        share = f", {min(100, 100 * report.bytes_read // total)} %" if total else ""
        rate = report.lines / (now - started)
        print(f"\r{report.lines:,} events{share}, {rate:,.0f} a second ", end="", file=sys.stderr)

    try:
        yield show
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def summary(report: Report, head: Head | None, seconds: float, key: str | None) -> str:
    """The line about a record that was verified.

    Args:
        report: the result of the verification.
        head: the head file; None if it was not read.
        seconds: how long the verification took.
        key: the name of the key that verified the checkpoints; None without a key.
    """
    signatures = "; no signature was verified"
    if key is not None:
        signatures = f"; no checkpoint that {key} could have signed is in it"
    if report.checkpoints:
        signatures = (
            f"; {report.checkpoints} checkpoints are signed with {key}, up to event {report.signed}"
        )
    compared = f"; {len(report.copies)} copies of checkpoints agree" if report.copies else ""
    return (
        f"whole: events {report.first.number + 1} to {report.last.number}, ending with "
        f"{report.last.hash}{signatures}{compared}; {_end(report, head)} ({seconds:.1f} s)"
    )


def _end(report: Report, head: Head | None) -> str:
    """What confirms that no event is missing at the end of the record."""
    if head is not None:
        return "the head file confirms the end"
    copied = max((copy.link.number for copy in report.copies), default=None)
    # A checkpoint is of the line before it.
    if copied is not None and copied >= report.last.number - 1:
        return "a copied checkpoint confirms the end"
    return "nothing confirms the end" + (f" after event {copied}" if copied else "")
