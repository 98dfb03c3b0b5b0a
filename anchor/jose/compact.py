"""The compact form of signed JSON (RFC 7515 section 7.1), before its signature is verified."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

from anchor.jose.strict_json import parse_object

_PART = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True)
class CompactJws:
    """Well-formed signed JSON whose signature was not verified.

    Attributes:
        text: the whole of it.
        header: the members of the protected header.
        payload: the members of the payload.
    """

    text: str = field(repr=False)
    header: dict[str, Any] = field(repr=False)
    payload: dict[str, Any] = field(repr=False)


def parse_compact(text: str, limit: int) -> CompactJws:
    """Return the header and the payload.

    Args:
        text: three parts in base64url.
        limit: the largest number of characters.

    Raises:
        ValueError: it is not well-formed; the message contains nothing of it.
    """
    if len(text) > limit:
        raise ValueError(f"it has more than {limit} characters")
    parts = text.split(".")
    if len(parts) == 5:
        raise ValueError("it is encrypted; only signed ones are accepted")
    if len(parts) != 3:
        raise ValueError("it does not have three parts")
    header, payload = (
        _parse_part(part, name)
        for part, name in zip(parts, ("the header", "the payload"), strict=False)
    )
    decode_base64url(parts[2], "the signature")
    return CompactJws(text, header, payload)


def _parse_part(part: str, name: str) -> dict[str, Any]:
    octets = decode_base64url(part, name)
    try:
        return parse_object(octets)
    except ValueError as error:
        raise ValueError(f"{name} is not accepted: {error}") from None


def decode_base64url(text: str, name: str = "it") -> bytes:
    """The bytes of unpadded base64url (RFC 7515 section 2): one text only for the same bytes.

    Raises:
        ValueError: it is something else; the message starts with ``name``.
    """
    if not _PART.fullmatch(text) or len(text) % 4 == 1:
        raise ValueError(f"{name} is not base64url without padding")
    decoded = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode_base64url(decoded) != text:
        raise ValueError(f"{name} is not the canonical base64url of its bytes")
    return decoded


def encode_base64url(octets: bytes) -> str:
    """Bytes as base64url without padding."""
    return urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")
