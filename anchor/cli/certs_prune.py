"""``anchor certs --prune``: delete expired certificates and tokens."""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from anchor.cli.configuration import read_configuration
from anchor.cli.database_access import open_database, output_directories
from anchor.cli.output import number_of
from anchor.cli.progress import Progress
from anchor.config.diagnostics import Diagnostics
from anchor.errors import ConfigurationError
from anchor.store import certificate_files, stored_files
from anchor.store.database.certificates import Inventory, Selection
from anchor.store.database.tokens import Tokens
from anchor.store.stored_files import BrokenFile
from anchor.timestamps import utc_now

# Seconds between transactions: a waiting writer looks for SQLite's lock every few milliseconds.
_PAUSE = 0.01

_FILTERS = {
    "valid_for": "--for",
    "requester": "--requester",
    "authority": "--authority",
    "key": "--key",
    "serial": "--serial",
    "token": "--token",
    "account": "--account",
    "renewed_from": "--renewed-from",
    "since": "--since",
    "in_force": "--in-force",
    "expired": "--expired",
    "expiring": "--expiring",
    "limit": "--limit",
    "json": "--json",
}


def run(namespace: argparse.Namespace) -> int:
    """Delete the expired certificates and tokens of the database, and the certificates' files."""
    if given := [
        option for name, option in _FILTERS.items() if getattr(namespace, name) not in (None, False)
    ]:
        raise ConfigurationError.about(
            "", f"--prune deletes all expired certificates: it cannot be used with {given[0]}"
        )
    now = utc_now()
    before = _before(now, namespace.older_than or 0.0)
    document = read_configuration(namespace.config)
    directories = output_directories(document)
    inventory = Inventory(open_database(document))
    tokens = Tokens(inventory.database)
    expired = Selection(ends_before=before)
    problems = Diagnostics()
    if namespace.dry_run:
        certificates = number_of(inventory.count(expired), "certificate")
        print(f"would delete {certificates} from {inventory.database}")
        if ended := tokens.count_ended(before):
            print(f"would delete {ended} tokens that had expired or were revoked")
        if files := sum(1 for _ in _expired_files(directories, before, problems)):
            print(f"would delete {number_of(files, 'file')} of expired certificates")
        problems.raise_if_any()
        return 0
    deleted = 0
    with Progress("certificates deleted", inventory.count(expired)) as progress:
        for count in inventory.prune(before):
            deleted += count
            progress.add(count)
            time.sleep(_PAUSE)
    print(f"deleted {number_of(deleted, 'certificate')} from {inventory.database}")
    if ended := tokens.prune(before):
        print(f"deleted {ended} tokens that had expired or were revoked")
    if files := _delete_files(directories, before, problems):
        print(f"deleted {number_of(files, 'file')} of expired certificates")
    if leftovers := _remove_leftovers(directories, now):
        print(f"deleted {leftovers} temporary files of writers that were killed")
    problems.raise_if_any()
    return 0


def _before(now: datetime.datetime, days: float) -> datetime.datetime:
    try:
        return now - datetime.timedelta(days=days)
    except OverflowError:
        return datetime.datetime.min.replace(tzinfo=datetime.UTC)


def _delete_files(
    directories: Iterable[Path], before: datetime.datetime, problems: Diagnostics
) -> int:
    """Delete the files of certificates that expired before a time; return their number."""
    deleted = 0
    with Progress("files deleted") as progress:
        for path in _expired_files(directories, before, problems):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise ConfigurationError.about("", f"{path}: {error.strerror}") from None
            deleted += 1
            progress.add(1)
    return deleted


def _expired_files(
    directories: Iterable[Path], before: datetime.datetime, problems: Diagnostics
) -> Iterator[Path]:
    """The files of certificates that expired before a time.

    Args:
        directories: where the service stores certificates.
        before: the time, in UTC.
        problems: gets every file that should contain a certificate and does not.
    """
    end = before.replace(microsecond=0)
    for directory in directories:
        for path in stored_files.find_files(directory):
            try:
                certificate = stored_files.read_certificate(path)
            except BrokenFile as error:
                problems.add("", str(error))
                continue
            # A file with another name is not from the service.
            if (
                certificate is not None
                and certificate_files.is_certificate_name(path.name)
                and certificate.not_valid_after_utc < end
            ):
                yield path


def _remove_leftovers(directories: Iterable[Path], now: datetime.datetime) -> int:
    try:
        return sum(
            certificate_files.remove_leftovers(path, now.timestamp()) for path in directories
        )
    except OSError as error:
        raise ConfigurationError.about("", f"{error.filename}: {error.strerror}") from None
