"""Issued certificates as files, named after their SHA-256 fingerprints."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path
from typing import Protocol

from anchor.errors import ConfigurationError, StorageError

SUFFIX = ".crt"

_FILE = re.compile(rf"[0-9a-f]{{64}}{re.escape(SUFFIX)}", re.ASCII).fullmatch
# The names of files that are being written.
_TEMPORARY = re.compile(r"\.(?:[0-9a-f]{64}|ready)\.[0-9a-f]{8}", re.ASCII).fullmatch
# A writer needs less than a second. After an hour its temporary file is removed.
_STALE_SECONDS = 3600
# The largest certificate, in bytes.
_MAX_BYTES = 8192


class Store(Protocol):
    """The interface of a store of issued certificates."""

    def put(self, fingerprint: str, pem: bytes) -> None:
        """Store a certificate durably.

        Raises:
            StorageError: the certificate could not be stored.
        """

    def ready(self) -> None:
        """Check that a certificate could be stored now.

        Raises:
            StorageError: it could not be stored.
        """


class NullStore:
    """Stores nothing, for an authority without an ``output_path``."""

    def put(self, fingerprint: str, pem: bytes) -> None:
        """Do nothing."""

    def ready(self) -> None:
        """Do nothing."""


class CertificateDirectory:
    """Stores certificates as ``<fingerprint>.crt`` in a directory.

    A file appears under its name complete or not at all, and is synced to disk before :meth:`put`
    returns.  Any number of threads and processes may write into one directory.
    """

    def __init__(self, path: Path):
        self._path = str(path)

    def put(self, fingerprint: str, pem: bytes) -> None:
        """Write the certificate to a temporary file, then rename it."""
        try:
            directory = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                temporary = f".{fingerprint}.{os.urandom(4).hex()}"
                _write(directory, temporary, pem)
                _rename(directory, temporary, f"{fingerprint}{SUFFIX}")
                # The new name is on disk only after the directory is synced.
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror}") from error

    def ready(self) -> None:
        """Allocate the space for a certificate, and free it again."""
        path = Path(self._path, f".ready.{os.urandom(4).hex()}")
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(file, 0, _MAX_BYTES)
            finally:
                os.close(file)
                path.unlink()
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror}") from error


def _write(directory: int, name: str, contents: bytes) -> None:
    """Write a new file, and sync it to disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    file = os.open(name, flags, 0o644, dir_fd=directory)
    try:
        if os.write(file, contents) != len(contents):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file)
    except BaseException:
        os.unlink(name, dir_fd=directory)
        raise
    finally:
        os.close(file)


def _rename(directory: int, temporary: str, name: str) -> None:
    try:
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.unlink(temporary, dir_fd=directory)
        raise


def remove_leftovers(path: Path, now: float) -> int:
    """Remove the temporary files of killed writers, and return how many there were.

    Args:
        path: the directory of a :class:`CertificateDirectory`; it need not exist.
        now: the time in seconds since the epoch.

    Raises:
        OSError: the directory cannot be read, or a file cannot be removed.
    """
    removed = 0
    if not path.is_dir():
        return removed
    with os.scandir(path) as entries:
        for entry in entries:
            if _TEMPORARY(entry.name) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat(follow_symlinks=False).st_mtime < now - _STALE_SECONDS:
                        Path(entry.path).unlink()
                        removed += 1
    return removed


def is_certificate_name(name: str) -> bool:
    """True if :class:`CertificateDirectory` can have written a file of this name."""
    return _FILE(name) is not None


def load_store(path: Path | None) -> Store:
    """The store in a directory, which is created if it does not exist.

    Raises:
        ConfigurationError: the directory cannot be created or written to.
    """
    if path is None:
        return NullStore()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError.about("", f"{path}: {error.strerror}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigurationError.about("", f"{path} is not writable")
    return CertificateDirectory(path)
