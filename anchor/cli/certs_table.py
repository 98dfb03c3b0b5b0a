"""Certificates as a table or as lines of JSON."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Iterable, Sequence

from anchor.cli.table import cell, cell_of_list, print_rows
from anchor.store.records import CertificateRecord
from anchor.timestamps import timestamp

_HEADER = ("EXPIRES", "FINGERPRINT", "REQUESTER", "AUTHORITY", "NAMES")
_FINGERPRINT_DIGITS = 16


def print_json(records: Iterable[CertificateRecord], now: datetime.datetime) -> None:
    """Print a line of JSON for each certificate."""
    for record in records:
        sys.stdout.write(f"{json.dumps(record.as_json() | {'status': status(record, now)})}\n")


def print_table(records: Iterable[CertificateRecord], now: datetime.datetime) -> int:
    """Print a header and a line for each certificate; nothing if there is none.

    Returns:
        the number of certificates.
    """
    return print_rows(_HEADER, (_row(record, now) for record in records))


def status(record: CertificateRecord, now: datetime.datetime) -> str:
    """Whether a certificate is ``valid``, ``expired`` or ``not yet valid``."""
    moment = now.replace(microsecond=0)
    if record.not_after < moment:
        return "expired"
    return "valid" if record.not_before <= moment else "not yet valid"


def _row(record: CertificateRecord, now: datetime.datetime) -> Sequence[str]:
    issuance = record.issuance
    names = cell_of_list(record.names)
    if status(record, now) == "not yet valid":
        names += f"  (not yet valid, from {timestamp(record.not_before)} on)"
    return (
        timestamp(record.not_after),
        record.fingerprint[:_FINGERPRINT_DIGITS],
        cell(issuance.requester) if issuance else "-",
        cell(issuance.authority) if issuance else "-",
        names,
    )
