"""Public keys as JSON (RFC 7517), read strictly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from anchor.jose.compact import decode_base64url, encode_base64url
from anchor.X509 import weak_keys

# RFC 7518 6.2.2, 6.3.2 and 6.4.1.
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_CURVES = {"EC": ("P-256", "P-384", "P-521"), "OKP": ("Ed25519",)}
_MEMBERS = {"RSA": ("e", "n"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_TYPES: Mapping[str, type[RSAKey] | type[ECKey] | type[OKPKey]] = {
    "RSA": RSAKey,
    "EC": ECKey,
    "OKP": OKPKey,
}
# RFC 7518 6.2.1.2: a coordinate has as many bytes as the curve needs.
_COORDINATE_BYTES = {"P-256": 32, "P-384": 48, "P-521": 66}
_EC_CURVES: Mapping[str, type[ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
}
_MAX_MEMBER = 1400


@dataclass(frozen=True, eq=False)
class PublicJwk:
    """A public key.

    Attributes:
        members: the required members only; equal for equal keys.
        key: the key.
    """

    members: Mapping[str, str]
    key: Key = field(repr=False)

    @property
    def kind(self) -> tuple[str, str | None]:
        """Its type, and its curve if it has one."""
        return self.members["kty"], self.members.get("crv")

    @property
    def public_key(self) -> Any:
        """The key of ``cryptography``."""
        return self.key.public_key

    @property
    def thumbprint(self) -> bytes:
        """The SHA-256 thumbprint (RFC 7638)."""
        # Required members only, in alphabetical order, without spaces.
        canonical = json.dumps(dict(sorted(self.members.items())), separators=(",", ":"))
        return hashlib.sha256(canonical.encode("ascii")).digest()

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of its SubjectPublicKeyInfo, in hexadecimal."""
        encoded = self.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(encoded).hexdigest()

    def require_strong(self) -> None:
        """Require that nobody can compute the private key, as far as that is tested here.

        Raises:
            WeakKey: somebody can.
        """
        public = self.public_key
        allowed = weak_keys.Allowed()
        if isinstance(public, rsa.RSAPublicKey) and 3 <= public.public_numbers().e < 2**32:
            # Any exponent that is safe for signatures: the key is not ours to choose.
            allowed = weak_keys.Allowed(exponents=frozenset({public.public_numbers().e}))
        weak_keys.require_strong(public, allowed)


def public_jwk_of(public_key: object) -> PublicJwk | None:
    """The key of ``cryptography`` as a JWK; None if :func:`parse_public_jwk` reads no such keys."""
    key: Key
    match public_key:
        case rsa.RSAPublicKey():
            key = RSAKey.import_key(public_key)
        case ec.EllipticCurvePublicKey():
            key = ECKey.import_key(public_key)
        case ed25519.Ed25519PublicKey():
            key = OKPKey.import_key(public_key)
        case _:
            return None
    try:
        value = key.as_dict(private=False)
    except KeyError:
        # The library does not support the curve.
        return None
    if not is_supported(value):
        return None
    kind = str(value["kty"])
    return PublicJwk({"kty": kind, **{name: str(value[name]) for name in _MEMBERS[kind]}}, key)


def is_supported(value: Mapping[str, Any]) -> bool:
    """True if a JSON object has a type, and a curve, that :func:`parse_public_jwk` reads."""
    kind = value.get("kty")
    if not isinstance(kind, str) or kind not in _MEMBERS:
        return False
    return kind not in _CURVES or value.get("crv") in _CURVES[kind]


def parse_public_jwk(value: object) -> PublicJwk:
    """The public key in a JSON object; members that are not required are ignored.

    Raises:
        ValueError: it is no public key of a supported type; the message contains nothing of it.
        WeakKey: it is an RSA key that is too small.
    """
    if not isinstance(value, dict):
        raise ValueError("it is not an object")
    kind = value.get("kty")
    if not isinstance(kind, str) or kind not in _MEMBERS:
        raise ValueError(f"its 'kty' should be one of {', '.join(_MEMBERS)}")
    if PRIVATE_MEMBERS & value.keys():
        raise ValueError("it has a private key: send the public key only")
    if not is_supported(value):
        raise ValueError(f"its 'crv' should be one of {', '.join(_CURVES[kind])}")
    members = {"kty": kind}
    for name in _MEMBERS[kind]:
        text = value.get(name)
        if not isinstance(text, str) or len(text) > _MAX_MEMBER:
            raise ValueError(f"its {name!r} should be a string of at most {_MAX_MEMBER} characters")
        members[name] = text if name == "crv" else _canonical(value, name, text)
    if kind == "RSA":
        bits = int.from_bytes(decode_base64url(members["n"]), "big").bit_length()
        if bits < weak_keys.RSA_BITS.start:
            # Before the import: joserfc would only print a warning about its size.
            raise weak_keys.WeakKey("the RSA key is too small", bits=bits)
    return load_public_jwk(members)


def _canonical(value: Mapping[str, Any], name: str, text: str) -> str:
    """A member in the only form that RFC 7518 allows: some clients add or drop zero bytes."""
    octets = decode_base64url(text, f"its {name!r}")
    if value["kty"] == "OKP":
        return text
    size = _COORDINATE_BYTES[value["crv"]] if value["kty"] == "EC" else 1
    return encode_base64url(octets.lstrip(b"\0").rjust(size, b"\0"))


def load_public_jwk(members: Mapping[str, str]) -> PublicJwk:
    """The key with the required members, which were checked before.

    Raises:
        ValueError: it is no key; the message contains nothing of it.
    """
    try:
        if members["kty"] == "EC":
            # The library reads a point three times as fast as joserfc its numbers.
            return PublicJwk(members, ECKey.import_key(_point(members)))
        return PublicJwk(members, _TYPES[members["kty"]].import_key(dict(members)))
    except (JoseError, ValueError, OverflowError):
        raise ValueError(f"it is not a valid {members['kty']} key") from None


def _point(members: Mapping[str, str]) -> ec.EllipticCurvePublicKey:
    """The point with two coordinates; it has to be on the curve."""
    coordinates = (decode_base64url(members[name]) for name in ("x", "y"))
    # SEC 1 section 2.3.3: an uncompressed point.
    encoded = b"\x04" + b"".join(coordinates)
    return ec.EllipticCurvePublicKey.from_encoded_point(_EC_CURVES[members["crv"]](), encoded)
