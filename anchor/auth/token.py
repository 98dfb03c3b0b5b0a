"""Tokens: a machine's first credential, for a limited number of certificates or accounts."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import logging
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Protocol

from anchor.auth.credentials import is_token_id
from anchor.auth.presented import TokenMac
from anchor.auth.results import AuthDetails, CredentialKind
from anchor.errors import NotAuthenticated, RequesterGone
from anchor.timestamps import timestamp

LOG = logging.getLogger(__name__)

_SECRET_BYTES = 32
# Unpadded base64url of 32 bytes.
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
# No secret has this hash.
_NO_HASH = "0" * 64


@dataclass(frozen=True, kw_only=True)
class Token:
    """A stored token.

    Attributes:
        id: the identifier, which is not secret.
        authority: the registration authority that accepts the token.
        requester: the user name of the token's holder.
        groups: the groups of the holder.
        names: the names that certificates may have; None for no limit.
        secret_hash: the :func:`hash_secret` of the secret.
        uses: the number of certificates or ACME accounts that the token is valid for.
        used: the number of them that it got so far.
        created: when it was created, in UTC.
        expires: when it expires, in UTC; None for never.
        revoked: when it was revoked, in UTC; None if it was not.
        mac_key: the secret as bytes, for a token that can bind an ACME account; None for a token of
            an authority without ACME, or that was revoked or has expired.
    """

    id: str
    authority: str
    requester: str
    groups: tuple[str, ...] = ()
    names: tuple[str, ...] | None = None
    secret_hash: str = field(repr=False)
    uses: int = 1
    used: int = 0
    created: datetime.datetime
    expires: datetime.datetime | None
    revoked: datetime.datetime | None = None
    mac_key: bytes | None = field(default=None, repr=False)

    @property
    def identity(self) -> AuthDetails:
        """The identity of the holder."""
        return AuthDetails(self.requester, self.groups, allowed_names=self.names, token_id=self.id)

    def is_usable(self, now: datetime.datetime) -> bool:
        """Whether the token is valid for another certificate."""
        is_in_force = self.expires is None or now < self.expires
        return self.revoked is None and is_in_force and self.used < self.uses


class TokenStore(Protocol):
    """The tokens of all nodes."""

    def find(self, token_id: str) -> Token | None:
        """The token with an identifier; None if there is none.

        Raises:
            DatabaseUnavailable: the tokens cannot be read.
        """

    def now(self) -> datetime.datetime:
        """The current time, in UTC."""


class TokenAuthentication:
    """Accepts tokens that ``anchor token create`` made; the user name is the token's id.

    A token belongs to one registration authority.  It expires, and it is valid for a limited number
    of certificates, which all processes and nodes count together.
    """

    # It waits for the database only, which limits each wait itself.
    waits = False
    credential = CredentialKind.TOKEN
    from_anchor = ("tokens",)

    def __init__(self, tokens: TokenStore):
        self._tokens = tokens

    def authenticate(self, user: str, secret: str, authority: str) -> AuthDetails:
        """Return the identity of a token's holder; the certificate takes the use.

        Raises:
            NotAuthenticated: the token is unknown, used up, revoked, expired or of another
                authority, or the secret is wrong.
            DatabaseUnavailable: the database is away.
        """
        token = self._tokens.find(user) if is_token_id(user) else None
        # An unknown token costs as much as a wrong secret.
        expected = token.secret_hash if token else _NO_HASH
        is_right = hmac.compare_digest(expected, hash_secret(secret))
        if (
            token is None
            or not is_right
            or not _SECRET.fullmatch(secret)
            or token.authority != authority
            or not token.is_usable(self._tokens.now())
        ):
            raise NotAuthenticated()
        return token.identity

    def verify_mac(self, presented: TokenMac, authority: str) -> AuthDetails:
        """Return the identity of a token's holder; the account takes the use.

        Args:
            presented: the MAC, whose key is the secret.
            authority: the registration authority.

        Raises:
            NotAuthenticated: as for :meth:`authenticate`, or the token cannot bind accounts, or an
                account has the MAC already.
            DatabaseUnavailable: the database is away.
        """
        token_id = presented.token_id
        token = self._tokens.find(token_id) if is_token_id(token_id) else None
        # An unknown token costs as much as a wrong MAC.
        key = (token and token.mac_key) or bytes(_SECRET_BYTES)
        expected = hmac.digest(key, presented.message, presented.algorithm)
        is_right = hmac.compare_digest(expected, presented.mac)
        if token is not None:
            now = self._tokens.now()
            refusal = _refusal(token, authority, now, presented, is_right=is_right)
            if not refusal:
                return token.identity
            refusal = f"the token {token_id} {refusal}"
        elif is_token_id(token_id):
            refusal = f"there is no token {token_id}"
        else:
            # Not repeated: it may be the secret.
            refusal = "its 'kid' is no identifier of a token"
        LOG.info("request %s: a binding is refused: %s", presented.origin.request_id, refusal)
        raise NotAuthenticated()

    def look_up(self, recorded: AuthDetails, authority: str) -> AuthDetails:
        """Return the identity of the holder of the token that got the first certificate.

        The token may be expired or used up: it was for the first certificate only.

        Raises:
            RequesterGone: the token was revoked, does not exist any more, or is of another
                authority.
            DatabaseUnavailable: the database is away.
        """
        token = self._tokens.find(recorded.token_id) if recorded.token_id else None
        if token is None or token.authority != authority:
            raise RequesterGone("the token of the first certificate does not exist any more")
        if token.revoked is not None:
            raise RequesterGone("the token of the first certificate was revoked")
        return token.identity


def _refusal(
    token: Token,
    authority: str,
    now: datetime.datetime,
    presented: TokenMac,
    *,
    is_right: bool,
) -> str:
    """Why a token binds no account, for the log; empty if it does."""
    revoked, expires = token.revoked, token.expires
    refusals = (
        (token.authority != authority, f"is of the authority {token.authority}"),
        (revoked is not None, f"was revoked at {revoked and timestamp(revoked)}"),
        (
            expires is not None and expires <= now,
            f"has expired at {expires and timestamp(expires)}",
        ),
        (
            token.mac_key is None,
            "has no HMAC key, as it was created before the authority had ACME",
        ),
        (not is_right, "has another secret than the HMAC key"),
        (presented.is_used, "has an account with the same binding already"),
        (not token.is_usable(now), "is used up"),
    )
    return next((text for applies, text in refusals if applies), "")


def new_secret() -> str:
    """A secret of 256 random bits, as text that does not begin with a hyphen.

    Such a text would look like an option to certbot, which takes the secret on its command line.
    """
    while True:
        content = secrets.token_bytes(_SECRET_BYTES)
        secret = urlsafe_b64encode(content).rstrip(b"=").decode("ascii")
        if not secret.startswith("-"):
            return secret


def mac_key_of(secret: str) -> bytes:
    """The bytes of a secret that :func:`new_secret` made."""
    return urlsafe_b64decode(secret + "=")


def hash_secret(secret: str) -> str:
    """The SHA-256 of a secret, in hexadecimal.

    A slow hash would not make it safer: 256 random bits cannot be guessed.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
