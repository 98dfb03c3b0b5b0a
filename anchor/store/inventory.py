"""What was issued: read from the directories in which certificates are stored."""

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
from anchor.X509.written_names import canonical

# More than nearly every file has, in octets.
_MOST = 1 << 13
# More bytes than any certificate has.
_TOO_MANY = 1 << 20


Choice = Callable[[StoredCertificate], bool]
Shape = TypeVar("Shape")


def read_certificates(
    directories: Iterable[Path],
    choose: Choice,
    shape: Callable[[StoredCertificate], Shape],
    problems: Diagnostics,
) -> list[Shape]:
    """Read the stored certificates and return what is wanted of those chosen, each once.

    Args:
        directories: where certificates are stored.
        choose: whether a certificate is wanted.
        shape: what is wanted of it.
        problems: gets every file that should hold a certificate and does not.

    Raises:
        ConfigurationError: a directory cannot be read.
    """
    directory_of: dict[str, str] = {}
    others: list[str] = []
    for directory in directories:
        if directory.is_dir():
            try:
                for place, names, more in certificate_files.stored(str(directory)):
                    directory_of |= dict.fromkeys(names, place)
                    others += (f"{place}/{name}" for name in more)
            except OSError as error:
                raise ConfigurationError.about("", f"{directory}: {error.strerror}") from None
    results = []
    for name, path in directory_of.items():
        found = _read(f"{path}/{name}")
        if isinstance(found, _Broken):
            problems.add("", found.fault)
        # What has another name is not the service's certificate, and not listed.
        elif found is not None and certificate_files.is_certificate(name) and choose(found):
            results.append(shape(found))
    for path in others:
        if isinstance(broken := _read(path), _Broken):
            problems.add("", broken.fault)
    return results


class _Broken(NamedTuple):
    """Why a file that should hold a certificate does not."""

    fault: str


def _read(path: str) -> StoredCertificate | _Broken | None:
    """The certificate in a file; None if it has just been pruned."""
    try:
        # Not waiting for whoever writes into it, if it is no file but a pipe.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            pem = os.read(file, _MOST)
            while len(pem) % _MOST == 0 and (more := os.read(file, _MOST)):
                pem += more
                if len(pem) > _TOO_MANY:
                    return _Broken(f"{path} is larger than {_TOO_MANY} bytes: no certificate")
        finally:
            os.close(file)
        return StoredCertificate(pem, path)
    except FileNotFoundError as error:
        # A link that leads nowhere is there.
        return _Broken(f"{path}: {error.strerror}") if os.path.islink(path) else None  # noqa: PTH114
    except OSError as error:
        return _Broken(f"{path}: {error.strerror}")
    except ValueError:
        return _Broken(f"{path} holds no certificate")


def every(_one: StoredCertificate) -> bool:
    """Any certificate is chosen."""
    return True


def good_for(name: str) -> Choice:
    """Whether a client would accept a certificate for a name, wildcards included."""
    wanted = canonical(name)

    return lambda one: any(matches(holder, wanted) for holder in one.plain_names)


def in_force(now: datetime.datetime) -> Choice:
    """Whether a certificate has not expired."""
    moment = timestamp(now)
    return lambda one: one.not_after >= moment


def remove_leftovers(directories: Iterable[Path], now: datetime.datetime) -> int:
    """Remove the temporary files of killed writers; returns how many.

    Raises:
        ConfigurationError: one of them cannot be removed.
    """
    try:
        return sum(
            certificate_files.remove_leftovers(path, now.timestamp()) for path in directories
        )
    except OSError as error:
        raise ConfigurationError.about("", f"{error.filename}: {error.strerror}") from None


def prune(directories: Iterable[Path], before: datetime.datetime, problems: Diagnostics) -> int:
    """Delete the certificates that had expired by then.

    Args:
        directories: where the certificates are.
        before: the moment by which they had expired.
        problems: gets every file that should hold a certificate and does not; it stays.

    Returns:
        how many certificates were deleted.

    Raises:
        ConfigurationError: one of them cannot be deleted.
    """
    moment = timestamp(before)
    expired = read_certificates(
        directories,
        lambda one: one.not_after < moment,
        lambda one: one.path,
        problems,
    )
    try:
        for path in expired:
            Path(path).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError.about("", f"{error.filename}: {error.strerror}") from None
    return len(expired)
