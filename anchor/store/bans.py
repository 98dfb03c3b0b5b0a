"""Who and what gets no certificate any more: a small file that every authority consults.

Bans are data, not configuration: the file is looked at for each request, and read again when it has
changed.  A file that cannot be read bans everything; one that is not there bans nothing.
"""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import re
import secrets
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pydantic

from anchor.auth.results import AuthDetails
from anchor.config.option_types import FilePath
from anchor.errors import AnchorError, ConfigurationError, Rejected
from anchor.X509 import general_names, written_names
from anchor.X509.name_matching import index_keys, lookup_keys, normalize, overlaps
from anchor.X509.signing_request import X509Csr

Kind = Literal["name", "requester", "key"]

NOT_BANNED = "not_banned"
"""The name of the check."""


class BanSettings(pydantic.BaseModel):
    """The ``bans`` section of the configuration."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    path: FilePath = pydantic.Field(
        "bans.json",
        validate_default=True,
        description="the file that ``anchor ban`` keeps, and that every request looks at; it need "
        "not be there",
    )


class Banned(Rejected):
    """The requester, the key or a name is banned."""


class BansUnreadable(AnchorError):
    """The file with the bans is damaged or cannot be read, so nothing is signed."""


class Ban(pydantic.BaseModel):
    """One ban.

    Attributes:
        kind: what is banned.
        value: a name, a requester, or the SHA-256 over a key's SubjectPublicKeyInfo; normal.
        since: when it began.
        until: when it ends; None if it does not.
        reason: for operators only.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    value: str
    since: pydantic.AwareDatetime
    until: pydantic.AwareDatetime | None = None
    reason: str = ""

    def is_in_force(self, now: datetime.datetime) -> bool:
        """Whether it has not ended."""
        return self.until is None or now < self.until


_BANS = pydantic.TypeAdapter(tuple[Ban, ...])


def normal(kind: Kind, value: str) -> str:
    """The value as bans are compared by it.

    A name that :func:`banned_name` refuses stays as it is, so that an old ban of it can be lifted.
    """
    if kind == "name":
        try:
            return banned_name(value)
        except ValueError:
            return normalize(value)
    if kind == "key":
        return value.replace(":", "").strip().lower()
    # Directories find a user whatever the case of the name; a ban that they got around were none.
    return unicodedata.normalize("NFKC", value).strip().casefold()


def banned_name(text: str) -> str:
    """The canonical form of a name that can be banned.

    Raises:
        ValueError: it is no such name; the text is a sentence for operators.
    """
    written = text.strip()
    is_domain = written.startswith(".")
    try:
        name = written_names.parse_name(written[1:] if is_domain else written)
        if is_domain and (written[1:2] == "." or not written_names.is_domain(name)):
            raise ValueError
    except ValueError:
        raise ValueError(
            f"{text!a} is no name that can be banned: write a host (www.example.com), a wildcard "
            "(*.example.com), a domain (.example.com), an address (192.0.2.1), a mailbox "
            "(alice@example.com) or a URI with a host (https://www.example.com/)"
        ) from None
    return f".{name}" if is_domain else name


@dataclass(frozen=True)
class Bans:
    """The bans at one moment.

    Attributes:
        stamp: the state of the file that they were read from; None if there was none.
        bans: all of them, also those that have ended.
        by_place: the same, by where they are looked for.
        fault: why they cannot be known; empty if they are.
    """

    stamp: tuple[int, ...] | None
    bans: tuple[Ban, ...]
    by_place: Mapping[tuple[Kind, str], list[Ban]]
    fault: str = ""

    @classmethod
    def of(cls, stamp: tuple[int, ...] | None, bans: tuple[Ban, ...]) -> Bans:
        """Sort them by where they are looked for."""
        by_place: dict[tuple[Kind, str], list[Ban]] = {}
        for ban in bans:
            value = normal(ban.kind, ban.value)
            if value != ban.value:
                ban = ban.model_copy(update={"value": value})  # noqa: PLW2901  # as compared
            for place in index_keys(value) if ban.kind == "name" else (value,):
                by_place.setdefault((ban.kind, place), []).append(ban)
        return cls(stamp, bans, by_place)

    def find(self, kind: Kind, place: str, now: datetime.datetime) -> list[Ban]:
        """Those in force there."""
        there = self.by_place.get((kind, place))
        # A request has thousands of places, and most have no ban.
        return [ban for ban in there if ban.is_in_force(now)] if there else []


NO_BANS = Bans.of(None, ())
# So that whoever forgets to look bans everything, not nothing.
NOT_LOOKED_AT = Bans(None, (), {}, "the bans were not looked at")


