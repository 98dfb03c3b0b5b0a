"""The keys for the checkpoints of records, and the copied checkpoints that they signed."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from anchor.audit import checkpoints, rotation
from anchor.audit.checkpoints import Checkpoint
from anchor.cli.configuration import read_configuration
from anchor.config.document import Document
from anchor.errors import ConfigurationError


def configured_file(document: Document) -> Path:
    """The configured audit file.

    Raises:
        ConfigurationError: there is none, or neither it nor a rotated file exists.
    """
    path = document.audit_path
    if path is None:
        raise ConfigurationError.about("audit.target", "is not 'file'")
    # Until an event follows a rotation, there are only rotated files.
    if not path.exists() and not any(rotation.rotated_files(path)):
        raise ConfigurationError.about("audit.path", f"{path} is not there")
    return path


class RecordKey(NamedTuple):
    """The public key for a record's checkpoints, and its name in messages; None without a key."""

    key: Ed25519PublicKey | None
    name: str | None


def find_key(given: Path | None, config: Path | None, record: Path) -> RecordKey:
    """The key that was given, the configured one, or the one beside the record.

    Raises:
        ConfigurationError: a file contains no key for checkpoints.
    """
    if given is not None:
        return RecordKey(_read(given), "the key")
    names = [record.with_name(f"{record.name}.key")]
    if (configured := _configured_key(config, record)) is not None:
        names.insert(0, configured)
    for path in (path for name in names for path in (name.with_name(f"{name.name}.pub"), name)):
        if os.access(path, os.R_OK):
            return RecordKey(_read(path), f"the key in {path}")
    return RecordKey(None, None)


def _read(path: Path) -> Ed25519PublicKey:
    try:
        return checkpoints.public_key_in(path)
    except ValueError as error:
        raise ConfigurationError.about("", f"{error}") from None


def _configured_key(config: Path | None, record: Path) -> Path | None:
    """The configured key for checkpoints, if this record is the configured one."""
    try:
        document = read_configuration(config)
    except ConfigurationError:
        if config is not None:
            raise
        # A machine that only verifies has no configuration.
        return None
    configured = document.audit_path
    is_this = configured is not None and configured.resolve() == record.resolve()
    return document.audit_key_path if is_this else None


def signed_copies(
    logs: Iterable[Path], keys: Collection[Ed25519PublicKey | None]
) -> list[Checkpoint]:
    """The checkpoints in logs that one of the keys signed; all of them if a key is None.

    Raises:
        ConfigurationError: there is none in one of the logs.
    """
    return [copy for log in logs for copy in _copies(log, keys)]


def _copies(path: Path, keys: Collection[Ed25519PublicKey | None]) -> list[Checkpoint]:
    with rotation.open_file(path) as file:
        copies = list(checkpoints.find_checkpoints(file.read().decode("utf-8", "replace")))
    # A log also contains text from requesters, who could forge unsigned checkpoints.
    signed = [copy for copy in copies if any(key is None or copy.is_signed_by(key) for key in keys)]
    if len(signed) < len(copies):
        print(
            f"{path}: {len(copies) - len(signed)} of {len(copies)} checkpoints are not signed with "
            "the audit's key, and do not count",
            file=sys.stderr,
        )
    if not signed:
        raise ConfigurationError.about("", f"{path} has no checkpoint in it")
    return signed
