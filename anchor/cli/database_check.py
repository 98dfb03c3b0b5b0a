"""``anchor database check``: compare the database with the audit."""

from __future__ import annotations

import argparse
import datetime
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, func, select

from anchor.audit import checkpoints, rotation
from anchor.audit.heads import HeadDamaged
from anchor.audit.inventory_comparison import Comparison, Issuances, compare
from anchor.audit.records import by_record
from anchor.audit.report import BrokenRecord
from anchor.cli.configuration import read_configuration
from anchor.cli.database_access import locate
from anchor.cli.output import number_of
from anchor.cli.terminal import printable
from anchor.config.document import Document
from anchor.errors import ConfigurationError, DatabaseUnavailable, StorageError, describe_os_error
from anchor.store.database.inspection import (
    file_defects,
    inspect_database,
    schema_differences,
    schema_of,
)
from anchor.store.database.schema import HEAD, is_usable
from anchor.store.database.tables import BANS
from anchor.timestamps import timestamp, utc_now

# Fingerprints that are printed; --json has all of them.
_SHOWN = 20


@dataclass
class _Findings:
    """What the check found.

    Attributes:
        database: the database.
        schema: the version of its schema.
        defects: what is wrong with the database itself.
        bans: the number of bans.
        newest_ban: when the newest ban was made.
        broken: why the audit cannot be trusted; None if it was verified.
        issuances: the certificates in the audit; None if there is no audit file.
        comparison: how the database differs from the audit; None if there was nothing to compare.
    """

    database: str
    schema: str | None = None
    defects: list[str] = field(default_factory=list)
    bans: int = 0
    newest_ban: datetime.datetime | None = None
    broken: str | None = None
    issuances: Issuances | None = None
    comparison: Comparison | None = None

    @property
    def are_good(self) -> bool:
        """Whether the database is intact, with all certificates in force and uses of tokens."""
        differs = self.comparison and (self.comparison.forgotten or self.comparison.revived_tokens)
        return not (self.defects or self.broken or differs)


def run(namespace: argparse.Namespace) -> int:
    """Check the database, and print the findings."""
    document = read_configuration(namespace.config)
    location = locate(document)
    findings = _Findings(str(location))
    with inspect_database(location) as connection:
        _check_database(connection, findings)
    if not findings.defects:
        _read_audit(document, namespace.files, findings)
    if findings.issuances is not None and findings.broken is None:
        # After the audit was read, so that no certificate is issued in between.
        try:
            with inspect_database(location) as connection:
                findings.comparison = compare(connection, findings.issuances)
        except (DatabaseUnavailable, StorageError) as error:
            if location.path is None:
                raise
            # The check of the file does not look at every byte of a row.
            findings.defects.append(f"the certificates cannot be read: {error}")
    if namespace.json:
        print(json.dumps(_as_json(findings)))
    else:
        print("\n".join(_as_text(findings)))
    return 0 if findings.are_good else 1


def _check_database(connection: Connection, findings: _Findings) -> None:
    findings.defects = file_defects(connection)
    findings.schema = schema_of(connection)
    if findings.schema is None:
        findings.defects.append("there are no tables: `anchor database upgrade` creates them")
    elif findings.schema < HEAD:
        findings.defects.append(
            f"the schema has version {findings.schema} instead of {HEAD}: `anchor database "
            "upgrade` migrates it"
        )
    elif findings.schema == HEAD:
        findings.defects += schema_differences(connection)
    else:
        try:
            is_usable(findings.schema)
        except StorageError as error:
            findings.defects.append(str(error))
    if not findings.defects:
        row = connection.execute(select(func.count(), func.max(BANS.c.since))).one()
        findings.bans = row[0]
        if row[1] is not None:
            findings.newest_ban = datetime.datetime.fromtimestamp(row[1], datetime.UTC)


def _files_by_record(document: Document, files: list[Path]) -> dict[Path, list[Path]]:
    """The audit files of each node, by the path of the current one."""
    if not files:
        if document.audit_path is None:
            return {}
        record = rotation.absolute(document.audit_path)
        found = rotation.files_of(record)
        if not found:
            raise ConfigurationError.about("audit.path", f"{record} does not exist")
        return {record: found}
    return by_record(rotation.without_companions(files))


def _read_audit(document: Document, files: list[Path], findings: _Findings) -> None:
    """Verify the audit records as `anchor audit verify` does, and read their certificates."""
    try:
        records = _files_by_record(document, files)
        if not records:
            return
        findings.issuances = issuances = Issuances(now=utc_now())
        for record, paths in records.items():
            issuances.read(record, paths, _public_key(document, record))
    except (BrokenRecord, HeadDamaged) as error:
        findings.broken = str(error)
    except OSError as error:
        raise ConfigurationError.about("", describe_os_error(error)) from None


