"""What is stored about ACME clients: accounts, orders and authorizations (RFC 8555 section 7.1)."""

from __future__ import annotations

import datetime
import enum
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class AccountStatus(enum.StrEnum):
    """RFC 8555 section 7.1.6; an account is revoked with its token."""

    VALID = "valid"
    DEACTIVATED = "deactivated"
    REVOKED = "revoked"


class OrderStatus(enum.StrEnum):
    """RFC 8555 section 7.1.6."""

    PENDING = "pending"
    READY = "ready"
    PROCESSING = "processing"
    VALID = "valid"
    INVALID = "invalid"


class AuthorizationStatus(enum.StrEnum):
    """RFC 8555 section 7.1.6."""

    PENDING = "pending"
    VALID = "valid"
    INVALID = "invalid"
    DEACTIVATED = "deactivated"
    EXPIRED = "expired"


class ChallengeStatus(enum.StrEnum):
    """RFC 8555 section 7.1.6; none is processing, as the request itself validates the challenge."""

    PENDING = "pending"
    VALID = "valid"
    INVALID = "invalid"


class Identifier(NamedTuple):
    """A name in an order, in canonical form.

    Attributes:
        type: ``dns`` or ``ip``.
        value: a DNS name in lower case, which may begin with ``*.``, or an address (RFC 5952).
    """

    type: str
    value: str

    @property
    def is_wildcard(self) -> bool:
        """True for a wildcard name."""
        return self.value.startswith("*.")

    @property
    def base(self) -> str:
        """The value without ``*.``, as authorizations have it (RFC 8555 section 7.1.3)."""
        return self.value.removeprefix("*.")

    def __str__(self) -> str:
        return self.value


def names_key(identifiers: Iterable[Identifier]) -> str:
    """A SHA-256 that is the same for orders of the same names."""
    return hashlib.sha256(json.dumps(sorted(identifiers)).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account.

    Attributes:
        id: the identifier, the last part of its URL.
        authority: the registration authority.
        key_thumbprint: the SHA-256 thumbprint of its key (RFC 7638), in hexadecimal.
        jwk: its public key.
        status: whether it can be used.
        contact: the URLs that the client gave.
        requester: the user name: of the token, or made from the identifier.
        groups: the groups of the token.
        allowed_names: the names that the token is limited to; None for no limit.
        token_id: the token that it is bound to; None for an account without one.
        binding: the externalAccountBinding that the client sent; None without a token.
        user_agent: the client, as it called itself last; may be empty.
        created: when it was created, in UTC.
        refused: how many orders were refused because the client orders too often.
    """

    id: str
    authority: str
    key_thumbprint: str
    jwk: Mapping[str, str] = field(repr=False)
    status: AccountStatus = AccountStatus.VALID
    contact: tuple[str, ...] = ()
    requester: str
    groups: tuple[str, ...] = ()
    allowed_names: tuple[str, ...] | None = None
    token_id: str | None = None
    binding: Mapping[str, str] | None = field(default=None, repr=False)
    user_agent: str = ""
    created: datetime.datetime
    refused: int = 0


@dataclass(frozen=True, kw_only=True)
class Order:
    """An order.

    Attributes:
        id: the identifier, the last part of its URL.
        account_id: the account.
        status: as stored; one that has ended is still ``pending`` or ``ready`` here.
        expires: until when it can be finalized, in UTC.
        identifiers: the names, each once, in the client's order.
        profile: the profile of the certificate; None for an authority without profiles.
        error: the problem document that made it invalid.
        replaces: the certificate that it replaces, as RFC 9773 identifies it.
        created: when it was created, in UTC.
        finalized: when its certificate was stored, in UTC.
        certificate: the fingerprint of its certificate.
    """

    id: str
    account_id: str
    status: OrderStatus
    expires: datetime.datetime
    identifiers: tuple[Identifier, ...]
    profile: str | None = None
    error: Mapping[str, Any] | None = None
    replaces: str | None = None
    created: datetime.datetime
    finalized: datetime.datetime | None = None
    certificate: str | None = None


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """A challenge of an authorization.

    Attributes:
        type: such as ``http-01``; each type is in an authorization at most once.
        token: 256 random bits in base64url; empty for dns-persist-01.
        status: whether it was validated.
        validated: when it was validated, in UTC.
        error: the problem document, if the validation failed.
    """

    type: str
    token: str
    status: ChallengeStatus = ChallengeStatus.PENDING
    validated: datetime.datetime | None = None
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Authorization:
    """The authorization of one identifier of an order.

    Attributes:
        id: the identifier, the last part of its URL.
        order_id: the order.
        account_id: the account.
        identifier: the name.
        status: as stored; one that has expired is still ``pending`` or ``valid`` here.
        expires: until when it is good, in UTC.
        challenges: empty if the account is trusted for the name.
    """

    id: str
    order_id: str
    account_id: str
    identifier: Identifier
    status: AuthorizationStatus
    expires: datetime.datetime
    challenges: tuple[Challenge, ...] = ()
