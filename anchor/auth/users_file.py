"""The users in a file, which is read again when it has changed (doc/adr/0047)."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from anchor.auth.results import AuthDetails
from anchor.auth.user_lines import MAX_BYTES, User, parse_users
from anchor.errors import (
    BackendUnavailable,
    ConfigProblem,
    ConfigurationError,
    NotAuthenticated,
    RequesterGone,
)
from anchor.logs.bounds import shorten

LOG = logging.getLogger(__name__)

# A later change can leave the times as they are, if it follows within a tick of the clock.
_SETTLED_NS = 2_000_000_000
_MAX_LOGGED = 5


@dataclass(frozen=True)
class FileStamp:
    """What changes when another file takes the path, or when the file is written."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileStamp:
        """The stamp of a file."""
        return cls(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )


@dataclass(frozen=True)
class _Version:
    """The file as it was read.

    Attributes:
        stamp: None if the file has to be read again in any case.
        digest: the SHA-256 of the contents.
        users: the users by name.
        problems: why there are no users.
    """

    stamp: FileStamp | None = None
    digest: bytes = b""
    users: Mapping[str, User] = field(default_factory=dict, repr=False)
    problems: tuple[ConfigProblem, ...] = ()


class UsersFile:
    """Authenticates the users in a file as it is now.

    Every authentication compares the file's stamp, so a removed user is refused from the next
    request on, in all processes.  While the file is missing or broken, nobody is authenticated.

    Args:
        path: the file.
        clock: the time in nanoseconds since 1970.

    Raises:
        ConfigurationError: the file is missing, readable by others, or broken.
    """

    def __init__(self, path: Path, clock: Callable[[], int] = time.time_ns):
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        # A hash keeps one core busy: more at once would take more memory, but no less time.
        self._hashing = threading.BoundedSemaphore(os.cpu_count() or 1)
        self._version = self._read(_Version())
        if self._version.problems:
            raise ConfigurationError(self._version.problems)

    def authenticate(self, user: str, secret: str) -> AuthDetails:
        """Return the user's identity; an unknown user takes as long as a wrong secret.

        Raises:
            NotAuthenticated: there is no such user, or the secret is wrong.
            BackendUnavailable: the file is missing or broken.
        """
        users = self._users()
        known = users.get(user)
        compared = _other_user(users, user) if known is None else known
        if compared is None:
            raise NotAuthenticated()
        with self._hashing:
            matches = any(secret_hash.matches(secret) for secret_hash in compared.hashes)
        if known is None or not matches:
            raise NotAuthenticated()
        return known.identity

    def look_up(self, user: str) -> AuthDetails:
        """Return the identity of a user, without a secret.

        Raises:
            RequesterGone: there is no such user.
            BackendUnavailable: the file is missing or broken.
        """
        known = self._users().get(user)
        if known is None:
            raise RequesterGone()
        return known.identity

    def _users(self) -> Mapping[str, User]:
        with self._lock:
            version = before = self._version
            if version.stamp is None or version.stamp != self._stamp():
                version = self._version = self._read(before=version)
                self._log_change(version, before)
        if version.problems:
            raise BackendUnavailable(str(version.problems[0]))
        return version.users

    def _stamp(self) -> FileStamp | None:
        try:
            return FileStamp.of(self._path.stat())
        except OSError:
            return None

    def _read(self, before: _Version) -> _Version:
        """The file as it is now."""
        try:
            contents, stamp = read_users_file(self._path)
        except ConfigurationError as error:
            return _Version(problems=self._located(error))
        is_settled = self._clock() - stamp.ctime_ns > _SETTLED_NS
        version = replace(before, stamp=stamp if is_settled else None)
        digest = hashlib.sha256(contents).digest()
        if digest == before.digest:
            return version
        try:
            return replace(version, digest=digest, users=parse_users(contents), problems=())
        except ConfigurationError as error:
            return replace(version, digest=digest, users={}, problems=self._located(error))

    def _located(self, error: ConfigurationError) -> tuple[ConfigProblem, ...]:
        """The problems with the path of the file, and the line."""
        return tuple(
            ConfigProblem("", shorten(f"{self._path}{_line(each)} {each.message}"))
            for each in error.problems
        )

    def _log_change(self, version: _Version, before: _Version) -> None:
        if version.problems:
            if version.problems != before.problems:
                shown = "; ".join(map(str, version.problems[:_MAX_LOGGED]))
                LOG.error("no user of this file can authenticate until it is corrected: %s", shown)
        elif version.users is not before.users:
            LOG.info("%s has changed, and has %d users now", self._path, len(version.users))


def read_users_file(path: Path) -> tuple[bytes, FileStamp]:
    """The contents of a users file, and the stamp that it had before it was read.

    Raises:
        ConfigurationError: it cannot be read, others can read it, or it is too large.
    """
    try:
        with open(path, "rb", opener=_open) as file:
            status = os.fstat(file.fileno())
            _require_private(status)
            return file.read(MAX_BYTES + 1), FileStamp.of(status)
    except OSError as error:
        raise ConfigurationError.about("", f"cannot be read: {error.strerror}") from None


def _open(path: str, flags: int) -> int:
    # O_NONBLOCK: the path may be a pipe.
    return os.open(path, flags | os.O_NONBLOCK)


def _require_private(status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError.about("", "is not a file")
    # The group may read it, as other files with secrets.
    if mode & 0o027:
        raise ConfigurationError.about(
            "",
            f"has mode {mode:04o}: others must not read it, nor the group write it, so change it "
            "with chmod 640",
        )


def _other_user(users: Mapping[str, User], name: str) -> User | None:
    """The user whose secret is compared for a name that does not exist, always the same."""
    names = list(users)
    return users[names[hash(name) % len(names)]] if names else None


def _line(problem: ConfigProblem) -> str:
    return f", {problem.path}:" if problem.path else ""