class BanFile:
    """The bans in a file, as they are now."""

    def __init__(self, path: Path, clock: Callable[[], datetime.datetime]):
        self.path = path
        self._path = str(path)
        self._clock = clock
        self._known = NO_BANS

    def bans(self) -> tuple[Ban, ...]:
        """Those that are in the file, also if they have ended.

        Raises:
            BansUnreadable: they cannot be known.
        """
        return self._read().bans

    def now(self) -> Bans:
        """The bans for a request that has just come; if they cannot be known, they refuse it."""
        try:
            return self._read()
        except BansUnreadable as error:
            return Bans(None, (), {}, str(error))

    def refuse(self, known: Bans, csr: X509Csr, auth_result: AuthDetails) -> None:
        """Return if neither the requester, nor the key, nor any of the names is banned.

        Raises:
            Banned: one of them is.
            BansUnreadable: that cannot be known.
        """
        if known.fault:
            raise BansUnreadable(known.fault)
        if not known.bans:
            return
        now = self._clock()
        for who in filter(None, (auth_result.username, auth_result.user_id)):
            if known.find("requester", normal("requester", who), now):
                raise Banned("the requester is banned", requester=who)
        if known.find("key", csr.key_fingerprint, now):
            raise Banned("the key is banned", key=csr.key_fingerprint)
        if any(ban.kind == "name" and ban.is_in_force(now) for ban in known.bans):
            self._refuse_names(known, csr, now)

    def _refuse_names(self, known: Bans, csr: X509Csr, now: datetime.datetime) -> None:
        for named in csr.named:
            for text in general_names.exact_texts(named.meaning):
                if known.find("name", text, now):
                    raise Banned("the name is banned", name=text)
            for host in named.meaning.hosts:
                for place in lookup_keys(host):
                    if ("name", place) not in known.by_place:
                        continue
                    for ban in known.find("name", place, now):
                        if overlaps(ban.value, host):
                            raise Banned("the name is banned", name=host)
            if not named.meaning.understood:
                raise Banned(
                    "a name is of a kind that cannot be compared with the names that are banned",
                    name=str(named),
                )

    def _read(self) -> Bans:
        known = self._known
        try:
            # The state before the contents: what changes in between is read again.
            # Asked for right here: most often it is not there, and an error that leaves a function
            # costs as much again.
            stamp = _stamp(os.stat(self._path))  # noqa: PTH116  # a Path makes its text anew
            if stamp != known.stamp:
                known = Bans.of(stamp, _BANS.validate_json(self.path.read_bytes()))
        except FileNotFoundError:
            known = NO_BANS
        except OSError as error:
            raise BansUnreadable(f"{self.path} cannot be read: {error.strerror}") from None
        except pydantic.ValidationError as error:
            raise BansUnreadable(f"{self.path} is damaged: {error}") from None
        self._known = known
        return known

    def add(self, ban: Ban) -> None:
        """Put a ban into force, in the place of one of the same."""
        with self._rewriting() as bans:
            value = normal(ban.kind, ban.value)
            bans[:] = [other for other in bans if not _is_of(other, ban.kind, value)]
            bans.append(ban)

    def remove(self, kind: Kind, value: str) -> bool:
        """Lift a ban; returns whether there was one."""
        with self._rewriting() as bans:
            kept = [ban for ban in bans if not _is_of(ban, kind, normal(kind, value))]
            found = len(kept) < len(bans)
            bans[:] = kept
        return found

    @contextmanager
    def _rewriting(self) -> Iterator[list[Ban]]:
        """The bans, to be changed; nobody else changes them, and readers see all or nothing."""
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
        passing = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        text = json.dumps([ban.model_dump(mode="json") for ban in bans], indent=2) + "\n"
        before = _stamp(self.path.stat()) if self.path.exists() else None
        try:
            # The service reads it, and it may run as somebody else than who bans.
            with open(passing, "x", opener=_for_everyone_to_read, encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                if before is not None:
                    # Two changes within a tick of the file system's clock are two states even so.
                    moment = max(os.fstat(file.fileno()).st_mtime_ns, before[0] + 1000)
                    os.utime(file.fileno(), ns=(moment, moment))
            passing.rename(self.path)
        except BaseException:
            passing.unlink(missing_ok=True)
            raise

    def _remove_leftovers(self) -> None:
        """Remove what killed writers left: the lock is held, so nobody else is writing."""
        ours = re.compile(rf"\.{re.escape(self.path.name)}\.[0-9a-f]{{8}}", re.ASCII)
        for path in self.path.parent.iterdir():
            if ours.fullmatch(path.name):
                path.unlink(missing_ok=True)


def _stamp(there: os.stat_result) -> tuple[int, ...]:
    return there.st_mtime_ns, there.st_ino, there.st_size, there.st_ctime_ns


def _is_of(ban: Ban, kind: Kind, value: str) -> bool:
    return ban.kind == kind and normal(kind, ban.value) == value


def _for_everyone_to_read(path: str, flags: int) -> int:
    return os.open(path, flags, 0o644)


def load_bans(
    section: BanSettings, clock: Callable[[], datetime.datetime], *, prove: bool = True
) -> BanFile:
    """The bans at the configured place.

    Raises:
        ConfigurationError: there is a file, and it cannot be read.
    """
    bans = BanFile(section.path, clock)
    if prove:
        try:
            bans.bans()
        except BansUnreadable as error:
            raise ConfigurationError.about("path", str(error)) from None
    return bans
