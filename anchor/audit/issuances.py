"""How certificates were issued, from a verified audit record."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anchor.audit import heads, rotation
from anchor.audit.events import SIGNING
from anchor.audit.report import BrokenRecord
from anchor.audit.verification import Verification
from anchor.store.records import Issuance

_SIGNING = f'"event":"{SIGNING}"'.encode()


def read_issuances(record: Path, signing_cas: Mapping[str, str]) -> dict[str, Issuance]:
    """The issuance of each certificate in an audit record, by the certificate's fingerprint.

    Args:
        record: the current file of the record; its rotated files are read too.
        signing_cas: the signing CA of each registration authority; events do not contain it.

    Raises:
        BrokenRecord: the record was changed, so it cannot be trusted.
        HeadDamaged: the head file of the record is damaged.
        OSError: a file cannot be read.
    """
    issuances: dict[str, Issuance] = {}

    def collect(line: bytes) -> None:
        if _SIGNING not in line or b'"fingerprint"' not in line:
            return
        event = json.loads(line)
        issuances[_text(event, "fingerprint")] = _issuance(event, signing_cas)

    # The head before the files, which may grow meanwhile.
    head = heads.find(record)
    paths = [path for path in rotation.files_of(record) if path.stat().st_size]
    if head and not paths:
        raise BrokenRecord(record, 1, f"it is gone: the head file knows of event {head.number}")
    if paths:
        # Rotation may have deleted the oldest files; their certificates have expired.
        Verification(head=head, from_anywhere=True, on_line=collect).verify(paths)
    return issuances


def _issuance(event: Mapping[str, Any], signing_cas: Mapping[str, str]) -> Issuance:
    authority = _text(event, "authority")
    moment = datetime.datetime.fromisoformat(event["time"])
    groups = event.get("groups", [])
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise TypeError
    return Issuance(
        issued_at=moment.astimezone(datetime.UTC),
        authority=authority,
        signing_ca=signing_cas.get(authority, ""),
        door="",
        requester=_text(event, "user"),
        user_id=_text(event, "user_id") if "user_id" in event else None,
        project_id=_text(event, "project_id") if "project_id" in event else None,
        groups=tuple(groups),
        address=_text(event, "address"),
        request_id=_text(event, "request_id"),
    )


def _text(event: Mapping[str, Any], field: str) -> str:
    """A field of an event; a TypeError means that Anchor did not write the event."""
    value = event[field]
    if not isinstance(value, str):
        raise TypeError
    return value
