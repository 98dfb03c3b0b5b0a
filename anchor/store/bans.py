"""Bans: names, requesters and keys that get no certificate any more."""

from __future__ import annotations

import datetime
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pydantic

from anchor.auth.results import AuthDetails
from anchor.errors import AnchorError, Rejected
from anchor.X509 import general_names, name_matching, name_parsing
from anchor.X509.signing_request import X509Csr

Kind = Literal["name", "requester", "key"]

NOT_BANNED = "not_banned"
"""The name of the check."""


class Banned(Rejected):
    """The requester, the key or a name is banned."""


class BansUnreadable(AnchorError):
    """The ban file is damaged or cannot be read, so nothing is signed."""


class Ban(pydantic.BaseModel):
    """One ban.

    Attributes:
        kind: what is banned.
        value: the normalized name, requester, or SHA-256 of a SubjectPublicKeyInfo in hexadecimal.
        since: when the ban began.
        until: when the ban ends; None for never.
        reason: a text for operators only.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    value: str
    since: pydantic.AwareDatetime
    until: pydantic.AwareDatetime | None = None
    reason: str = ""

    def is_in_force(self, now: datetime.datetime) -> bool:
        """Whether the ban has not ended."""
        return self.until is None or now < self.until


def normalize(kind: Kind, value: str) -> str:
    """The form in which values of bans are compared.

    A name that :func:`canonical_name` rejects has one too, so that an old ban of it can be lifted.
    """
    if kind == "name":
        try:
            return canonical_name(value)
        except ValueError:
            return name_matching.normalize(value)
    if kind == "key":
        return value.replace(":", "").strip().lower()
    # Directories ignore the case of a user name, so a ban has to ignore it too.
    return unicodedata.normalize("NFKC", value).strip().casefold()


def canonical_name(text: str) -> str:
    """The canonical form of a name that can be banned.

    Raises:
        ValueError: the name cannot be banned; the message is for operators.
    """
    stripped = text.strip()
    is_domain = stripped.startswith(".")
    try:
        name = name_parsing.parse_name(stripped[1:] if is_domain else stripped)
        if is_domain and (stripped[1:2] == "." or not name_parsing.is_domain(name)):
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
    """The contents of the ban file at one moment.

    Attributes:
        version: identifies the version of the file; None if there was no file.
        bans: all bans, including those that have ended.
        by_key: the bans by kind and index key (:func:`anchor.X509.name_matching.index_keys`).
        error: why the file could not be read; empty if it could.
    """

    version: tuple[int, ...] | None
    bans: tuple[Ban, ...]
    by_key: Mapping[tuple[Kind, str], list[Ban]]
    error: str = ""

    @classmethod
    def of(cls, version: tuple[int, ...] | None, bans: tuple[Ban, ...]) -> Bans:
        """Index the bans."""
        by_key: dict[tuple[Kind, str], list[Ban]] = {}
        for ban in bans:
            value = normalize(ban.kind, ban.value)
            normalized = ban.model_copy(update={"value": value})
            for key in name_matching.index_keys(value) if ban.kind == "name" else (value,):
                by_key.setdefault((ban.kind, key), []).append(normalized)
        return cls(version, bans, by_key)

    def find(self, kind: Kind, key: str, now: datetime.datetime) -> list[Ban]:
        """The bans under an index key that are in force."""
        bans = self.by_key.get((kind, key))
        # A request has thousands of keys, and most have no ban.
        return [ban for ban in bans if ban.is_in_force(now)] if bans else []

    def check(self, csr: X509Csr, identity: AuthDetails, now: datetime.datetime) -> None:
        """Check that neither the requester, nor the key, nor a name is banned.

        Raises:
            Banned: one of them is banned.
            BansUnreadable: the bans could not be read.
        """
        if self.error:
            raise BansUnreadable(self.error)
        if not self.bans:
            return
        for user in filter(None, (identity.username, identity.user_id)):
            if self.find("requester", normalize("requester", user), now):
                raise Banned("the requester is banned", requester=user)
        if self.find("key", csr.key_fingerprint, now):
            raise Banned("the key is banned", key=csr.key_fingerprint)
        if any(ban.kind == "name" and ban.is_in_force(now) for ban in self.bans):
            self._check_names(csr, now)

    def _check_names(self, csr: X509Csr, now: datetime.datetime) -> None:
        for name in csr.interpreted_names:
            for text in general_names.exact_texts(name.meaning):
                if self.find("name", text, now):
                    raise Banned("the name is banned", name=text)
            for host in name.meaning.hosts:
                for key in name_matching.lookup_keys(host):
                    if ("name", key) not in self.by_key:
                        continue
                    for ban in self.find("name", key, now):
                        if name_matching.overlaps(ban.value, host):
                            raise Banned("the name is banned", name=host)
            if not name.meaning.understood:
                raise Banned(
                    "a name is of a kind that cannot be compared with the names that are banned",
                    name=str(name),
                )


NO_BANS = Bans.of(None, ())
# The default of a request's context: a caller that forgets to read the bans gets no certificate.
BANS_NOT_READ = Bans(None, (), {}, "the bans were not read")
