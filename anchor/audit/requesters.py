"""What a requester got, as far as the verified lines of the record tell."""

from __future__ import annotations

import json
from pathlib import Path

from anchor.audit import heads, rotation
from anchor.audit.events import SIGNING
from anchor.audit.verification import Broken, Verification
from anchor.store import bans

_SIGNING = f'"event":"{SIGNING}"'.encode()


def issued_to(record: Path, requester: str) -> frozenset[str]:
    """The fingerprints of the certificates that a requester got.

    Raises:
        Broken: the record is not what was written, so what it says of requesters is not known.
    """
    wanted = bans.normal("requester", requester)
    found: set[str] = set()

    def look(line: bytes) -> None:
        if _SIGNING not in line or b'"fingerprint"' not in line:
            return
        fields = json.loads(line)
        who = (fields.get("user"), fields.get("user_id"))
        if any(bans.normal("requester", name) == wanted for name in who if name):
            found.add(fields["fingerprint"])

    # Before the files, which may grow meanwhile.
    head = heads.find(record)
    paths = [path for path in rotation.files_of(record) if path.stat().st_size]
    if head and not paths:
        raise Broken(record, 1, f"it is gone: the head file knows of event {head.number}")
    if paths:
        # What was deleted by rotation is not missed: its certificates have ended.
        Verification(head=head, from_anywhere=True, each=look).verify(paths)
    return frozenset(found)
