"""Locks, so that only one run at a time changes the same files."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from anchor.client import files, trust
from anchor.client.errors import Unavailable, Unwritable

# The seconds to wait for another run.
TIMEOUT = 120.0


@contextlib.contextmanager
def exclusive(path: Path, timeout: float | None = None) -> Iterator[None]:
    """Hold a lock during the block; the kernel releases it if the process is killed.

    Args:
        path: the lock file; it is made if needed, and never removed.
        timeout: the seconds to wait for another run; ``TIMEOUT`` if None.

    Raises:
        Unavailable: another run held the lock for longer than that.
        Unwritable: the lock file cannot be made.
        Untrusted: another user could change the directory.
    """
    try:
        files.make_directory(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Unwritable(f"{path}: {error.strerror}") from None
    try:
        _wait(descriptor, path, time.monotonic() + (TIMEOUT if timeout is None else timeout))
        # Another user may have made the directory just before us, for example in /tmp.
        trust.require(path.parent)
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Unavailable(f"{path.parent}: another run is at work on it") from None
            time.sleep(0.1)
        except OSError as error:
            raise Unwritable(f"{path}: {error.strerror}") from None
