"""Tokens for people and for scripts, without their secrets."""

from __future__ import annotations

import datetime
from typing import Any

from anchor.auth.token import Token
from anchor.timestamps import timestamp


def describe(token: Token) -> dict[str, Any]:
    """The values of a token for JSON, without the secret."""
    return {
        "id": token.id,
        "authority": token.authority,
        "requester": token.requester,
        "groups": list(token.groups),
        "names": None if token.names is None else list(token.names),
        "uses": token.uses,
        "acme": token.mac_key is not None,
        "created": timestamp(token.created),
        "expires": None if token.expires is None else timestamp(token.expires),
    }


def as_json(token: Token, now: datetime.datetime) -> dict[str, Any]:
    """Everything about a token but the hash of its secret."""
    return describe(token) | {
        "state": state(token, now),
        "used": token.used,
        "uses_left": uses_left(token),
        "revoked": None if token.revoked is None else timestamp(token.revoked),
    }


def state(token: Token, now: datetime.datetime) -> str:
    """Whether a token is ``usable``, ``revoked``, ``expired`` or ``used up``."""
    if token.revoked is not None:
        return "revoked"
    if token.expires is not None and token.expires <= now:
        return "expired"
    return "usable" if token.used < token.uses else "used up"


def uses_left(token: Token) -> int:
    """How many certificates or accounts a token was still valid for, if it could be used."""
    return max(token.uses - token.used, 0)
