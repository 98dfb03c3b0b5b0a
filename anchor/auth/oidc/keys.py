"""The public keys of an issuer: a JSON Web Key Set (RFC 7517)."""

from __future__ import annotations

import binascii
import logging
import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from anchor.auth.oidc.tokens import MAX_KEY_ID, TokenRefused, UnverifiedToken, shown
from anchor.errors import Rejected
from anchor.jose.algorithms import KEY_KINDS, same_algorithm
from anchor.jose.signatures import verify
from anchor.jose.strict_json import parse_object
from anchor.X509 import weak_keys

LOG = logging.getLogger(__name__)

MAX_BYTES = 1_000_000
MAX_KEYS = 100

# RFC 7518 6.2.2, 6.3.2 and 6.4.1.
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_CURVES = {"EC": ("P-256", "P-384", "P-521"), "OKP": ("Ed25519",)}
_MEMBERS = {"RSA": ("n", "e"), "EC": ("x", "y"), "OKP": ("x",)}
# SPIFFE's bundles mark the keys of tokens with "jwt-svid".
_USES = (None, "sig", "jwt-svid")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]{1,1400}", re.ASCII)


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
        material: what the key consists of; equal for equal keys.
    """

    key_id: str | None
    kind: tuple[str, str | None]
    algorithm: str | None
    key: Key
    material: tuple[str, ...]

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
            key.material: key
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
    kind, key_id, curve = member.get("kty"), member.get("kid"), member.get("crv")
    if not isinstance(kind, str):
        raise InvalidKeys(f"key {number} has no 'kty'")
    secret = sorted(_PRIVATE & member.keys())
    if secret or kind == "oct":
        raise InvalidKeys(f"key {number} is a secret key: publish only public keys")
    if key_id is not None and not (isinstance(key_id, str) and len(key_id) <= MAX_KEY_ID):
        raise InvalidKeys(f"the 'kid' of key {number} is not a text of {MAX_KEY_ID} characters")
    algorithm = member.get("alg")
    if algorithm is not None and not isinstance(algorithm, str):
        raise InvalidKeys(f"the 'alg' of key {number} is not a text")
    if kind not in _MEMBERS or not _verifies_tokens(member):
        return None
    if kind in _CURVES and curve not in _CURVES[kind]:
        return None
    values = {name: _base64url(number, member, name) for name in _MEMBERS[kind]}
    # Before the import: joserfc would only print a warning about its size.
    if kind == "RSA" and _bits(values["n"]) < weak_keys.RSA_BITS.start:
        LOG.warning("key %d of the issuer is not used: the RSA key is too small", number)
        return None
    return _load_key(
        number,
        {"kty": kind, **({"crv": str(curve)} if kind in _CURVES else {}), **values},
        key_id=key_id,
        algorithm=algorithm,
    )


def _verifies_tokens(member: dict[str, Any]) -> bool:
    operations = member.get("key_ops")
    return member.get("use") in _USES and (
        operations is None or (isinstance(operations, list) and "verify" in operations)
    )


def _base64url(number: int, member: dict[str, Any], name: str) -> str:
    value = member.get(name)
    try:
        if not isinstance(value, str) or not _BASE64URL.fullmatch(value):
            raise ValueError
        urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except (ValueError, binascii.Error):
        raise InvalidKeys(f"the {name!r} of key {number} is not base64url") from None
    return value


def _bits(encoded: str) -> int:
    octets = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    return int.from_bytes(octets, "big").bit_length()


def _load_key(
    number: int, values: dict[str, str], *, key_id: str | None, algorithm: str | None
) -> VerificationKey | None:
    kind = values["kty"]
    types: dict[str, type[RSAKey] | type[ECKey] | type[OKPKey]] = {
        "RSA": RSAKey,
        "EC": ECKey,
        "OKP": OKPKey,
    }
    try:
        # Only the members above: joserfc must not interpret the others.
        key = types[kind].import_key(dict(values))
        public: Any = key.public_key
    except (JoseError, ValueError, OverflowError):
        raise InvalidKeys(f"key {number} is not a valid {kind} key") from None
    try:
        weak_keys.require_strong(public, _allowed(public))
    except Rejected as weak:
        LOG.warning("key %d of the issuer is not used: %s", number, weak)
        return None
    return VerificationKey(
        key_id=key_id,
        kind=(kind, values.get("crv")),
        algorithm=algorithm,
        key=key,
        material=tuple(values.values()),
    )


def _allowed(public: Any) -> weak_keys.Allowed:
    """Any exponent that is safe for signatures, because an issuer's keys are not ours to choose."""
    if isinstance(public, rsa.RSAPublicKey):
        exponent = public.public_numbers().e
        if 3 <= exponent < 2**32:
            return weak_keys.Allowed(exponents=frozenset({exponent}))
    return weak_keys.Allowed()
