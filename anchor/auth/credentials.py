"""The credentials that a client presents, and their kind."""

from __future__ import annotations

import re
import secrets
from base64 import b32encode

from anchor.auth.results import CredentialKind

# Three base64url parts; the first is of a text that starts with a brace.
_JWT = re.compile(r"e[wy][A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", re.ASCII)
# A JWT with something around it, such as a line break, or with other parts.
_WITH_JWT = re.compile(
    r"(?<![A-Za-z0-9_+/-])e[wy][A-Za-z0-9_+/-]{16,}={0,2}\.[A-Za-z0-9_+/-]*={0,2}\.", re.ASCII
)
# A token of Keystone: the version 0x80, and a time before the year 2106.
_WITH_FERNET = re.compile(r"(?<![A-Za-z0-9_+/-])gAAAAA[A-Za-z0-9_+/-]{80,}", re.ASCII)
_TOKEN_ID = re.compile(r"tk_[a-z2-7]{16}", re.ASCII)
_MEANT_AS_TOKEN_ID = re.compile(_TOKEN_ID.pattern, re.ASCII | re.IGNORECASE)


def kind_of(user: str, secret: str) -> CredentialKind:
    """The kind of the credential in a form or in Basic authentication.

    Only its shape decides, so a credential is never tried in several ways.  A damaged token or JWT
    is no password: it is refused, and no directory of passwords sees it.
    """
    if _MEANT_AS_TOKEN_ID.fullmatch(user.strip()):
        return CredentialKind.TOKEN
    if is_jwt(secret) or _WITH_JWT.search(secret):
        return CredentialKind.JWT
    return CredentialKind.PASSWORD


def is_jwt(secret: str) -> bool:
    """Whether a secret has the form of a JSON Web Token."""
    return _JWT.fullmatch(secret) is not None


def recorded_user(user: str, secret: str) -> str:
    """The user name for logs and the audit; empty if the client has put a secret in its place.

    Clients exchange the identifier and the secret of a token, and send a JWT or a token of Keystone
    as the user name, as other services want it.
    """
    is_exchanged = _MEANT_AS_TOKEN_ID.fullmatch(secret.strip())
    has_secret = is_exchanged or _WITH_JWT.search(user) or _WITH_FERNET.search(user)
    return "" if has_secret else user


def is_token_id(user: str) -> bool:
    """Whether a user name has the form of a token's identifier."""
    return _TOKEN_ID.fullmatch(user) is not None


def new_token_id() -> str:
    """The identifier of a new token, which no user name looks like."""
    return "tk_" + b32encode(secrets.token_bytes(10)).decode("ascii").lower()
