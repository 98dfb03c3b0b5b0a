"""Bans: names, requesters, keys and certificates that get no certificate any more."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Sequence
from typing import Literal, Protocol

import pydantic

from anchor.auth.results import AuthDetails
from anchor.errors import Rejected
from anchor.store.requesters import normalize_requester
from anchor.X509 import name_matching, name_parsing
from anchor.X509.signing_request import X509Csr
from anchor.X509.storable_text import storable

Kind = Literal["name", "requester", "key", "certificate"]

# A value that a ban may concern; a host is a name that bans of other names may cover.
_Value = tuple[Kind | Literal["host"], str]

NOT_BANNED = "not_banned"
"""The name of the check."""


class Banned(Rejected):
    """The requester, a key, a name or the certificate to renew is banned."""


class Ban(pydantic.BaseModel):
    """One ban.

    Attributes:
        kind: what is banned.
        value: the normalized name or requester, or the SHA-256 of a SubjectPublicKeyInfo or of a
            certificate in hexadecimal.
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
    if kind in ("key", "certificate"):
        return value.replace(":", "").strip().lower()
    return normalize_requester(value)


def canonical_name(text: str) -> str:
    """The canonical form of a name that can be banned, also with its type: ``DNS:example.com``.

    Raises:
        ValueError: the name cannot be banned; the message is for operators.
    """
    stripped = name_parsing.without_type(text)
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


def ban_keys(ban: Ban) -> set[str]:
    """The keys under which requests find a ban."""
    keys = name_matching.index_keys(ban.value) if ban.kind == "name" else (ban.value,)
    return {_key(ban.kind, key) for key in keys}


def _key(kind: Kind, key: str) -> str:
    return storable(f"{kind} {key}")[:MAX_KEY]


MAX_KEY = 255
"""The length of the longest key; longer ones are cut, and the values of their bans compared."""


class BanStore(Protocol):
    """The bans of all nodes."""

    def find(self, keys: Collection[str], now: datetime.datetime) -> Sequence[Ban]:
        """The bans in force under any of these keys.

        Raises:
            DatabaseUnavailable: the bans cannot be read.
        """

    def bans_names(self, now: datetime.datetime) -> bool:
        """Whether a ban of any name is in force.

        Raises:
            DatabaseUnavailable: the bans cannot be read.
        """


class RequestBans:
    """The bans that concern one request, each read once.

    Args:
        store: the bans of all nodes.
        now: the time of the request, in UTC.
    """

    def __init__(self, store: BanStore, now: datetime.datetime):
        self._store = store
        self._now = now
        self._read_values: set[_Value] = set()
        self._found: dict[str, list[Ban]] = {}

    def check(self, csr: X509Csr, identity: AuthDetails) -> None:
        """Check that neither the requester, nor a key, nor a name is banned.

        For a renewal, the old certificate counts too, with its key and its names.

        Raises:
            Banned: one of them is banned.
            DatabaseUnavailable: the bans cannot be read.
        """
        users = {
            user: normalize_requester(user)
            for user in (identity.username, identity.user_id)
            if user
        }
        keys, names = [csr.key_fingerprint], csr.interpreted_names
        certificates: list[str] = []
        if identity.renewal is not None:
            certificates.append(identity.renewal.fingerprint)
            keys.append(identity.renewal.key)
            names += identity.renewal.interpreted_names
        texts: list[str] = []
        hosts: list[str] = []
        for name in names:
            texts += name.meaning.exact_texts()
            hosts += name.meaning.hosts
        self._read(
            {
                *[("requester", user) for user in users.values()],
                *[("key", key) for key in keys],
                *[("certificate", each) for each in certificates],
                *[("name", text) for text in texts],
                *[("host", host) for host in hosts],
            }
        )
        if self._found:
            for user, normalized in users.items():
                if self._has("requester", normalized):
                    raise Banned("the requester is banned", requester=user)
            for key in keys:
                if self._has("key", key):
                    raise Banned("the key is banned", key=key)
            for each in certificates:
                if self._has("certificate", each):
                    raise Banned(
                        "the certificate to renew was revoked, or is banned", certificate=each
                    )
            self._check_names(texts, hosts)
        for name in names:
            if not name.meaning.understood and self._store.bans_names(self._now):
                raise Banned(
                    "a name is of a kind that cannot be compared with the names that are banned",
                    name=str(name),
                )

    def _check_names(self, texts: Iterable[str], hosts: Iterable[str]) -> None:
        for text in texts:
            if self._has("name", text):
                raise Banned("the name is banned", name=text)
        for host in hosts:
            if self._overlaps(host):
                raise Banned("the name is banned", name=host)

    def _read(self, values: set[_Value]) -> None:
        """Read the bans of those values whose bans were not read yet."""
        keys: set[str] = set()
        for kind, value in values - self._read_values:
            if kind == "host":
                keys |= {_key("name", key) for key in name_matching.lookup_keys(value)}
            else:
                keys.add(_key(kind, value))
        if keys:
            for ban in self._store.find(keys, self._now):
                for key in ban_keys(ban) & keys:
                    self._found.setdefault(key, []).append(ban)
            self._read_values |= values

    def _has(self, kind: Kind, value: str) -> bool:
        return any(ban.value == value for ban in self._found.get(_key(kind, value), ()))

    def _overlaps(self, host: str) -> bool:
        return any(
            ban.kind == "name" and name_matching.overlaps(ban.value, host)
            for key in name_matching.lookup_keys(host)
            for ban in self._found.get(_key("name", key), ())
        )


class NoBans:
    """Bans nothing, where the database is not used."""

    def find(self, _keys: Collection[str], _now: datetime.datetime) -> Sequence[Ban]:
        """Return nothing."""
        return ()

    def bans_names(self, _now: datetime.datetime) -> bool:
        """Return False."""
        return False
