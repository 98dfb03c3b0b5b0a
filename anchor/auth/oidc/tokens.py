"""The strict form of a JSON Web Token, before its signature is verified (RFC 7519, RFC 8725)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from anchor.jose.compact import CompactJws, parse_compact

MAX_TOKEN = 16384
"""The longest token, in characters."""

MAX_KEY_ID = 256

# "jwk" and "x5c" bring a key along; the others change what a token means (doc/adr/0039).
_REFUSED_HEADERS = frozenset({"jwk", "x5c", "crit", "b64", "zip", "enc", "cty"})
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
        signed: the token.
        algorithm: the algorithm in its header, which may be any text.
        key_id: the identifier of the key in its header, if any.
    """

    signed: CompactJws = field(repr=False)
    algorithm: str
    key_id: str | None

    @property
    def claims(self) -> dict[str, Any]:
        """The members of its payload."""
        return self.signed.payload


def parse_token(text: str, required_type: str | None = None) -> UnverifiedToken:
    """Return the header and the claims of a token in the compact form.

    Args:
        text: the token.
        required_type: the ``typ`` that the header must have; without it ``JWT``, ``JOSE`` and no
            ``typ`` are accepted.

    Raises:
        TokenRefused: it is no token, or it asks for what is not supported here.
    """
    try:
        signed = parse_compact(text, MAX_TOKEN)
    except ValueError as error:
        raise TokenRefused(str(error)) from None
    header = signed.header
    _require_understood(header)
    _require_type(header.get("typ"), required_type)
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        raise TokenRefused("its header has no 'alg'")
    if key_id is not None and not (isinstance(key_id, str) and 0 < len(key_id) <= MAX_KEY_ID):
        raise TokenRefused(f"its 'kid' is not a text of at most {MAX_KEY_ID} characters")
    return UnverifiedToken(signed, algorithm, key_id)


def _require_understood(header: dict[str, Any]) -> None:
    # RFC 7515 4: others are ignored. No key is fetched from a "jku" or "x5u".
    refused = sorted(header.keys() & _REFUSED_HEADERS)
    if refused:
        raise TokenRefused(f"its header has {refused[0]!r}, which is not accepted")


def _require_type(found: object, required: str | None) -> None:
    # RFC 7515 4.1.9: without regard to case, and "application/" may be left out.
    kind = found.lower().removeprefix("application/") if isinstance(found, str) else ""
    if required is not None:
        if kind != required.lower().removeprefix("application/"):
            raise TokenRefused(f"its 'typ' is {shown(found)} and not {required!r}")
    elif found is not None and kind not in _USUAL_TYPES:
        raise TokenRefused(f"its 'typ' is {shown(found)} and not 'JWT'")
