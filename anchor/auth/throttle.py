"""Limits on failed authentications: after too many, a requester has to wait."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Collection, Iterable, Mapping
from ipaddress import IPv6Address, IPv6Network
from types import MappingProxyType, TracebackType
from typing import Literal, NamedTuple

from anchor.auth import principals
from anchor.auth.failure_counts import FailureCount, FailureCounts
from anchor.errors import NotAuthenticated, TooManyAttempts

_ATTEMPT_SECONDS = 5


class _UserAtNetwork(NamedTuple):
    """A user name or a certificate, and the network that it is used from.

    Attributes:
        network: the client's IPv4 address, or the /64 of its IPv6 address.
        name: a text that is the same for all spellings of the name.
        kind: "user" if the client sent the name, "canonical" if the backend returned it, and
            "certificate" if it is the fingerprint of a certificate.
    """

    network: str
    name: str
    kind: Literal["user", "canonical", "certificate"] = "user"


class SharedFailures:
    """The failures of one authentication, which all authorities that use it share.

    Args:
        authentication: the name of the authentication.
        counts: the counts of all processes and nodes.
    """

    def __init__(self, authentication: str, counts: FailureCounts):
        self.counts = counts
        self._authentication = authentication
        self._windows: set[float] = set()
        self._lock = threading.Lock()
        # The attempts of this process that have no outcome yet, by key.
        self._in_progress: dict[str, int] = {}

    def add_window(self, seconds: float) -> None:
        """Keep counts that expire after so many seconds, from the first failure on."""
        self._windows.add(seconds)

    def key(self, window: float, user: _UserAtNetwork) -> str:
        """The key of a user at a network."""
        return self._hash(window, user.kind, user.network, user.name)

    def network_key(self, window: float, network: str) -> str:
        """The key of a network, for all user names together."""
        return self._hash(window, "network", network)

    def windows(self, users: Iterable[_UserAtNetwork]) -> dict[str, float]:
        """The keys of users in all windows: a failure counts for every authority."""
        return {self.key(window, user): window for window in self._windows for user in users}

    def network_windows(self, network: str) -> dict[str, float]:
        """The keys of a network in all windows."""
        return {self.network_key(window, network): window for window in self._windows}

    def begin(self, keys: Collection[str]) -> dict[str, int]:
        """Add an attempt of this process; return how many others each key has in progress."""
        others = {}
        with self._lock:
            for key in keys:
                count = self._in_progress.get(key, 0)
                self._in_progress[key] = count + 1
                if count:
                    others[key] = count
        return others

    def end(self, keys: Collection[str]) -> None:
        """Remove an attempt of this process."""
        with self._lock:
            for key in keys:
                count = self._in_progress[key] - 1
                if count:
                    self._in_progress[key] = count
                else:
                    del self._in_progress[key]

    def _hash(self, *parts: object) -> str:
        text = "\0".join(map(str, (self._authentication, *parts)))
        # A name may contain lone surrogates.
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Throttle:
    """Limits failed attempts by address, and by user and address.

    There is no limit by user alone, so that an attacker elsewhere cannot lock a user out.  All
    spellings of a name that a directory may accept for one user count as one name.

    Args:
        failures: how often a user may fail from one address; 0 for any number.
        address_failures: how often one address may fail, with all user names together; 0 for any
            number.
        window: for how many seconds failures count, from the first one on.
        shared: the failures of the authentication.
    """

    def __init__(
        self,
        failures: int,
        address_failures: int,
        window: float,
        *,
        shared: SharedFailures,
    ):
        self.shared = shared
        self._limit = failures
        self._address_limit = address_failures
        self._window = window
        shared.add_window(window)

    def attempt(self, address: str, user: str | None, *, is_guessable: bool = True) -> Attempt:
        """Make the context manager in which the credentials are checked.

        Attempts of this process count from their start, and those of other processes when they
        fail.  A success is refused if the limit was reached meanwhile.  Only an attempt that saw
        neither failures nor other attempts at its start is not checked again: so each process can
        test one secret more than the limit, once in a window.

        Args:
            address: the client's address, or another text if the address is unknown.
            user: the user name, in any spelling; None to count by address only.
            is_guessable: False if only failures count, and not other attempts in progress: fifty
                machines may start at once with the same token.

        Raises:
            TooManyAttempts: on entering or leaving the block, if the limit is reached.
            DatabaseUnavailable: the failures cannot be counted.
        """
        network = _network(address)
        users = [] if user is None else [_UserAtNetwork(network, principals.counting_key(user))]
        return Attempt(self, network, users, is_guessable=is_guessable)

    def attempt_with_certificate(self, address: str, fingerprint: str) -> Attempt:
        """Make the context manager in which a certificate is checked as the credential.

        It is counted apart from the secrets of its user: a renewal that succeeds must not clear the
        count of guesses, and neither guesses nor another machine of the user must stop it.

        Args:
            address: as for :meth:`attempt`.
            fingerprint: the SHA-256 of the certificate, in hexadecimal.

        Raises:
            TooManyAttempts, DatabaseUnavailable: as for :meth:`attempt`.
        """
        network = _network(address)
        holder = _UserAtNetwork(network, fingerprint, "certificate")
        return Attempt(self, network, [holder], is_guessable=False)

    def limits(self, users: Iterable[_UserAtNetwork], network: str) -> dict[str, int]:
        """The limit of each key, without those keys that have none."""
        limits = {self.shared.network_key(self._window, network): self._address_limit}
        limits |= {self.shared.key(self._window, user): self._limit for user in users}
        return {key: limit for key, limit in limits.items() if limit}

    def require_below(
        self,
        limits: Mapping[str, int],
        counts: Mapping[str, FailureCount],
        others: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Require that no limit is reached.

        Args:
            limits: the limit of each key.
            counts: the failures of all processes.
            others: how many other attempts each key has in progress.

        Raises:
            TooManyAttempts: a limit is reached.
        """
        waits = []
        for key, limit in limits.items():
            failures, seconds = counts.get(key, (0, 0.0))
            if failures + others.get(key, 0) >= limit:
                # Other attempts may succeed, and end soon.
                waits.append(seconds if failures >= limit else _ATTEMPT_SECONDS)
        if waits:
            raise TooManyAttempts(max(1, math.ceil(max(waits))))


