"""The strict form of a JSON Web Token, before its signature is verified (RFC 7519, RFC 8725)."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

from anchor.auth.oidc.strict_json import parse_object

MAX_TOKEN = 16384
"""The longest token, in characters."""

MAX_KEY_ID = 256

_PART = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_HEADERS = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256"})
_USUAL_TYPES = frozenset({"jwt", "jose"})


class TokenRefused(Exception):
    """A token is not accepted; the reason is for the operator and contains no token."""


def shown(value: object) -> str:
    """A value of a token for a log line: printable ASCII, and not longer than 100 characters."""
    text = ascii(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


@dataclass(frozen=True)
class UnverifiedToken:
    """A well-formed token whose signature was not verified.

    Attributes:
        text: the token.
        algorithm: the algorithm in its header, which may be any text.
        key_id: the identifier of the key in its header, if any.
        claims: the members of its payload.
    """

    text: str = field(repr=False)
    algorithm: str
    key_id: str | None
    claims: dict[str, Any] = field(repr=False)


def parse_token(text: str, required_type: str | None = None) -> UnverifiedToken:
    """Return the header and the claims of a token in the compact form.

    Args:
        text: the token.
        required_type: the ``typ`` that the header must have; without it ``JWT``, ``JOSE`` and no
            ``typ`` are accepted.

    Raises:
        TokenRefused: it is no token, or it asks for what is not supported here.
    """
    if len(text) > MAX_TOKEN:
        raise TokenRefused(f"it has more than {MAX_TOKEN} characters")
    parts = text.split(".")
    if len(parts) == 5:
        raise TokenRefused("it is encrypted; only signed tokens are accepted")
    if len(parts) != 3:
        raise TokenRefused("it does not have three parts")
    header, claims = (_parse_part(part, name) for part, name in zip(parts, _NAMES, strict=False))
    decode(parts[2], "the signature")
    _require_understood(header)
    _require_type(header.get("typ"), required_type)
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        raise TokenRefused("its header has no 'alg'")
    if key_id is not None and not (isinstance(key_id, str) and 0 < len(key_id) <= MAX_KEY_ID):
        raise TokenRefused(f"its 'kid' is not a text of at most {MAX_KEY_ID} characters")
    return UnverifiedToken(text, algorithm, key_id, claims)


_NAMES = ("the header", "the payload")


def _parse_part(part: str, name: str) -> dict[str, Any]:
    try:
        return parse_object(decode(part, name))
    except ValueError as error:
        raise TokenRefused(f"{name} is not accepted: {error}") from None


def decode(part: str, name: str) -> bytes:
    """The bytes of a part: one text only for the same bytes.

    Raises:
        TokenRefused: the part is not base64url without padding.
    """
    if not _PART.fullmatch(part) or len(part) % 4 == 1:
        raise TokenRefused(f"{name} is not base64url without padding")
    decoded = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if urlsafe_b64encode(decoded).rstrip(b"=").decode("ascii") != part:
        raise TokenRefused(f"{name} is not the canonical base64url of its bytes")
    return decoded


def _require_understood(header: dict[str, Any]) -> None:
    # "jku", "x5u", "jwk" and "x5c" would let a token name the key; "crit", "b64" and "zip"
    # change what a token means.
    unknown = sorted(header.keys() - _HEADERS)
    if unknown:
        raise TokenRefused(f"its header has {shown(unknown[0])}, which is not accepted")


def _require_type(found: object, required: str | None) -> None:
    # RFC 7515 4.1.9: without regard to case, and "application/" may be left out.
    kind = found.lower().removeprefix("application/") if isinstance(found, str) else ""
    if required is not None:
        if kind != required.lower().removeprefix("application/"):
            raise TokenRefused(f"its 'typ' is {shown(found)} and not {required!r}")
    elif found is not None and kind not in _USUAL_TYPES:
        raise TokenRefused(f"its 'typ' is {shown(found)} and not 'JWT'")
