"""The JWS inside of a request, as in a binding or a change of the key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from anchor.acme.problems import AcmeProblem
from anchor.jose.flattened import FlattenedJws, parse_flattened
from anchor.jose.public_keys import PublicJwk, parse_public_jwk
from anchor.X509.weak_keys import WeakKey

Refuse = Callable[[str], AcmeProblem]
"""Makes the problem document for a reason."""


def parse_inner(value: Mapping[str, Any], name: str, url: str, refuse: Refuse) -> FlattenedJws:
    """The JWS, whose signature is not verified yet.

    Args:
        value: its members.
        name: the member of the header that names the key: ``jwk`` or ``kid``.
        url: the URL of the request, which the header has to have.
        refuse: makes the problem document.

    Raises:
        AcmeProblem: it is malformed.
    """
    try:
        inner = parse_flattened(value)
    except ValueError as error:
        raise refuse(str(error)) from None
    other = "kid" if name == "jwk" else "jwk"
    if not inner.header.keys() >= {"alg", name, "url"} or inner.header.keys() & {other, "nonce"}:
        raise refuse(
            f"its header should have 'alg', {name!r} and 'url', and neither {other!r} nor 'nonce'"
        )
    if inner.header["url"] != url:
        raise refuse(f"its 'url' should be that of the request, {url}")
    return inner


def require_account_key(jwk: object, key: PublicJwk, member: str, refuse: Refuse) -> None:
    """Require that a key in a JWS is that of the account.

    Args:
        jwk: the key in the JWS.
        key: the key of the account.
        member: what the JWS has the key in, such as ``its payload``.
        refuse: makes the problem document.

    Raises:
        AcmeProblem: it is malformed, or is another key.
    """
    try:
        is_same = parse_public_jwk(jwk).members == key.members
    except (ValueError, WeakKey) as error:
        raise refuse(f"{member} should be the key of the account: {error}") from None
    if not is_same:
        raise refuse(f"{member} should be the key of the account, and is another key")
