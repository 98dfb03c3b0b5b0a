"""Where the keys of an issuer come from: a file, or the issuer itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from anchor.auth.oidc.keys import MAX_BYTES, InvalidKeys, KeySet, parse_keys
from anchor.errors import BackendUnavailable

LOG = logging.getLogger(__name__)


class KeySource(Protocol):
    """Supplies the keys of an issuer."""

    def keys(self, has_key: Callable[[KeySet], bool]) -> KeySet:
        """The current keys.

        Args:
            has_key: whether the keys contain the one that is needed; if not, they may be fetched
                again.

        Raises:
            BackendUnavailable: there are no keys, or the needed key cannot be fetched now.
        """


def read_key_file(path: Path) -> KeySet:
    """The keys in a file.

    Raises:
        InvalidKeys: the file cannot be read, or is no key set.
    """
    try:
        with path.open("rb") as file:
            return parse_keys(file.read(MAX_BYTES + 1))
    except OSError as error:
        raise InvalidKeys(f"{path} cannot be read: {error.strerror}") from None


@dataclass(frozen=True)
class _Read:
    """The keys of a file, and the file's state before they were read."""

    state: tuple[int, ...]
    keys: KeySet
    broken_since: float | None = None


class KeyFile:
    """The keys in a file, which is read again when it changes.

    A file that is broken or gone leaves the last keys in use for a while, because it may be in the
    middle of a change.

    Args:
        path: the file.
        keep_keys: for how many seconds the last keys are used while the file is broken.
        clock: the time in seconds.

    Raises:
        InvalidKeys: the file cannot be used at the start.
    """

    def __init__(self, path: Path, keep_keys: float, clock: Callable[[], float] = time.monotonic):
        self._path = path
        self._keep_keys = keep_keys
        self._clock = clock
        # stat() before read(), so that a change in between is seen next time.
        self._read = _Read(_state(path), read_key_file(path))

    def keys(self, has_key: Callable[[KeySet], bool]) -> KeySet:
        """The keys in the file; ``has_key`` changes nothing."""
        del has_key
        read = self._read
        state = _state(self._path)
        # Not under a lock that a fork could leave locked: at worst two threads read the file.
        if state != read.state:
            self._read = read = self._reread(read, state)
        if read.broken_since is not None and self._clock() - read.broken_since >= self._keep_keys:
            raise BackendUnavailable(f"{self._path} has had no usable keys for too long")
        return read.keys

    def _reread(self, before: _Read, state: tuple[int, ...]) -> _Read:
        try:
            keys = read_key_file(self._path)
        except InvalidKeys as error:
            LOG.error("%s: the last good keys stay in use for a while: %s", self._path, error)
            since = self._clock() if before.broken_since is None else before.broken_since
            return _Read(state, before.keys, since)
        return _Read(state, keys)


def _state(path: Path) -> tuple[int, ...]:
    """What changes when the file changes; empty if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
