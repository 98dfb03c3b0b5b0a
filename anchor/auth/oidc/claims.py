"""Claims of a token: where they are, and what may be in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import pydantic

from anchor.auth.oidc.tokens import TokenRefused, shown
from anchor.config.file_types import text

MAX_TEXT = 512
"""The longest text in a claim that Anchor uses, in characters."""

MAX_GROUPS = 500

_MISSING = object()
_INDEX = re.compile(r"0|[1-9][0-9]{0,5}", re.ASCII)


def _require_pointer(reference: str) -> str:
    if not reference:
        raise ValueError("should be a claim, or a JSON Pointer to one such as '/a/b'")
    if reference.startswith("/") and re.search(r"~(?![01])", reference):
        raise ValueError("is not a JSON Pointer: '~' is written '~0', and '/' in a name '~1'")
    return reference


ClaimReference = Annotated[
    str, pydantic.AfterValidator(_require_pointer), text("claim", minLength=1)
]
"""The name of a claim; if it starts with ``/``, a JSON Pointer into the claims (RFC 6901)."""


def find_claim(claims: Mapping[str, Any], reference: str) -> Any:
    """The value of a claim; None if the token does not have it."""
    if not reference.startswith("/"):
        return claims.get(reference)
    value: Any = claims
    for escaped in reference[1:].split("/"):
        name = escaped.replace("~1", "/").replace("~0", "~")
        value = _member(value, name)
    return None if value is _MISSING else value


def _member(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return value.get(name, _MISSING)
    if isinstance(value, list) and _INDEX.fullmatch(name) and int(name) < len(value):
        return value[int(name)]
    return _MISSING


def text_claim(claims: Mapping[str, Any], reference: str) -> str | None:
    """The text in a claim; None if the token does not have it.

    Raises:
        TokenRefused: it is no text, or a text that no name or identifier can be.
    """
    value = find_claim(claims, reference)
    return None if value is None else _require_text(value, reference)


def required_text(claims: Mapping[str, Any], reference: str) -> str:
    """The text in a claim.

    Raises:
        TokenRefused: as :func:`text_claim`, or the token does not have the claim.
    """
    value = text_claim(claims, reference)
    if value is None:
        raise TokenRefused(f"it has no claim {shown(reference)}")
    return value


def group_names(claims: Mapping[str, Any], reference: str) -> tuple[str, ...]:
    """The texts in a claim with a list; one text counts as a list.

    Raises:
        TokenRefused: the claim is missing, it has too many groups, or one of them is no text.
    """
    value = find_claim(claims, reference)
    if value is None:
        # Microsoft Entra leaves the groups out if there are too many, and says so.
        elsewhere = find_claim(claims, "_claim_names")
        if claims.get("hasgroups") or (isinstance(elsewhere, dict) and reference in elsewhere):
            raise TokenRefused("the user has too many groups: the issuer left them out")
        raise TokenRefused(f"it has no claim {shown(reference)}, which 'groups_claim' names")
    groups = value if isinstance(value, list) else [value]
    if len(groups) > MAX_GROUPS:
        raise TokenRefused(f"it has more than {MAX_GROUPS} groups")
    return tuple(dict.fromkeys(_require_text(group, reference) for group in groups))


def _require_text(value: object, reference: str) -> str:
    if not isinstance(value, str):
        raise TokenRefused(f"its claim {shown(reference)} is not a text")
    if not 0 < len(value) <= MAX_TEXT:
        raise TokenRefused(f"its claim {shown(reference)} does not have 1 to {MAX_TEXT} characters")
    if not value.isprintable() or value != value.strip():
        raise TokenRefused(
            f"its claim {shown(reference)} has characters that cannot be printed, or spaces at an "
            "end"
        )
    return value


@dataclass(frozen=True)
class ValidityRules:
    """How old and how long-lived a token may be.

    Attributes:
        leeway: by how many seconds the issuer's clock may differ.
        max_lifetime: for how many seconds a token may be valid.
    """

    leeway: float
    max_lifetime: float

    def require_valid(self, claims: Mapping[str, Any], now: float) -> float:
        """Return when the token expires, in seconds since 1970.

        Raises:
            TokenRefused: it is not valid now, or for too long.
        """
        expires = _number(claims, "exp")
        if expires is None:
            raise TokenRefused("it has no claim 'exp'")
        issued, not_before = _number(claims, "iat"), _number(claims, "nbf")
        if now >= expires + self.leeway:
            raise TokenRefused(f"it expired {now - expires:.0f} seconds ago")
        for name, moment in (("iat", issued), ("nbf", not_before)):
            if moment is not None and moment > now + self.leeway:
                raise TokenRefused(f"its {name!r} is {moment - now:.0f} seconds in the future")
        start = now if issued is None else issued
        if expires - start > self.max_lifetime:
            raise TokenRefused(
                f"it is valid for {expires - start:.0f} seconds, more than 'max_lifetime' allows"
            )
        return expires


# Before the year 6325, so that every time fits into a datetime.
_LAST_MOMENT = 2.0**37


def _number(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenRefused(f"its {name!r} is not a number")
    if not 0 <= value <= _LAST_MOMENT:
        raise TokenRefused(f"its {name!r} is not a time")
    return float(value)


def require_audience(claims: Mapping[str, Any], accepted: frozenset[str]) -> None:
    """Require that the token is for Anchor.

    Raises:
        TokenRefused: none of its audiences is accepted.
    """
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(each, str) for each in audiences):
        raise TokenRefused("its 'aud' is neither a string nor a list of strings")
    if accepted.isdisjoint(audiences):
        raise TokenRefused(f"its 'aud' {shown(audience)} is not in 'audience'")
