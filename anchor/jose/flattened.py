"""The flattened form of signed JSON (RFC 7515 section 7.2.2), before its signature is verified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anchor.jose.compact import decode_base64url
from anchor.jose.strict_json import parse_object

_MEMBERS = ("protected", "payload", "signature")
EXTENSIONS = ("crit", "b64")
"""Members of a header that change what is signed, or its meaning (RFC 7515 section 4.1.11, RFC 7797
section 3)."""


@dataclass(frozen=True)
class FlattenedJws:
    """Well-formed signed JSON whose signature was not verified.

    Attributes:
        text: the whole of it in the compact form.
        header: the members of the protected header.
        payload: the payload, which may be empty.
        signature: the signature or the MAC.
    """

    text: str = field(repr=False)
    header: dict[str, Any] = field(repr=False)
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def signing_input(self) -> bytes:
        """What is signed (RFC 7515 section 5.1)."""
        return self.text.rpartition(".")[0].encode("ascii")

    @property
    def members(self) -> dict[str, str]:
        """The members of the JSON object."""
        return dict(zip(_MEMBERS, self.text.split("."), strict=True))


def parse_flattened(members: Mapping[str, Any]) -> FlattenedJws:
    """Return the header and the payload.

    RFC 7515 section 4: members of the header that nobody here knows have no meaning.

    Args:
        members: the members of the JSON object: exactly ``protected``, ``payload``, ``signature``.

    Raises:
        ValueError: it is not well-formed, or has an extension; the message contains nothing of it.
    """
    if members.keys() != set(_MEMBERS):
        raise ValueError("it should have exactly the members 'protected', 'payload', 'signature'")
    if not all(isinstance(member, str) for member in members.values()):
        raise ValueError("its members should be strings")
    protected, payload, signature = (members[name] for name in _MEMBERS)
    try:
        header = parse_object(decode_base64url(protected, "'protected'"))
    except ValueError as error:
        raise ValueError(f"its header is not accepted: {error}") from None
    extension = next((name for name in EXTENSIONS if name in header), None)
    if extension is not None:
        raise ValueError(f"its header is not accepted: it has {extension!r}, an extension")
    return FlattenedJws(
        text=f"{protected}.{payload}.{signature}",
        header=header,
        payload=decode_base64url(payload, "'payload'") if payload else b"",
        signature=decode_base64url(signature, "'signature'"),
    )
