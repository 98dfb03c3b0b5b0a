"""Limits on failed authentications: after too many, a requester has to wait."""

from __future__ import annotations

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


class _UserAtNetwork(NamedTuple):
    """A user name, and the network that it is used from.

    Attributes:
        network: the client's IPv4 address, or the /64 of its IPv6 address.
        name: a text that is the same for all spellings of the name.
        is_canonical: True if the backend returned the name, False if the client sent it.
    """

    network: str
    name: str
    is_canonical: bool = False


class Failures:
    """Counts of failed attempts, which all authorities with one authentication share.

    Args:
        clock: the time in seconds.
        size: how many addresses, and how many pairs of user and address, are remembered.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, size: int = SIZE):
        self.lock = threading.Lock()
        self._clock = clock
        self._size = size
        self._windows: dict[float, _Window] = {}

    def window(self, seconds: float) -> _Window:
        """The counts that expire after so many seconds, from the first failure on."""
        if seconds not in self._windows:
            self._windows[seconds] = _Window(
                _Counts(seconds, self._clock, self._size), _Counts(seconds, self._clock, self._size)
            )
        return self._windows[seconds]

    def __iter__(self) -> Iterator[_Window]:
        """All windows: a failure at one authority counts for every authority."""
        return iter(self._windows.values())


class Throttle:
    """Limits failed attempts by address, and by user and address.

    There is no limit by user alone, so that an attacker elsewhere cannot lock a user out.  All
    spellings of a name that a directory may accept for one user count as one name.

    Args:
        failures: how often a user may fail from one address; 0 for any number.
        address_failures: how often one address may fail, with all user names together; 0 for any
            number.
        window: for how many seconds failures count, from the first one on.
        clock: the time in seconds.
        size: how many addresses, and how many pairs of user and address, are remembered.
        shared: the counts of the authentication, if several authorities share them.
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
        """Make the context manager in which the credentials are checked.

        An attempt counts from its start, so that simultaneous attempts cannot exceed the limit.

        Args:
            address: the client's address, or another text if the address is unknown.
            user: the user name, in any spelling.

        Raises:
            TooManyAttempts: on entering the block, if the limit is reached.
        """
        return Attempt(self, _UserAtNetwork(_network(address), principals.counting_key(user)))

    def begin(self, user: _UserAtNetwork) -> None:
        """Count an attempt; raise TooManyAttempts if the limit is reached."""
        with self._failures.lock:
            self._require_no_wait(
                max(
                    self._window.users.wait(user, self._limit),
                    self._window.networks.wait(user.network, self._address_limit),
                )
            )
            for window in self._failures:
                window.users.add(user)
                window.networks.add(user.network)

    def add_user(self, user: _UserAtNetwork) -> None:
        """Count the current attempt for another name of the same user too."""
        with self._failures.lock:
            self._require_no_wait(self._window.users.wait(user, self._limit))
            for window in self._failures:
                window.users.add(user)

    def undo(self, users: set[_UserAtNetwork]) -> None:
        """Undo the attempt: the backend gave no answer."""
        with self._failures.lock:
            for window in self._failures:
                for user in users:
                    window.users.subtract(user)
                for network in {user.network for user in users}:
                    window.networks.subtract(network)

    def reset(self, users: set[_UserAtNetwork]) -> None:
        """Forget the failures of a user whose credentials were right."""
        with self._failures.lock:
            for window in self._failures:
                for user in users:
                    window.users.remove(user)
                for network in {user.network for user in users}:
                    window.networks.subtract(network)

    def remembered(self) -> int:
        """The number of counts in memory."""
        return len(self._window.users) + len(self._window.networks)

    @staticmethod
    def _require_no_wait(wait: float) -> None:
        if wait > 0:
            raise TooManyAttempts(math.ceil(wait))


class Attempt:
    """The context manager in which credentials are checked."""

    __slots__ = ("_ended", "_lock", "_throttle", "_user", "_users")

    def __init__(self, throttle: Throttle, user: _UserAtNetwork):
        self._throttle, self._user = throttle, user
        self._users: set[_UserAtNetwork] = set()
        self._lock = threading.Lock()
        self._ended = False

    def count_for(self, name: str) -> None:
        """Count the attempt for the user's canonical name, before the secret is checked.

        Raises:
            TooManyAttempts: the user failed too often, under any of their names.
        """
        user = _UserAtNetwork(self._user.network, principals.counting_key(name), is_canonical=True)
        with self._lock:
            # The backend may still run in its thread after the request has ended.
            if not self._ended and user not in self._users:
                self._throttle.add_user(user)
                self._users.add(user)

    def __enter__(self) -> Attempt:
        self._throttle.begin(self._user)
        self._users.add(self._user)
        return self

    def __exit__(
        self, _kind: object, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._ended = True
        if error is None:
            self._throttle.reset(self._users)
        elif not isinstance(error, NotAuthenticated):
            self._throttle.undo(self._users)


class _Counts:
    """The ``size`` most recent keys, each with its count and the time of its first failure."""

    def __init__(self, window: float, clock: Callable[[], float], size: int):
        self._window = window
        self._clock = clock
        self._size = size
        self._counts: OrderedDict[Hashable, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    def wait(self, key: Hashable, limit: int) -> float:
        """Seconds until the key is below the limit again; 0 if it is below."""
        if key not in self._counts:
            return 0
        count, since = self._counts[key]
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

    def subtract(self, key: Hashable) -> None:
        count, since = self._counts.get(key, (0, 0.0))
        if count > 1:
            self._counts[key] = count - 1, since
        else:
            self.remove(key)

    def remove(self, key: Hashable) -> None:
        self._counts.pop(key, None)


class _Window(NamedTuple):
    """The counts for one window length."""

    users: _Counts
    networks: _Counts


def _network(address: str) -> str:
    """The network to count an address under: one IPv6 client may have 2**64 addresses."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(IPv6Network((parsed.packed, 64), strict=False))
