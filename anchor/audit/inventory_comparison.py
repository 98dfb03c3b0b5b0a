"""The issued certificates in verified audit records, compared with the database."""

from __future__ import annotations

import datetime
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, or_, select

from anchor.audit import heads, rotation
from anchor.audit.chain import GENESIS
from anchor.audit.events import SIGNING
from anchor.audit.report import BrokenRecord, Report
from anchor.audit.verification import Verification
from anchor.store.database.tables import CERTIFICATES, TOKENS

_SIGNING = f'"event":"{SIGNING}"'.encode()

# Rows that are read at once.
_BATCH = 2000

# A row is written shortly before its audit event.
_WRITING = datetime.timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class AuditRecord:
    """The verified audit record of a node.

    Attributes:
        path: the current file.
        report: the result of the verification.
        begin: the time of the first event.
        end: the time of the last event.
    """

    path: Path
    report: Report
    begin: datetime.datetime
    end: datetime.datetime

    @property
    def is_complete(self) -> bool:
        """Whether the record has all events of its node, from the first one on."""
        return self.report.first == GENESIS


@dataclass(kw_only=True)
class Issuances:
    """The certificates that audit records contain.

    Attributes:
        now: certificates that end before this time have expired.
        records: the records, one per node.
        newest: when the newest certificate was issued; None if there is none.
        in_force: the audit events of certificates in force, by their SHA-256.
        expired: the SHA-256 of the other certificates.
        token_uses: how many certificates were issued with each token.
    """

    now: datetime.datetime
    records: list[AuditRecord] = field(default_factory=list)
    newest: datetime.datetime | None = None
    in_force: dict[bytes, dict[str, Any]] = field(default_factory=dict)
    expired: set[bytes] = field(default_factory=set)
    token_uses: Counter[str] = field(default_factory=Counter)

    def read(
        self,
        record: Path,
        paths: Sequence[Path],
        key: Ed25519PublicKey | None,
        progress: Callable[[Report], None] = lambda _: None,
    ) -> None:
        """Verify a record, and add its certificates.

        Args:
            record: the current file of the record, which need not be one of the files.
            paths: the files to read.
            key: the public key that verifies checkpoints; None to skip signatures.
            progress: called with the report of the verification, every few thousand lines.

        Raises:
            BrokenRecord: the record was changed, so it cannot be trusted.
            HeadDamaged: its head file is damaged.
            OSError: a file cannot be read.
        """
        first = last = b""

        def collect(line: bytes) -> None:
            nonlocal first, last
            first, last = first or line, line
            if _SIGNING in line and b'"fingerprint"' in line:
                self._add(json.loads(line))

        # The head before the files, which may grow meanwhile.
        head = heads.find(record) if rotation.has_end(record, paths) else None
        found = rotation.in_order([path for path in paths if path.stat().st_size])
        if not found:
            if head:
                raise BrokenRecord(record, 1, f"the head file knows of event {head.number}")
            return
        # Rotation may have deleted the oldest files.
        report = Verification(
            key=key,
            progress=progress,
            must_be_signed=False,
            head=head,
            from_anywhere=True,
            on_line=collect,
        ).verify(found)
        self.records.append(
            AuditRecord(path=record, report=report, begin=_time(first), end=_time(last))
        )

    def _add(self, event: dict[str, Any]) -> None:
        if event.get("outcome") != "success":
            return
        fingerprint = bytes.fromhex(event["fingerprint"])
        if fingerprint in self.in_force or fingerprint in self.expired:
            # The files contain a copy of a record that was read already.
            return
        if datetime.datetime.fromisoformat(event["not_after"]) < self.now:
            self.expired.add(fingerprint)
        else:
            self.in_force[fingerprint] = event
        if event.get("credential") == "token" and isinstance(event.get("token"), str):
            self.token_uses[event["token"]] += 1
        issued_at = datetime.datetime.fromisoformat(event["time"])
        self.newest = max(self.newest or issued_at, issued_at)

    @property
    def covered_from(self) -> float:
        """From which whole second on the records have the events of all their nodes."""
        incomplete = [record.begin for record in self.records if not record.is_complete]
        if incomplete:
            return math.ceil(max(incomplete).timestamp())
        begins = [record.begin for record in self.records]
        return math.floor(min(begins).timestamp()) if begins else math.inf


