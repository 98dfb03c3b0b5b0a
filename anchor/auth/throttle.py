"""Limits on failed authentications: after too many, a requester has to wait."""

from __future__ import annotations

import functools
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from ipaddress import IPv6Network, ip_address
from types import TracebackType
from typing import NamedTuple

from anchor.auth import principals
from anchor.errors import NotAuthenticated, TooManyAttempts

SIZE = 10_000


class _Who(NamedTuple):
    """A user at a place.

    Attributes:
        place: the client's address or network.
        name: one text for all spellings of a name.
        known: whether the name is the backend's own, rather than what the client sent.
    """

    place: str
    name: str
    known: bool = False


class Failures:
    """Counts of failures, by address, and by address and user.

    All registration authorities that ask one authentication share them.

    Args:
        clock: tells the time, in seconds.
        size: how many addresses, and how many users at addresses, are remembered.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, size: int = SIZE):
        self.lock = threading.Lock()
        self._clock = clock
        self._size = size
        self._windows: dict[float, _Window] = {}

    def window(self, seconds: float) -> _Window:
        """The counts of failures that count for so many seconds, from the first of them on."""
        if seconds not in self._windows:
            self._windows[seconds] = _Window(
                _Counts(seconds, self._clock, self._size), _Counts(seconds, self._clock, self._size)
            )
        return self._windows[seconds]

    def __iter__(self) -> Iterator[_Window]:
        """All counts: a failure is one whichever authority it was at."""
        return iter(self._windows.values())


class Throttle:
    """Limits failures by address, and by address and user.

    Never by the user alone: an outsider's failures do not lock a user out who asks from elsewhere.
    The spellings of a name that a directory may take for one user count as one.

    Args:
        failures: so many are free for a user at an address; 0 for any number.
        address_failures: so many are free for all users at an address together; 0 for any number.
        window: for how many seconds, from the first failure on, they count.
        clock: tells the time, in seconds.
        size: how many addresses, and how many users at addresses, are remembered.
        shared: the counts of the authentication, instead of some of its own.
    """

    def __init__(
        self,
        failures: int = 10,
        address_failures: int = 100,
        window: float = 300,
        clock: Callable[[], float] = time.monotonic,
        size: int = SIZE,
        *,
        shared: Failures | None = None,
    ):
        self._limit = failures
        self._address_limit = address_failures
        self._failures = shared or Failures(clock, size)
        self._window = self._failures.window(window)

    def attempt(self, address: str, user: str) -> Attempt:
        """Let a block find out whether the credentials are right, unless too many were wrong.

        An attempt counts from its start, so that many at once are not all free.

        Args:
            address: the client's address, or another text if it has none.
            user: the user name, in any spelling.

        Raises:
            TooManyAttempts: when the block is entered: it is too early for another.
        """
        return Attempt(self, _Who(_network(address), principals.key(user)))

    def begin(self, who: _Who) -> None:
        """Count an attempt; raises TooManyAttempts if it is too early."""
        with self._failures.lock:
            self._admit(
                max(
                    self._window.users.wait(who, self._limit),
                    self._window.places.wait(who.place, self._address_limit),
                )
            )
            for window in self._failures:
                window.users.add(who)
                window.places.add(who.place)

    def add_user(self, who: _Who) -> None:
        """Count an attempt that has begun for another name of its user, too."""
        with self._failures.lock:
            self._admit(self._window.users.wait(who, self._limit))
            for window in self._failures:
                window.users.add(who)

    def undo(self, names: set[_Who]) -> None:
        """Uncount an attempt: the backend gave no answer."""
        with self._failures.lock:
            for window in self._failures:
                for who in names:
                    window.users.take_back(who)
                for place in {who.place for who in names}:
                    window.places.take_back(place)

    def forgive(self, names: set[_Who]) -> None:
        """Forget the failures of a user whose credentials were right."""
        with self._failures.lock:
            for window in self._failures:
                for who in names:
                    window.users.forget(who)
                for place in {who.place for who in names}:
                    window.places.take_back(place)

    def remembered(self) -> int:
        """How many addresses, and users at addresses, are counted at the moment."""
        return len(self._window.users) + len(self._window.places)

    @staticmethod
    def _admit(wait: float) -> None:
        if wait > 0:
            raise TooManyAttempts(math.ceil(wait))


class Attempt:
    """A block in which it is found out whether credentials are right."""

    __slots__ = ("_ended", "_lock", "_names", "_throttle", "_who")

    def __init__(self, throttle: Throttle, who: _Who):
        self._throttle, self._who = throttle, who
        self._names: set[_Who] = set()
        self._lock = threading.Lock()
        self._ended = False

    def identified(self, name: str) -> None:
        """Count the attempt for the backend's own name of the user, before the secret is tried.

        Raises:
            TooManyAttempts: the user failed too often, under whatever names.
        """
        who = _Who(self._who.place, principals.key(name), known=True)
        with self._lock:
            # A backend may go on in a thread that nobody waits for any more.
            if not self._ended and who not in self._names:
                self._throttle.add_user(who)
                self._names.add(who)

    def __enter__(self) -> Attempt:
        self._throttle.begin(self._who)
        self._names.add(self._who)
        return self

    def __exit__(
        self, _kind: object, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._ended = True
        if error is None:
            self._throttle.forgive(self._names)
        elif not isinstance(error, NotAuthenticated):
            self._throttle.undo(self._names)


class _Counts:
    """The last ``size`` keys, and how often each was counted since when."""

    def __init__(self, window: float, clock: Callable[[], float], size: int):
        self._window = window
        self._clock = clock
        self._size = size
        self._counts: OrderedDict[Hashable, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    def wait(self, key: Hashable, limit: int) -> float:
        """For how many seconds the key is over the limit."""
        known = self._counts.get(key)
        if known is None:
            return 0
        count, since = known
        left = since + self._window - self._clock()
        if left <= 0:
            del self._counts[key]
            return 0
        return left if limit and count >= limit else 0

    def add(self, key: Hashable) -> None:
        count, since = self._counts.get(key, (0, self._clock()))
        if since + self._window <= self._clock():
            count, since = 0, self._clock()
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


class _Window(NamedTuple):
    """What failed within one length of time."""

    users: _Counts
    places: _Counts


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
