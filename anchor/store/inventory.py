"""The inventory: certificates read from the directories in which they are stored."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

from anchor.config.diagnostics import Diagnostics
from anchor.errors import ConfigurationError
from anchor.store import certificate_files
from anchor.store.stored_certificate import StoredCertificate
from anchor.timestamps import timestamp
from anchor.X509.name_matching import matches
from anchor.X509.name_parsing import canonical

# Nearly every file fits in one block of this many bytes.
_BLOCK = 1 << 13
# No certificate has more bytes.
_MAX_BYTES = 1 << 20

Predicate = Callable[[StoredCertificate], bool]
Result = TypeVar("Result")


def read_certificates(
    directories: Iterable[Path],
    predicate: Predicate,
    convert: Callable[[StoredCertificate], Result],
    problems: Diagnostics,
) -> list[Result]:
    """Read the stored certificates; return a value for each certificate that matches.

    Args:
        directories: where certificates are stored.
        predicate: whether to include a certificate.
        convert: makes the value for a certificate.
        problems: gets every file that should hold a certificate and does not.

    Raises:
        ConfigurationError: a directory cannot be read.
    """
    directory_of: dict[str, str] = {}
    others: list[str] = []
    for directory in directories:
        if directory.is_dir():
            try:
                for path, names, more in certificate_files.list_certificate_files(str(directory)):
                    directory_of |= dict.fromkeys(names, path)
                    others += (f"{path}/{name}" for name in more)
            except OSError as error:
                raise ConfigurationError.about("", f"{directory}: {error.strerror}") from None
    results = []
    for name, path in directory_of.items():
        certificate = _read(f"{path}/{name}")
        if isinstance(certificate, _Broken):
            problems.add("", certificate.reason)
        # A certificate under another name is not from the service.
        elif certificate and certificate_files.is_certificate(name) and predicate(certificate):
            results.append(convert(certificate))
    for path in others:
        if isinstance(broken := _read(path), _Broken):
            problems.add("", broken.reason)
    return results


class _Broken(NamedTuple):
    """Why a file that should hold a certificate does not."""

    reason: str


def _read(path: str) -> StoredCertificate | _Broken | None:
    """The certificate in a file; None if the file has just been deleted."""
    try:
        # O_NONBLOCK: the path may be a pipe.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            pem = os.read(file, _BLOCK)
            while len(pem) % _BLOCK == 0 and (more := os.read(file, _BLOCK)):
                pem += more
                if len(pem) > _MAX_BYTES:
                    return _Broken(f"{path} is larger than {_MAX_BYTES} bytes: no certificate")
        finally:
            os.close(file)
        return StoredCertificate(pem, path)
    except FileNotFoundError as error:
        # A symbolic link without a target exists.
        return _Broken(f"{path}: {error.strerror}") if os.path.islink(path) else None  # noqa: PTH114
    except OSError as error:
        return _Broken(f"{path}: {error.strerror}")
    except ValueError:
        return _Broken(f"{path} holds no certificate")


def any_certificate(_certificate: StoredCertificate) -> bool:
    """Match every certificate."""
    return True


def valid_for(name: str) -> Predicate:
    """Match certificates that clients accept for a name, also by a wildcard."""
    canonical_name = canonical(name)
    return lambda certificate: any(
        matches(pattern, canonical_name) for pattern in certificate.plain_names
    )


def in_force(now: datetime.datetime) -> Predicate:
    """Match certificates that have not expired."""
    moment = timestamp(now)
    return lambda certificate: certificate.not_after >= moment


def remove_leftovers(directories: Iterable[Path], now: datetime.datetime) -> int:
    """Remove the temporary files of killed writers, and return how many there were.

    Raises:
        ConfigurationError: a file cannot be removed.
    """
    try:
        return sum(
            certificate_files.remove_leftovers(path, now.timestamp()) for path in directories
        )
    except OSError as error:
        raise ConfigurationError.about("", f"{error.filename}: {error.strerror}") from None


def prune(directories: Iterable[Path], before: datetime.datetime, problems: Diagnostics) -> int:
    """Delete the certificates that expired before a moment.

    Args:
        directories: where certificates are stored.
        before: the moment, in UTC.
        problems: gets every file that should hold a certificate and does not; the file is kept.

    Returns:
        The number of deleted certificates.

    Raises:
        ConfigurationError: a certificate cannot be deleted.
    """
    moment = timestamp(before)
    expired = read_certificates(
        directories,
        lambda certificate: certificate.not_after < moment,
        lambda certificate: certificate.path,
        problems,
    )
    try:
        for path in expired:
            Path(path).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError.about("", f"{error.filename}: {error.strerror}") from None
    return len(expired)
