"""Keys that all processes of a service fetch from the issuer together (doc/adr/0049)."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from anchor.auth.circuit_breaker import SharedSlots
from anchor.auth.deadline import Deadline
from anchor.auth.oidc.discovery import FetchedKeys, FetchFailed, KeyFetcher
from anchor.auth.oidc.keys import InvalidKeys, KeySet, parse_keys
from anchor.auth.shared_state import SharedState
from anchor.errors import BackendUnavailable
from anchor.runtime import process_directory

LOG = logging.getLogger(__name__)

INTERVAL = 60.0
"""The shortest time between two attempts to fetch keys, in seconds, in all processes."""

INTERVAL_WITHOUT_KEYS = 10.0

_LONGEST_WAIT = 2.0
_STARTED, _ENDED, _FAILED, _COUNT = range(4)


class _Numbers(Protocol):
    def locked(self) -> AbstractContextManager[list[float]]: ...


@dataclass(frozen=True)
class _Cached:
    """Keys, and until when they are fresh."""

    keys: KeySet
    fetched: float
    fresh_until: float
    file: tuple[int, ...] = ()


class KeyCache:
    """The keys of an issuer, fetched when they are needed.

    One request fetches; the others use the last keys, or wait for two seconds at most if there are
    none.  The processes share the keys and the time of the last attempt in files, so that tokens
    with unknown keys cause one fetch a minute in the whole service.

    Args:
        fetcher: fetches the keys.
        keep_keys: for how many seconds keys that are no longer fresh are used while the issuer is
            away.
        shared: the directory of the files; without it each process fetches for itself.
        clock: the time in seconds since 1970.
        sleep: waits for the given seconds.
    """

    def __init__(
        self,
        fetcher: KeyFetcher,
        keep_keys: float,
        shared: SharedSlots | None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self._fetcher = fetcher
        self._keep_keys = keep_keys
        self._clock = clock
        self._sleep = sleep
        # Two requests, and half a second more, so that the better message of the library is first.
        self._deadline = Deadline(2 * fetcher.timeout + 0.5)
        self._cached: _Cached | None = None
        self._path: Path | None = None
        self._numbers: _Numbers = _ProcessNumbers(_COUNT)
        if shared is not None:
            # Other settings may trust other keys.
            digest = hashlib.sha256(repr(fetcher).encode()).hexdigest()[:16]
            self._path = shared.directory / f"{digest}.jwks"
            self._numbers = SharedState(
                self._path.with_suffix(".fetches"), _COUNT, process_directory.make
            )

    def keys(self, has_key: Callable[[KeySet], bool]) -> KeySet:
        """The keys, fetched again if they are old or do not contain the needed one.

        Raises:
            BackendUnavailable: there are no keys, or the issuer is away and may have a new key.
        """
        cached = self._current()
        if cached and self._clock() < cached.fresh_until and has_key(cached.keys):
            return cached.keys
        failed = self._refresh(may_wait=not (cached and has_key(cached.keys)), has_keys=cached)
        cached = self._current()
        if cached is None:
            raise BackendUnavailable(
                f"there are no keys of {self._fetcher.issuer}", int(INTERVAL_WITHOUT_KEYS)
            )
        if failed and not has_key(cached.keys):
            raise BackendUnavailable(
                f"the keys of {self._fetcher.issuer} could not be fetched again", int(INTERVAL)
            )
        return cached.keys

    def _current(self) -> _Cached | None:
        """The last keys that were fetched by any process, unless they are too old."""
        if self._path is not None:
            state = _state(self._path)
            if state and (self._cached is None or state != self._cached.file):
                self._cached = _read(self._path, state) or self._cached
        cached, now = self._cached, self._clock()
        # A clock that was set back makes old keys look new.
        if cached is None or not cached.fetched - 60 <= now < cached.fresh_until + self._keep_keys:
            return None
        return cached

    def _refresh(self, *, may_wait: bool, has_keys: _Cached | None) -> bool:
        """Fetch the keys, unless that is too soon; return whether the last attempt failed."""
        interval = INTERVAL if has_keys else INTERVAL_WITHOUT_KEYS
        with self._numbers.locked() as numbers:
            since = self._clock() - numbers[_STARTED]
            failed_before = bool(numbers[_FAILED])
            # A process that was killed never ends its attempt.
            running = numbers[_STARTED] > numbers[_ENDED] and 0 <= since <= self._longest_fetch()
            is_mine = not running and not 0 <= since < interval
            if is_mine:
                numbers[_STARTED] = self._clock()
        if is_mine:
            return self._fetch()
        if running and may_wait and not failed_before:
            return self._wait()
        return failed_before

    def _longest_fetch(self) -> float:
        return self._deadline.seconds + 1

    def _fetch(self) -> bool:
        fetched: FetchedKeys | None = None
        try:
            fetched = self._deadline.call(self._fetcher.fetch)
            self._keep(fetched)
        except (FetchFailed, BackendUnavailable) as error:
            LOG.error("the keys of %s cannot be fetched: %s", self._fetcher.issuer, error)
        finally:
            with self._numbers.locked() as numbers:
                numbers[_ENDED] = max(self._clock(), numbers[_STARTED])
                numbers[_FAILED] = float(fetched is None)
        return fetched is None

    def _keep(self, fetched: FetchedKeys) -> None:
        now = self._clock()
        fresh_until = now + fetched.max_age
        LOG.info("fetched %d keys of %s", len(fetched.keys.keys), self._fetcher.issuer)
        if self._path is not None:
            try:
                _write(self._path, fetched.encoded, now, fresh_until)
                self._cached = _Cached(fetched.keys, now, fresh_until, _state(self._path))
                return
            except OSError as error:
                LOG.error("%s: the processes cannot share keys: %s", self._path, error.strerror)
        self._cached = _Cached(fetched.keys, now, fresh_until)

    def _wait(self) -> bool:
        """Wait for another request's attempt; return whether it failed or takes too long."""
        end = time.monotonic() + _LONGEST_WAIT
        while time.monotonic() < end:
            self._sleep(0.02)
            with self._numbers.locked() as numbers:
                if numbers[_ENDED] >= numbers[_STARTED]:
                    return bool(numbers[_FAILED])
        return True


class _ProcessNumbers:
    """Numbers of each process alone; a lock that was taken during a fork stays in the parent."""

    def __init__(self, count: int):
        self._count = count
        self._here: dict[int, tuple[threading.Lock, list[float]]] = {}

    @contextmanager
    def locked(self) -> Iterator[list[float]]:
        fresh = (threading.Lock(), [0.0] * self._count)
        lock, numbers = self._here.setdefault(os.getpid(), fresh)
        with lock:
            yield numbers


def _state(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _read(path: Path, state: tuple[int, ...]) -> _Cached | None:
    """The keys that a process of this service wrote; None if they are damaged."""
    try:
        first, _, encoded = path.read_bytes().partition(b"\n")
        fetched, fresh_until = json.loads(first)
        return _Cached(parse_keys(encoded), float(fetched), float(fresh_until), state)
    except (OSError, TypeError, ValueError, InvalidKeys) as error:
        LOG.error("%s cannot be read: %s", path, type(error).__name__)
        return None


def _write(path: Path, encoded: bytes, fetched: float, fresh_until: float) -> None:
    process_directory.make(path.parent)
    new = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as stream:
        stream.write(json.dumps([fetched, fresh_until]).encode() + b"\n" + encoded)
    new.replace(path)