def _public_key(document: Document, record: Path) -> Ed25519PublicKey | None:
    """The key that verifies the checkpoints of a record; None if there is none."""
    names = [record.with_name(f"{record.name}.key")]
    configured = document.audit_path
    if document.audit_key_path and configured and configured.resolve() == record.resolve():
        names.insert(0, document.audit_key_path)
    for path in (path for name in names for path in (name.with_name(f"{name.name}.pub"), name)):
        if os.access(path, os.R_OK):
            try:
                return checkpoints.public_key_in(path)
            except ValueError as error:
                raise ConfigurationError.about("", str(error)) from None
    return None


def _as_text(findings: _Findings) -> Iterable[str]:
    name = findings.database
    if findings.defects:
        yield from (f"{name}: {defect}" for defect in findings.defects)
        return
    yield f"{name}: intact, with version {findings.schema} of the schema"
    if findings.broken is not None:
        yield f"the audit was not compared, because it is damaged: {findings.broken}"
    elif findings.issuances is None or findings.comparison is None:
        yield (
            "the audit was not compared: audit.target is not 'file'; give the audit files of all "
            "nodes"
        )
    else:
        yield from _comparison_as_text(findings.issuances, findings.comparison)
    yield from _not_audited(findings)


def _comparison_as_text(issuances: Issuances, comparison: Comparison) -> Iterable[str]:
    for record in issuances.records:
        yield (
            f"{record.path}: verified, events {record.report.first.number + 1} to "
            f"{record.report.last.number}, {_moment(record.begin)} to {_moment(record.end)}"
        )
    yield (
        f"the newest certificate: {_moment(comparison.newest)} in the database, "
        f"{_moment(issuances.newest)} in the audit"
    )
    if comparison.forgotten:
        yield (
            f"forgotten: {number_of(len(comparison.forgotten), 'certificate')} in force, in the "
            "audit but not in the database:"
        )
        for event in comparison.forgotten:
            yield f"  {printable(' '.join(map(str, _forgotten(event).values())))}"
    if comparison.forgotten_expired:
        yield (
            f"expired: {number_of(comparison.forgotten_expired, 'certificate')}, in the audit but "
            "not in the database: deleted by `anchor certs --prune`, or forgotten"
        )
    for token in comparison.revived_tokens:
        yield (
            f"revived: the token {printable(f'{token.token_id} of {token.requester}')} was used "
            f"{token.used} of {token.uses} times in the database, but {token.audited} times in the "
            f"audit: `anchor token revoke {printable(token.token_id)}`"
        )
    if comparison.unknown:
        yield (
            f"unknown: {number_of(len(comparison.unknown), 'certificate')}, in the database but "
            "not in the audit: the audit file of another node is missing, or the event could not "
            "be recorded, and then the certificate was not sent:"
        )
        yield from (f"  {fingerprint}" for fingerprint in comparison.unknown[:_SHOWN])
        if len(comparison.unknown) > _SHOWN:
            yield f"  and {len(comparison.unknown) - _SHOWN} more, which --json lists"
    if not (comparison.forgotten or comparison.unknown):
        yield "the database has all certificates in force that the audit has"


def _forgotten(event: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an audit event that describe a certificate."""
    return {
        "not_after": _moment(datetime.datetime.fromisoformat(event["not_after"])),
        "fingerprint": event["fingerprint"],
        "requester": event.get("user"),
        "names": " ".join(map(str, event.get("names") or [event.get("subject")])),
    }


def _not_audited(findings: _Findings) -> Iterable[str]:
    newest = ""
    if findings.newest_ban is not None:
        newest = f", the newest of {_moment(findings.newest_ban)}"
    yield f"bans are not in the audit: the database has {findings.bans}{newest}"
    yield (
        "A restored backup lacks the bans that were added after it was made, and has the bans again"
        " that were lifted, the tokens that were revoked, the certificates that were deleted, and "
        "the counts of failed authentications of that time. A ban file that was imported since is "
        "imported again. Compare the lists of `anchor ban` and `anchor token list`."
    )


def _moment(moment: datetime.datetime | None) -> str:
    return "none" if moment is None else timestamp(moment.astimezone(datetime.UTC))


def _as_json(findings: _Findings) -> dict[str, Any]:
    issuances, comparison = findings.issuances, findings.comparison
    return {
        "database": findings.database,
        "good": findings.are_good,
        "schema": findings.schema,
        "schema_of_this_program": HEAD,
        "defects": findings.defects,
        "bans": {"count": findings.bans, "newest": _or_null(findings.newest_ban)},
        "audit": issuances
        and {
            "error": findings.broken,
            "records": [
                {
                    "path": str(record.path),
                    "first": record.report.first.number + 1,
                    "last": record.report.last.number,
                    "begin": _moment(record.begin),
                    "end": _moment(record.end),
                }
                for record in issuances.records
            ],
            "newest": _or_null(issuances.newest),
        },
        "newest": comparison and _or_null(comparison.newest),
        "forgotten": comparison and list(map(_forgotten, comparison.forgotten)),
        "forgotten_expired": comparison and comparison.forgotten_expired,
        "unknown": comparison and comparison.unknown,
        "revived_tokens": comparison and [dict(vars(each)) for each in comparison.revived_tokens],
    }


def _or_null(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else _moment(moment)
