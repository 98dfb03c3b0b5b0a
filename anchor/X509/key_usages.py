"""The key usages that a kind of public key can have."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

PublicKey = (
    rsa.RSAPublicKey
    | ec.EllipticCurvePublicKey
    | ed25519.Ed25519PublicKey
    | ed448.Ed448PublicKey
    | dsa.DSAPublicKey
)

_SIGNING = ("digitalSignature", "nonRepudiation")
_CA = ("keyCertSign", "cRLSign")

_KINDS: tuple[tuple[type, str, tuple[str, ...]], ...] = (
    # RFC 3279 2.3.1 and RFC 4055 1.2.
    (rsa.RSAPublicKey, "RSA", (*_SIGNING, "keyEncipherment", "dataEncipherment")),
    # RFC 8813 3: neither keyEncipherment nor dataEncipherment.
    (ec.EllipticCurvePublicKey, "EC", (*_SIGNING, "keyAgreement", "encipherOnly", "decipherOnly")),
    # RFC 9295 3.
    (ed25519.Ed25519PublicKey, "Ed25519", _SIGNING),
    (ed448.Ed448PublicKey, "Ed448", _SIGNING),
    # RFC 3279 2.3.2.
    (dsa.DSAPublicKey, "DSA", _SIGNING),
)


def usages_of(key: PublicKey) -> tuple[str, tuple[str, ...]]:
    """The name of the key's kind, and the usages that it can have, without those of CAs."""
    return next((name, usages) for kind, name, usages in _KINDS if isinstance(key, kind))


def unfit_usages(key: PublicKey, usages: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the usages, by RFC 5280's names, that this kind of key cannot have."""
    _, possible = usages_of(key)
    return tuple(usage for usage in usages if usage not in (*possible, *_CA))
