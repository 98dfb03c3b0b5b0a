"""The Authorization header, and the limits on credentials."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

from anchor import errors
from anchor.web.request import Request

MAX_USER = 256
MAX_SECRET = 16384

# RFC 6750 section 2.1.
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)


@dataclass(slots=True)
class HeaderCredentials:
    """The credentials in the Authorization header.

    Attributes:
        bearer: True if the secret is a bearer token (RFC 6750), which has no user name.
    """

    user: str
    secret: str = field(repr=False)
    bearer: bool = False


def header_credentials(request: Request) -> HeaderCredentials | None:
    """The credentials in the header; None if there is no header.

    Raises:
        MalformedSubmission: the header is neither Basic nor Bearer, malformed or too long.
        NotAuthenticated: the secret is empty.
    """
    header = request.environ.get("HTTP_AUTHORIZATION", "")
    if not header:
        return None
    scheme, _, credentials = header.partition(" ")
    credentials = credentials.strip(" ")
    match scheme.lower():
        case "basic":
            user, secret = _basic_credentials(credentials)
            if not secret:
                raise errors.NotAuthenticated("there are no credentials")
            return HeaderCredentials(
                decode_text(user, "user", MAX_USER), decode_text(secret, "secret", MAX_SECRET)
            )
        case "bearer":
            if not _BEARER.fullmatch(credentials):
                raise errors.MalformedSubmission("the bearer token in the header is malformed")
            secret = credentials.encode("ascii")
            return HeaderCredentials("", decode_text(secret, "secret", MAX_SECRET), bearer=True)
    raise errors.MalformedSubmission(
        "the scheme of the Authorization header is neither Basic nor Bearer"
    )


def _basic_credentials(encoded: str) -> tuple[bytes, bytes]:
    """User and secret of Basic authentication (RFC 7617)."""
    try:
        user, colon, secret = base64.b64decode(encoded, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        colon = b""
    if not colon:
        raise errors.MalformedSubmission("the Basic credentials in the header are malformed")
    return user, secret


def decode_text(value: bytes, name: str, limit: int) -> str:
    """The text of a field.

    Args:
        value: the bytes.
        name: the name of the field, for errors.
        limit: the largest number of bytes.

    Raises:
        MalformedSubmission: it is too long, or not UTF-8.
    """
    if len(value) > limit:
        raise errors.MalformedSubmission(f"the field {name!r} is longer than {limit} bytes")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise errors.MalformedSubmission(f"the field {name!r} is not UTF-8") from None
