"""The public keys of an issuer: a JSON Web Key Set (RFC 7517)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from joserfc.jwk import Key

from anchor.auth.oidc.tokens import MAX_KEY_ID, TokenRefused, UnverifiedToken, shown
from anchor.errors import Rejected
from anchor.jose.algorithms import KEY_KINDS, same_algorithm
from anchor.jose.public_keys import PRIVATE_MEMBERS, is_supported, parse_public_jwk
from anchor.jose.signatures import verify
from anchor.jose.strict_json import parse_object

LOG = logging.getLogger(__name__)

MAX_BYTES = 1_000_000
MAX_KEYS = 100

# SPIFFE's bundles mark the keys of tokens with "jwt-svid".
_USES = (None, "sig", "jwt-svid")


class InvalidKeys(ValueError):
    """A key set cannot be used; the message contains no key."""


@dataclass(frozen=True)
class VerificationKey:
    """A public key of the issuer.

    Attributes:
        key_id: its identifier, if it has one.
        kind: its type, and its curve if it has one.
        algorithm: the only algorithm that it is for, if it says so.
        key: the key.
        thumbprint: its SHA-256 thumbprint (RFC 7638); equal for equal keys.
    """

    key_id: str | None
    kind: tuple[str, str | None]
    algorithm: str | None
    key: Key
    thumbprint: bytes

    def fits(self, algorithm: str) -> bool:
        """True if signatures of that algorithm can be verified with this key."""
        return KEY_KINDS.get(algorithm) == self.kind and (
            self.algorithm is None or same_algorithm(self.algorithm, algorithm)
        )


@dataclass(frozen=True)
class KeySet:
    """The keys of an issuer that can verify tokens."""

    keys: tuple[VerificationKey, ...]

    def candidates(self, token: UnverifiedToken) -> list[VerificationKey]:
        """The keys that the token may be signed with; an identifier only selects among them."""
        found = {
            key.thumbprint: key
            for key in self.keys
            if key.fits(token.algorithm) and token.key_id in (None, key.key_id)
        }
        return list(found.values())

    def verify(self, token: UnverifiedToken) -> None:
        """Require a valid signature.

        Raises:
            TokenRefused: no key or several keys fit, or the signature is wrong.
        """
        candidates = self.candidates(token)
        if not candidates:
            raise TokenRefused(f"the issuer has no key {shown(token.key_id)} for its algorithm")
        if len(candidates) > 1:
            raise TokenRefused("several keys of the issuer fit, and its 'kid' selects none")
        try:
            verify(token.signed, token.algorithm, candidates[0].key)
        except ValueError as error:
            raise TokenRefused(str(error)) from None


def parse_keys(encoded: bytes) -> KeySet:
    """The usable keys in a JSON Web Key Set; keys for other purposes are left out.

    Raises:
        InvalidKeys: it is no key set, or it contains a secret key or a malformed one.
    """
    if len(encoded) > MAX_BYTES:
        raise InvalidKeys(f"the key set has more than {MAX_BYTES} bytes")
    try:
        members = parse_object(encoded).get("keys")
    except ValueError as error:
        raise InvalidKeys(f"the key set cannot be read: {error}") from None
    if not isinstance(members, list):
        raise InvalidKeys("the key set has no list 'keys'")
    if len(members) > MAX_KEYS:
        raise InvalidKeys(f"the key set has more than {MAX_KEYS} keys")
    parsed = (_parse_key(number, member) for number, member in enumerate(members))
    return KeySet(tuple(key for key in parsed if key is not None))


def _parse_key(number: int, member: object) -> VerificationKey | None:
    """A key, or None if it is for another purpose or too weak."""
    if not isinstance(member, dict):
        raise InvalidKeys(f"key {number} is not an object")
    kind, key_id = member.get("kty"), member.get("kid")
    if not isinstance(kind, str):
        raise InvalidKeys(f"key {number} has no 'kty'")
    secret = sorted(PRIVATE_MEMBERS & member.keys())
    if secret or kind == "oct":
        raise InvalidKeys(f"key {number} is a secret key: publish only public keys")
    if key_id is not None and not (isinstance(key_id, str) and len(key_id) <= MAX_KEY_ID):
        raise InvalidKeys(f"the 'kid' of key {number} is not a text of {MAX_KEY_ID} characters")
    algorithm = member.get("alg")
    if algorithm is not None and not isinstance(algorithm, str):
        raise InvalidKeys(f"the 'alg' of key {number} is not a text")
    if not is_supported(member) or not _verifies_tokens(member):
        return None
    try:
        key = parse_public_jwk(member)
        key.require_strong()
    except Rejected as weak:
        LOG.warning("key %d of the issuer is not used: %s", number, weak)
        return None
    except ValueError as error:
        raise InvalidKeys(f"key {number} is not accepted: {error}") from None
    return VerificationKey(
        key_id=key_id,
        kind=key.kind,
        algorithm=algorithm,
        key=key.key,
        thumbprint=key.thumbprint,
    )


def _verifies_tokens(member: dict[str, Any]) -> bool:
    operations = member.get("key_ops")
    return member.get("use") in _USES and (
        operations is None or (isinstance(operations, list) and "verify" in operations)
    )
