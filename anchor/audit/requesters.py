"""The certificates of a requester, from a verified audit record."""

from __future__ import annotations

import json
from pathlib import Path

from anchor.audit import heads, rotation
from anchor.audit.events import SIGNING
from anchor.audit.report import BrokenRecord
from anchor.audit.verification import Verification
from anchor.store import bans

_SIGNING = f'"event":"{SIGNING}"'.encode()


def issued_to(record: Path, requester: str) -> frozenset[str]:
    """The fingerprints of the certificates that were issued to a requester.

    Raises:
        BrokenRecord: the record was changed, so it cannot be trusted.
    """
    wanted = bans.normalize("requester", requester)
    fingerprints: set[str] = set()

    def collect(line: bytes) -> None:
        if _SIGNING not in line or b'"fingerprint"' not in line:
            return
        fields = json.loads(line)
        names = (fields.get("user"), fields.get("user_id"))
        if any(bans.normalize("requester", name) == wanted for name in names if name):
            fingerprints.add(fields["fingerprint"])

    # The head before the files, which may grow meanwhile.
    head = heads.find(record)
    paths = [path for path in rotation.files_of(record) if path.stat().st_size]
    if head and not paths:
        raise BrokenRecord(record, 1, f"it is gone: the head file knows of event {head.number}")
    if paths:
        # Rotation may have deleted the oldest files; their certificates have expired.
        Verification(head=head, from_anywhere=True, on_line=collect).verify(paths)
    return frozenset(fingerprints)