def _time(line: bytes) -> datetime.datetime:
    return datetime.datetime.fromisoformat(json.loads(line)["time"])


@dataclass(frozen=True, kw_only=True)
class RevivedToken:
    """A token in force that has more uses left than the audit allows.

    Attributes:
        token_id: its identifier.
        requester: its holder.
        uses: how many uses it has.
        used: how many were taken, according to the database.
        audited: how many certificates were issued with it, according to the audit.
    """

    token_id: str
    requester: str
    uses: int
    used: int
    audited: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How the database differs from the audit.

    Attributes:
        forgotten: the audit events of certificates in force that the database lacks.
        forgotten_expired: the number of expired certificates that the database lacks.
        unknown: the fingerprints of certificates in the database that the audit lacks, although it
            covers their time.
        newest: when the newest certificate in the database was issued; None if there is none.
        revived_tokens: the tokens whose last uses the database lacks.
    """

    forgotten: list[dict[str, Any]]
    forgotten_expired: int
    unknown: list[str]
    newest: datetime.datetime | None
    revived_tokens: list[RevivedToken]


def compare(connection: Connection, issuances: Issuances) -> Comparison:
    """Compare the certificates in the database with those in the audit.

    Args:
        connection: sees the database as it is after the records were read.
        issuances: the certificates in the audit.

    Raises:
        sqlalchemy.exc.DBAPIError: the database is away.
    """
    forgotten = dict(issuances.in_force)
    forgotten_expired = set(issuances.expired)
    unknown = []
    newest: int | None = None
    first = issuances.covered_from
    last = (issuances.now - _WRITING).timestamp()
    columns = CERTIFICATES.c
    query = select(columns.id, columns.fingerprint, columns.issued_at).order_by(columns.id)
    rows = connection.execute(query.limit(_BATCH)).all()
    while rows:
        for _, text, issued_at in rows:
            fingerprint = bytes.fromhex(text)
            is_known = fingerprint in issuances.in_force or fingerprint in issuances.expired
            forgotten.pop(fingerprint, None)
            forgotten_expired.discard(fingerprint)
            # An imported certificate may be older than the audit.
            if issued_at is not None:
                newest = max(newest or issued_at, issued_at)
                if not is_known and first <= issued_at <= last:
                    unknown.append(text)
        rows = connection.execute(query.where(columns.id > rows[-1].id).limit(_BATCH)).all()
    return Comparison(
        forgotten=sorted(forgotten.values(), key=lambda event: str(event["not_after"])),
        forgotten_expired=len(forgotten_expired),
        unknown=unknown,
        newest=None if newest is None else datetime.datetime.fromtimestamp(newest, datetime.UTC),
        revived_tokens=list(_revived_tokens(connection, issuances)),
    )


def _revived_tokens(connection: Connection, issuances: Issuances) -> Iterator[RevivedToken]:
    columns = TOKENS.c
    query = select(columns.id, columns.requester, columns.uses, columns.used).where(
        columns.revoked.is_(None),
        or_(columns.expires.is_(None), columns.expires > issuances.now.timestamp()),
        columns.used < columns.uses,
    )
    for token_id, requester, uses, used in connection.execute(query.order_by(columns.id)):
        # ACME accounts take uses too, so more may be taken than the audit has certificates.
        if used < (audited := issuances.token_uses[token_id]):
            yield RevivedToken(
                token_id=token_id, requester=requester, uses=uses, used=used, audited=audited
            )
