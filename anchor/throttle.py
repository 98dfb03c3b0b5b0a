"""Guessing secrets is slowed: who fails too often has to wait."""

from __future__ import annotations

import functools
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from ipaddress import IPv6Network, ip_address
from types import TracebackType

from anchor.errors import NotAuthenticated, TooManyAttempts

SIZE = 10_000

# A place, and a user name there, which has 256 octets at most.
Pair = tuple[str, str]


class Throttle:
    """Counts failures by address, and by address and user name.

    Never by the name alone: an outsider's failures do not lock a user out who asks from elsewhere.

    Args:
        failures: so many are free for a user name at an address; 0 counts none.
        address_failures: so many are free for all names at an address together; 0 counts none.
        window: for how many seconds, from the first failure on, they count.
        clock: tells the time, in seconds.
        size: how many addresses, and how many names at addresses, are remembered.
    """

    def __init__(
        self,
        failures: int = 10,
        address_failures: int = 100,
        window: float = 300,
        clock: Callable[[], float] = time.monotonic,
        size: int = SIZE,
    ):
        self._pairs = _Counts(failures, window, clock, size)
        self._addresses = _Counts(address_failures, window, clock, size)
        self._lock = threading.Lock()

    def attempt(self, address: str, user: str) -> _Attempt:
        """Let a block find out whether the credentials are right, unless too many were wrong.

        An attempt counts from its start, so that many at once are not all free.

        Raises:
            TooManyAttempts: when the block is entered: it is too early for another.
        """
        place = _network(address)
        return _Attempt(self, (place, user), place)

    def begin(self, pair: Pair, place: str) -> None:
        """Count an attempt; raises TooManyAttempts if it is too early."""
        with self._lock:
            wait = max(self._pairs.wait(pair), self._addresses.wait(place))
            if wait > 0:
                raise TooManyAttempts(math.ceil(wait))
            self._pairs.add(pair)
            self._addresses.add(place)

    def take_back(self, pair: Pair, place: str) -> None:
        """Nobody found out."""
        with self._lock:
            self._pairs.take_back(pair)
            self._addresses.take_back(place)

    def forgive(self, pair: Pair, place: str) -> None:
        """The credentials were right."""
        with self._lock:
            self._pairs.forget(pair)
            self._addresses.take_back(place)

    def remembered(self) -> int:
        """How many addresses, and names at addresses, are counted at the moment."""
        return len(self._pairs) + len(self._addresses)


class _Attempt:
    """A block in which it is found out whether credentials are right."""

    __slots__ = ("_pair", "_place", "_throttle")

    def __init__(self, throttle: Throttle, pair: Pair, place: str):
        self._throttle, self._pair, self._place = throttle, pair, place

    def __enter__(self) -> None:
        self._throttle.begin(self._pair, self._place)

    def __exit__(
        self, _kind: object, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._throttle.forgive(self._pair, self._place)
        elif not isinstance(error, NotAuthenticated):
            self._throttle.take_back(self._pair, self._place)


class _Counts:
    """The last ``size`` keys, and how often each was counted since when."""

    def __init__(self, limit: int, window: float, clock: Callable[[], float], size: int):
        self._limit = limit
        self._window = window
        self._clock = clock
        self._size = size
        self._counts: OrderedDict[Hashable, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    def wait(self, key: Hashable) -> float:
        """For how many seconds the key is over its limit."""
        known = self._counts.get(key)
        if known is None:
            return 0
        count, since = known
        left = since + self._window - self._clock()
        if left <= 0:
            del self._counts[key]
            return 0
        return left if self._limit and count >= self._limit else 0

    def add(self, key: Hashable) -> None:
        count, since = self._counts.get(key, (0, self._clock()))
        self._counts[key] = count + 1, since
        self._counts.move_to_end(key)
        if len(self._counts) > self._size:
            self._counts.popitem(last=False)

    def take_back(self, key: Hashable) -> None:
        count, since = self._counts.get(key, (0, 0.0))
        if count > 1:
            self._counts[key] = count - 1, since
        else:
            self.forget(key)

    def forget(self, key: Hashable) -> None:
        self._counts.pop(key, None)


@functools.lru_cache(maxsize=1024)
def _network(address: str) -> str:
    """One IPv6 client may have 2**64 addresses."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(IPv6Network((parsed.packed, 64), strict=False))
