"""The ban file, which ``anchor ban`` writes and every authority reads.

Bans are data, not configuration: a changed file applies from the next request on.  A file that
cannot be read bans everything; a missing file bans nothing.
"""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pydantic

from anchor.auth.results import AuthDetails
from anchor.config.option_types import FilePath
from anchor.errors import ConfigurationError
from anchor.store.bans import NO_BANS, Ban, Bans, BansUnreadable, Kind, normalize
from anchor.X509.signing_request import X509Csr

_BANS = pydantic.TypeAdapter(tuple[Ban, ...])


class BanSettings(pydantic.BaseModel):
    """The ``bans`` section of the configuration."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    path: FilePath = pydantic.Field(
        "bans.json",
        validate_default=True,
        description="the file that ``anchor ban`` writes and the service reads for each request; a "
        "missing file bans nothing",
    )


class BanFile:
    """Reads and changes the ban file.

    Args:
        path: the file, which need not exist.
        clock: the time, in UTC.
    """

    def __init__(self, path: Path, clock: Callable[[], datetime.datetime]):
        self.path = path
        self._clock = clock
        self._latest = NO_BANS

    def bans(self) -> tuple[Ban, ...]:
        """All bans in the file, including those that have ended.

        Raises:
            BansUnreadable: the file is damaged or cannot be read.
        """
        return self._read().bans

    def now(self) -> Bans:
        """The bans for a new request; unreadable bans reject the request."""
        try:
            return self._read()
        except BansUnreadable as error:
            return Bans(None, (), {}, str(error))

    def check(self, bans: Bans, csr: X509Csr, identity: AuthDetails) -> None:
        """Check that neither the requester, nor the key, nor a name is banned now.

        Raises:
            Banned: one of them is banned.
            BansUnreadable: the bans could not be read.
        """
        bans.check(csr, identity, self._clock())

    def _read(self) -> Bans:
        latest = self._latest
        try:
            # stat() before read(), so that a change in between is seen next time.
            version = _version(self.path.stat())
            if version != latest.version:
                latest = Bans.of(version, _BANS.validate_json(self.path.read_bytes()))
        except FileNotFoundError:
            latest = NO_BANS
        except OSError as error:
            raise BansUnreadable(f"{self.path} cannot be read: {error.strerror}") from None
        except pydantic.ValidationError as error:
            raise BansUnreadable(f"{self.path} is damaged: {error}") from None
        self._latest = latest
        return latest

    def add(self, ban: Ban) -> None:
        """Add a ban; it replaces a ban of the same value."""
        with self._rewriting() as bans:
            value = normalize(ban.kind, ban.value)
            bans[:] = [other for other in bans if not _has_value(other, ban.kind, value)]
            bans.append(ban)

    def remove(self, kind: Kind, value: str) -> bool:
        """Lift a ban; return False if there is none."""
        with self._rewriting() as bans:
            normalized = normalize(kind, value)
            remaining = [ban for ban in bans if not _has_value(ban, kind, normalized)]
            was_banned = len(remaining) < len(bans)
            bans[:] = remaining
        return was_banned

    @contextmanager
    def _rewriting(self) -> Iterator[list[Ban]]:
        """A list of the bans to change in place; then the file is replaced atomically."""
        try:
            directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(directory, fcntl.LOCK_EX)
                bans = list(self.bans())
                yield bans
                self._replace(bans)
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise BansUnreadable(f"{self.path} cannot be written: {error.strerror}") from error

    def _replace(self, bans: Sequence[Ban]) -> None:
        self._remove_leftovers()
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        text = json.dumps([ban.model_dump(mode="json") for ban in bans], indent=2) + "\n"
        previous = self.path.stat().st_mtime_ns if self.path.exists() else None
        try:
            # Readable for everyone: the service may run as another user than the operator.
            with open(temporary, "x", opener=_open_world_readable, encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                if previous is not None:
                    # Two changes within a tick of the file system's clock need different times.
                    moment = max(os.fstat(file.fileno()).st_mtime_ns, previous + 1000)
                    os.utime(file.fileno(), ns=(moment, moment))
            temporary.rename(self.path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _remove_leftovers(self) -> None:
        """Remove the temporary files of killed writers; the lock excludes other writers."""
        pattern = re.compile(rf"\.{re.escape(self.path.name)}\.[0-9a-f]{{8}}", re.ASCII)
        for path in self.path.parent.iterdir():
            if pattern.fullmatch(path.name):
                path.unlink(missing_ok=True)


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mtime_ns, status.st_ino, status.st_size, status.st_ctime_ns


def _has_value(ban: Ban, kind: Kind, value: str) -> bool:
    return ban.kind == kind and normalize(kind, ban.value) == value


def _open_world_readable(path: str, flags: int) -> int:
    return os.open(path, flags, 0o644)


def load_bans(settings: BanSettings, clock: Callable[[], datetime.datetime]) -> BanFile:
    """The configured ban file.

    Raises:
        ConfigurationError: the file exists, and is damaged or cannot be read.
    """
    ban_file = BanFile(settings.path, clock)
    try:
        ban_file.bans()
    except BansUnreadable as error:
        raise ConfigurationError.about("path", str(error)) from None
    return ban_file
