"""Refused PINs, which the processes of a service do not try again.

A token locks itself after a few wrong PINs, and workers that start together could use up all
attempts.  So they log in one after the other, and share refusals in a file (doc/adr/0034).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from anchor.runtime import process_directory, server

# The file contains records of a salt and a digest; these are their lengths in bytes.
_SALT, _DIGEST = 16, 32


class PinRefusals:
    """The refused PINs of all processes of a service."""

    def __init__(self) -> None:
        self._refused: set[tuple[str, str]] = set()
        # Determined before a fork, so that workers without a master share it too.
        self._path = _refusals_path()

    @contextmanager
    def login_lock(self, timeout: float) -> Iterator[LockedRefusals]:
        """Wait until no other process of the service logs in, and keep others out meanwhile.

        Args:
            timeout: seconds to wait.

        Raises:
            TimeoutError: other processes did not finish in time.
        """
        try:
            file = os.fdopen(os.open(self._path or "", os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        except OSError:
            # Without a shared file, each process tries a PIN once.
            yield LockedRefusals(self._refused, None)
            return
        with file:
            deadline = time.monotonic() + timeout
            while not _locked(file):
                if time.monotonic() > deadline:
                    raise TimeoutError
                time.sleep(0.01)
            yield LockedRefusals(self._refused, file)


class LockedRefusals:
    """The refused PINs, while no other process logs in."""

    def __init__(self, refused: set[tuple[str, str]], file: BinaryIO | None):
        self._refused = refused
        self._file = file

    def refused_before(self, token: str, pin: str) -> bool:
        """True if the token refused this PIN to any process of the service."""
        if (token, pin) in self._refused:
            return True
        if self._file is None:
            return False
        self._file.seek(0)
        while len(record := self._file.read(_SALT + _DIGEST)) == _SALT + _DIGEST:
            digest = _digest(token, pin, record[:_SALT])
            if hmac.compare_digest(record[_SALT:], digest):
                self._refused.add((token, pin))
                return True
        return False

    def add(self, token: str, pin: str) -> None:
        """Record that the token refused this PIN."""
        self._refused.add((token, pin))
        if self._file is not None:
            salt = secrets.token_bytes(_SALT)
            self._file.seek(0, os.SEEK_END)
            self._file.write(salt + _digest(token, pin, salt))
            self._file.flush()


def _digest(token: str, pin: str, salt: bytes) -> bytes:
    # scrypt is slow on purpose, since PINs are short.  It runs only after a refusal.
    return hashlib.scrypt(
        pin.encode(), salt=salt + token.encode(), n=1 << 14, r=8, p=1, dklen=_DIGEST
    )


def _locked(file: BinaryIO) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _refusals_path() -> Path | None:
    """The service's file, or None without a safe directory; remove files of ended services."""
    leader = server.leader()
    try:
        parent = Path(tempfile.gettempdir(), f"anchor-pins-{os.getuid()}")
        parent.mkdir(mode=0o700, exist_ok=True)
        status = parent.lstat()
        # Another user may have created this name in /tmp.
        if (
            not stat.S_ISDIR(status.st_mode)
            or status.st_uid != os.getuid()
            or status.st_mode & 0o077
        ):
            return None
        for other in parent.iterdir():
            pid, _, since = other.name.partition("_")
            if not pid.isdigit() or since != process_directory.start_time(int(pid)):
                other.unlink(missing_ok=True)
    except OSError:
        return None
    return parent / f"{leader}_{process_directory.start_time(leader)}"
