"""What was issued: read from the directories in which certificates are stored."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from anchor.config.diagnostics import Diagnostics
from anchor.errors import ConfigurationError
from anchor.store import certificate_files, outline
from anchor.store.outline import Outline
from anchor.store.shares import in_processes
from anchor.timestamps import timestamp
from anchor.X509.name_matching import matches
from anchor.X509.written_names import canonical

# More than nearly every file has, in octets.
_MOST = 1 << 13
# More bytes than any certificate has.
_TOO_MANY = 1 << 20


class Stored(NamedTuple):
    """A certificate and the file it is in."""

    fingerprint: str
    path: str
    outline: Outline


Choice = Callable[[Stored], bool]
Shape = TypeVar("Shape")


def read_certificates(
    directories: Iterable[Path],
    choose: Choice,
    shape: Callable[[Stored], Shape],
    complaints: Diagnostics,
) -> list[Shape]:
    """What is wanted of the stored certificates that are chosen, each once.

    Both functions may be called in other processes; what the second one returns comes from there.

    Args:
        directories: of the stored certificates.
        choose: whether a certificate is wanted.
        shape: what is wanted of it.
        complaints: gets every file that should hold a certificate and does not.

    Raises:
        ConfigurationError: a directory cannot be read.
    """
    places: dict[str, str] = {}
    others: list[str] = []
    for directory in directories:
        if directory.is_dir():
            try:
                for place, names, more in certificate_files.stored(str(directory)):
                    places |= dict.fromkeys(names, place)
                    others += (f"{place}/{name}" for name in more)
            except OSError as error:
                raise ConfigurationError.about("", f"{directory}: {error.strerror}") from None

    def work(some: Sequence[str]) -> list[Shape | _Broken]:
        return [
            found if isinstance(found, _Broken) else shape(found)
            for name in some
            if (found := _stored(places[name], name)) is not None
            and (isinstance(found, _Broken) or choose(found))
        ]

    results = in_processes(work, list(places))
    # What has another name is not the service's certificate, and not listed.
    results += (broken for path in others if isinstance(broken := _read(path, ""), _Broken))
    for result in results:
        if isinstance(result, _Broken):
            complaints.add("", result.fault)
    return [result for result in results if not isinstance(result, _Broken)]


class _Broken(NamedTuple):
    """Why a file that should hold a certificate does not."""

    fault: str


def _stored(directory: str, name: str) -> Stored | _Broken | None:
    path = f"{directory}/{name}"
    if not certificate_files.is_certificate(name):
        found = _read(path, "")
        return found if isinstance(found, _Broken) else None
    return _read(path, name.removesuffix(certificate_files.SUFFIX))


def _read(path: str, fingerprint: str) -> Stored | _Broken | None:
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
        return Stored(fingerprint, path, outline.read(pem, fingerprint))
    except FileNotFoundError as error:
        # A link that leads nowhere is there.
        return _Broken(f"{path}: {error.strerror}") if os.path.islink(path) else None  # noqa: PTH114
    except OSError as error:
        return _Broken(f"{path}: {error.strerror}")
    except ValueError:
        return _Broken(f"{path} holds no certificate")


def every(_one: Stored) -> bool:
    """Any certificate is chosen."""
    return True


def good_for(name: str) -> Choice:
    """Whether a client would accept a certificate for a name, wildcards included."""
    wanted = canonical(name)

    def choose(one: Stored) -> bool:
        outline = one.outline
        # Nearly all are told by how they end.
        if outline.is_usual and not any(
            found.endswith(wanted) or "*" in found for found in outline.names
        ):
            return False
        return any(matches(holder, wanted) for holder in outline.plain_names)

    return choose


def in_force(now: datetime.datetime) -> Choice:
    """Whether a certificate has not expired."""
    moment = timestamp(now)
    return lambda one: one.outline.not_after >= moment


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


def prune(directories: Iterable[Path], before: datetime.datetime, complaints: Diagnostics) -> int:
    """Delete the certificates that had expired by then.

    Args:
        directories: where the certificates are.
        before: the moment by which they had expired.
        complaints: gets every file that should hold a certificate and does not; it stays.

    Returns:
        how many certificates were deleted.

    Raises:
        ConfigurationError: one of them cannot be deleted.
    """
    moment = timestamp(before)
    expired = read_certificates(
        directories,
        lambda one: one.outline.not_after < moment,
        lambda one: one.path,
        complaints,
    )
    try:
        for path in expired:
            Path(path).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError.about("", f"{error.filename}: {error.strerror}") from None
    return len(expired)
