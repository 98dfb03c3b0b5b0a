"""``anchor certs import``: import certificates that are stored in files."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding

from anchor.cli.configuration import read_configuration
from anchor.cli.database_access import open_database, output_directories
from anchor.cli.output import number_of
from anchor.cli.progress import Progress
from anchor.config.diagnostics import Diagnostics
from anchor.config.document import Document
from anchor.errors import ConfigurationError, StorageError
from anchor.store import stored_files
from anchor.store.database.certificates import Inventory
from anchor.store.record_reading import read_record
from anchor.store.records import CertificateRecord, Issuance
from anchor.store.stored_files import BrokenFile

# A transaction must not keep the service's writers waiting.
_BATCH = 200


class _Stored(NamedTuple):
    """A certificate in a file, and its names with their search keys."""

    path: Path
    record: CertificateRecord
    names: Mapping[str, str]


def run(namespace: argparse.Namespace) -> int:
    """Import the certificates below the directories."""
    document = read_configuration(namespace.config)
    directories = namespace.directories or output_directories(document)
    if not directories:
        raise ConfigurationError.about(
            "", "no signing CA has an output_path, so name a directory to import"
        )
    for directory in namespace.directories:
        if not directory.is_dir():
            raise ConfigurationError.about("", f"{directory} is not a directory")
    issuances = _issuances(document)
    inventory = Inventory(open_database(document, create=True))
    problems = Diagnostics()
    found = added = 0
    with Progress("files") as progress:
        stored = _read_all(directories, issuances, problems, progress)
        while batch := list(itertools.islice(stored, _BATCH)):
            found += len(batch)
            added += _add(inventory, batch, problems)
    known = f"; {found - added} were in it before or cannot be imported" if found > added else ""
    print(f"imported {number_of(added, 'certificate')} into {inventory.database}{known}")
    problems.raise_if_any()
    return 0


def _issuances(document: Document) -> Mapping[str, Issuance]:
    """How certificates were issued, according to the audit file; empty without one."""
    if document.audit_path is None:
        return {}
    # Imported here: only some configurations have an audit file.
    from anchor.audit.issuances import read_issuances  # noqa: PLC0415

    signing_cas = {
        name: section["signing_ca"]
        for name, section in document.registration_authority.items()
        if isinstance(section.get("signing_ca"), str)
    }
    try:
        return read_issuances(document.audit_path, signing_cas)
    except OSError as error:
        raise ConfigurationError.about(
            "audit.path", f"{error.filename or document.audit_path}: {error.strerror}"
        ) from None


def _read_all(
    directories: Iterable[Path],
    issuances: Mapping[str, Issuance],
    problems: Diagnostics,
    progress: Progress,
) -> Iterator[_Stored]:
    """The certificates below the directories; files without one are added to the problems."""
    for directory in directories:
        for path in stored_files.find_files(directory):
            progress.add(1)
            try:
                certificate = stored_files.read_certificate(path)
                if certificate is None:
                    continue
                record, names = read_record(certificate.public_bytes(Encoding.DER))
            except BrokenFile as error:
                problems.add("", str(error))
            except ValueError as error:
                problems.add("", f"{path} contains a malformed certificate: {error}")
            else:
                issuance = issuances.get(record.fingerprint)
                yield _Stored(path, replace(record, issuance=issuance), names)


def _add(inventory: Inventory, batch: list[_Stored], problems: Diagnostics) -> int:
    """Add certificates; one that the database refuses is added to the problems."""
    try:
        return inventory.add_all((stored.record, stored.names) for stored in batch)
    except StorageError:
        added = 0
        for stored in batch:
            try:
                added += inventory.add_all([(stored.record, stored.names)])
            except StorageError as error:
                problems.add("", f"{stored.path} cannot be imported: {error}")
        return added
