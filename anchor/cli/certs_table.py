"""Certificates as a table or as lines of JSON."""

from __future__ import annotations

import datetime
import itertools
import json
import sys
from collections.abc import Iterable, Sequence

from anchor.cli.terminal import printable
from anchor.store.records import CertificateRecord
from anchor.timestamps import timestamp

_HEADER = ("EXPIRES", "FINGERPRINT", "REQUESTER", "AUTHORITY", "NAMES")
# The widths come from the first rows, so that the others need not be read before the first line.
_SAMPLE = 50
_MAX_WIDTH = 32
_FINGERPRINT_DIGITS = 16
# A certificate can have many names, and a name can be as long as a request.
_NAMES_WIDTH = 160


def print_json(records: Iterable[CertificateRecord], now: datetime.datetime) -> None:
    """Print a line of JSON for each certificate."""
    for record in records:
        sys.stdout.write(f"{json.dumps(record.as_json() | {'status': status(record, now)})}\n")


def print_table(records: Iterable[CertificateRecord], now: datetime.datetime) -> int:
    """Print a header and a line for each certificate; nothing if there is none.

    Returns:
        the number of certificates.
    """
    rows = (_row(record, now) for record in records)
    sample = list(itertools.islice(rows, _SAMPLE))
    if not sample:
        return 0
    widths = [
        min(max(map(len, column)), _MAX_WIDTH) for column in zip(_HEADER, *sample, strict=True)
    ]
    count = -1
    for count, row in enumerate(itertools.chain([_HEADER], sample, rows)):  # noqa: B007
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(f"{'  '.join(cells).rstrip()}\n")
    return count


def status(record: CertificateRecord, now: datetime.datetime) -> str:
    """Whether a certificate is ``valid``, ``expired`` or ``not yet valid``."""
    moment = now.replace(microsecond=0)
    if record.not_after < moment:
        return "expired"
    return "valid" if record.not_before <= moment else "not yet valid"


def _row(record: CertificateRecord, now: datetime.datetime) -> Sequence[str]:
    issuance = record.issuance
    names = _names(record.names)
    if status(record, now) == "not yet valid":
        names += f"  (not yet valid, from {timestamp(record.not_before)} on)"
    return (
        timestamp(record.not_after),
        record.fingerprint[:_FINGERPRINT_DIGITS],
        _cell(issuance.requester) if issuance else "-",
        _cell(issuance.authority) if issuance else "-",
        names,
    )


def _cell(text: str) -> str:
    """A value in printable ASCII, of limited length."""
    return _shorten(printable(text[:_NAMES_WIDTH]), _NAMES_WIDTH) or "-"


def _names(names: Sequence[str]) -> str:
    """As many of the names as fit, at least one, and how many more there are."""
    shown: list[str] = []
    room = _NAMES_WIDTH
    for name in names:
        text = _shorten(printable(name[: _NAMES_WIDTH + 1]), _NAMES_WIDTH)
        room -= len(text) + 1
        if shown and room < 0:
            break
        shown.append(text)
    more = len(names) - len(shown)
    return " ".join(shown) + (f" and {more} more" if more else "")


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."
