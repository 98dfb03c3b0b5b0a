"""PINs that a token refused: the processes of one service try none of them twice.

Tokens lock themselves after a few wrong PINs.  Workers that start together would use those up, so
they log in one after the other, and tell each other about a refusal in a file (doc/adr/0034).
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

# A record: the salt, and the digest.
_SALT, _DIGEST = 16, 32


class PinRefusals:
    """The refusals that the processes of one service know of."""

    def __init__(self) -> None:
        self._known: set[tuple[str, str]] = set()
        # Found before a fork, so that workers have it in common even without a master.
        self._path = _place()

    @contextmanager
    def turn(self, patience: float) -> Iterator[Turn]:
        """A turn at logging in; no other process of the service has one meanwhile.

        Args:
            patience: seconds to wait for it.

        Raises:
            TimeoutError: other processes did not finish.
        """
        try:
            file = os.fdopen(os.open(self._path or "", os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        except OSError:
            # Without a shared place each process tries once.
            yield Turn(self._known, None)
            return
        with file:
            deadline = time.monotonic() + patience
            while not _locked(file):
                if time.monotonic() > deadline:
                    raise TimeoutError
                time.sleep(0.01)
            yield Turn(self._known, file)


class Turn:
    """What may be asked and added while no other process logs in."""

    def __init__(self, known: set[tuple[str, str]], file: BinaryIO | None):
        self._known = known
        self._file = file

    def refused_before(self, token: str, pin: str) -> bool:
        """True if a process of this service had this PIN refused by this token."""
        if (token, pin) in self._known:
            return True
        if self._file is None:
            return False
        self._file.seek(0)
        while len(record := self._file.read(_SALT + _DIGEST)) == _SALT + _DIGEST:
            digest = _digest(token, pin, record[:_SALT])
            if hmac.compare_digest(record[_SALT:], digest):
                self._known.add((token, pin))
                return True
        return False

    def add(self, token: str, pin: str) -> None:
        """Note a refusal."""
        self._known.add((token, pin))
        if self._file is not None:
            salt = secrets.token_bytes(_SALT)
            self._file.seek(0, os.SEEK_END)
            self._file.write(salt + _digest(token, pin, salt))
            self._file.flush()


def _digest(token: str, pin: str, salt: bytes) -> bytes:
    # Slow on purpose: PINs are short.  It is computed only after a refusal.
    return hashlib.scrypt(
        pin.encode(), salt=salt + token.encode(), n=1 << 14, r=8, p=1, dklen=_DIGEST
    )


def _locked(file: BinaryIO) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _place() -> Path | None:
    """The file of this service, or None; those of services that have ended are removed."""
    leader = server.leader()
    try:
        parent = Path(tempfile.gettempdir(), f"anchor-pins-{os.getuid()}")
        parent.mkdir(mode=0o700, exist_ok=True)
        found = parent.lstat()
        # Everybody may write to /tmp, so somebody may have been there before.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            return None
        for other in parent.iterdir():
            pid, _, since = other.name.partition("_")
            if not pid.isdigit() or since != process_directory.start_time(int(pid)):
                other.unlink(missing_ok=True)
    except OSError:
        return None
    return parent / f"{leader}_{process_directory.start_time(leader)}"