class Attempt:
    """The context manager in which credentials are checked."""

    __slots__ = (
        "_ended",
        "_in_progress",
        "_is_alone",
        "_is_guessable",
        "_lock",
        "_network",
        "_throttle",
        "_users",
    )

    def __init__(
        self,
        throttle: Throttle,
        network: str,
        users: Iterable[_UserAtNetwork],
        *,
        is_guessable: bool,
    ):
        self._throttle, self._network, self._is_guessable = throttle, network, is_guessable
        self._users = set(users)
        self._in_progress: list[str] = []
        self._is_alone = True
        self._lock = threading.Lock()
        self._ended = False

    def count_for(self, name: str) -> None:
        """Count the attempt for the user's canonical name, before the secret is checked.

        Raises:
            TooManyAttempts: the user failed too often, under any of their names.
            DatabaseUnavailable: the failures cannot be counted.
        """
        user = _UserAtNetwork(self._network, principals.counting_key(name), "canonical")
        with self._lock:
            # The backend may still run in its thread after the request has ended.
            if not self._ended and user not in self._users:
                self._users.add(user)
                self._begin([user], {})

    def __enter__(self) -> Attempt:
        try:
            self._begin(self._users, self._throttle.shared.network_windows(self._network))
        except BaseException:
            self._throttle.shared.end(self._in_progress)
            raise
        return self

    def __exit__(
        self, _kind: object, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        shared, network = self._throttle.shared, self._network
        with self._lock:
            self._ended = True
        try:
            if error is None and self._is_alone:
                return
            limits = self._throttle.limits(self._users, network)
            user_windows = shared.windows(self._users)
            if error is None:
                counts = shared.counts.read(user_windows | shared.network_windows(network))
                self._throttle.require_below(limits, counts)
                if failed := counts.keys() & user_windows:
                    shared.counts.remove(failed)
            elif isinstance(error, NotAuthenticated):
                counts = shared.counts.add(user_windows | shared.network_windows(network))
                # One more than the limit: this attempt is counted already.
                self._throttle.require_below(
                    {key: limit + 1 for key, limit in limits.items()}, counts
                )
        finally:
            shared.end(self._in_progress)

    def _begin(
        self, users: Collection[_UserAtNetwork], network_windows: Mapping[str, float]
    ) -> None:
        shared = self._throttle.shared
        windows = {**shared.windows(users), **network_windows}
        others = shared.begin(windows)
        self._in_progress += windows
        if not self._is_guessable:
            others = {}
        # After begin(): an attempt that fails in between is counted twice rather than not at all.
        counts = shared.counts.read(windows)
        if counts or others:
            self._is_alone = False
            limits = self._throttle.limits(users, self._network)
            self._throttle.require_below(limits, counts, others)


def _network(address: str) -> str:
    """The network to count an address under: one IPv6 client may have 2**64 addresses."""
    if ":" not in address:
        return address
    try:
        return str(IPv6Network((IPv6Address(address).packed, 64), strict=False))
    except ValueError:
        return address
