"""Issued certificates on disk, each under its SHA-256 fingerprint."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from anchor.errors import ConfigurationError, StorageError

SUFFIX = ".crt"

_FILE = re.compile(rf"[0-9a-f]{{64}}{re.escape(SUFFIX)}", re.ASCII).fullmatch
_LENGTH = 64 + len(SUFFIX)
# The names of files that are being written, see Directory.
_PASSING = re.compile(r"\.(?:[0-9a-f]{64}|ready)\.[0-9a-f]{8}", re.ASCII).fullmatch
# A writer needs its file for less than a second. Who still writes after an hour gets an error.
_STALE_SECONDS = 3600
# As much as a certificate may take, in octets.
ROOM = 8192


class Store(Protocol):
    """Keeps issued certificates."""

    def put(self, fingerprint: str, pem: bytes) -> None:
        """Keep a certificate; once this returns it will not be lost.

        Raises:
            StorageError: it could not be kept.
        """

    def ready(self) -> None:
        """Return if a certificate could be kept now.

        Raises:
            StorageError: it could not.
        """


class NullStore:
    """Keeps nothing, for an authority without an ``output_path``."""

    def put(self, fingerprint: str, pem: bytes) -> None:
        """Forget the certificate."""

    def ready(self) -> None:
        """It always can."""


class CertificateDirectory:
    """Keeps certificates as ``<fingerprint>.crt`` in a directory.

    A file appears under its name whole or not at all, and is on disk, name and contents, before
    :meth:`put` returns.  Any number of threads and processes may write into one directory.
    """

    def __init__(self, path: Path):
        # A Path makes its text anew for each call.
        self._path = str(path)

    def put(self, fingerprint: str, pem: bytes) -> None:
        """Write the certificate under a passing name, then give it its own."""
        try:
            directory = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                passing = f".{fingerprint}.{os.urandom(4).hex()}"
                _write(directory, passing, pem)
                _name(directory, passing, f"{fingerprint}{SUFFIX}")
                # A new name is on disk only once its directory is.
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror}") from error

    def ready(self) -> None:
        """Take the room of a certificate, and give it back."""
        path = Path(self._path, f".ready.{os.urandom(4).hex()}")
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(file, 0, ROOM)
            finally:
                os.close(file)
                path.unlink()
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror}") from error


def _write(directory: int, name: str, contents: bytes) -> None:
    """A new file, on disk."""
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


def _name(directory: int, passing: str, name: str) -> None:
    try:
        os.rename(passing, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.unlink(passing, dir_fd=directory)
        raise


def remove_leftovers(path: Path, now: float) -> int:
    """Remove the files that killed writers have left in a directory; returns how many.

    Args:
        path: the directory of a :class:`Directory`; it need not exist.
        now: the time in seconds since the epoch.

    Raises:
        OSError: the directory cannot be read, or one of the files not be removed.
    """
    removed = 0
    if not path.is_dir():
        return removed
    with os.scandir(path) as entries:
        for entry in entries:
            if _PASSING(entry.name) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat(follow_symlinks=False).st_mtime < now - _STALE_SECONDS:
                        Path(entry.path).unlink()
                        removed += 1
    return removed


def stored(path: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """The directories at and under a path, and the names in each that certificates may have.

    Whether they do have them :func:`is_certificate` tells: for a hundred thousand that takes a good
    part of a second, and can be asked by several processes. The third item are the other files
    that end in ``.crt``, whose names do not say that they are certificates of the service.
    """
    found = os.listdir(path)  # noqa: PTH208  # a Path for each would take another second
    names = [name for name in found if _may_be_a_certificate(name)]
    if len(names) == len(found):
        yield path, names, []
        return
    others = [name for name in found if not _may_be_a_certificate(name)]
    directories = {name for name in others if _is_directory(f"{path}/{name}")}
    yield (
        path,
        names,
        [
            name
            for name in others
            if name.endswith(SUFFIX) and not name.startswith(".") and name not in directories
        ],
    )
    for name in directories:
        yield from stored(f"{path}/{name}")


def _may_be_a_certificate(name: str) -> bool:
    return len(name) == _LENGTH and name.endswith(SUFFIX)


def is_certificate(name: str) -> bool:
    """Whether a file of that name is one of a certificate."""
    return _FILE(name) is not None


def _is_directory(path: str) -> bool:
    return not os.path.islink(path) and os.path.isdir(path)  # noqa: PTH112, PTH114  # see above


def load_store(path: Path | None) -> Store:
    """The store at a path, made if it is not there yet.

    Raises:
        ConfigurationError: it cannot be made or written to.
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
