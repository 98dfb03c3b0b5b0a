"""What a requester got, as far as the record tells."""

from __future__ import annotations

import json
from pathlib import Path

from anchor import bans
from anchor.audit.events import SIGNING
from anchor.audit.verification import files_of, lines_of


def issued_to(record: Path, requester: str) -> frozenset[str]:
    """The fingerprints of the certificates that a requester got."""
    wanted = bans.normal("requester", requester)
    event = f'"event":"{SIGNING}"'.encode()
    found = set()
    for line in lines_of(files_of(record)):
        if event not in line or b'"fingerprint"' not in line:
            continue
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        who = (fields.get("user"), fields.get("user_id"))
        if any(bans.normal("requester", name) == wanted for name in who if name):
            found.add(fields["fingerprint"])
    return frozenset(found)
