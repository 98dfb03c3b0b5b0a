"""The key usages that each kind of public key supports."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from anchor.X509.signing_request import PublicKey

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
    """The name of the key's kind and the usages that it supports, without those of CAs."""
    return next((name, usages) for kind, name, usages in _KINDS if isinstance(key, kind))


def unsupported_usages(key: PublicKey, usages: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the usages that this kind of key does not support.

    Args:
        key: the public key.
        usages: key usages by their names in RFC 5280.
    """
    _, supported = usages_of(key)
    return tuple(usage for usage in usages if usage not in (*supported, *_CA))
