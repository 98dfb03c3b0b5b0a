"""The signature algorithms, and the kind of key that each one needs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

Algorithm = Literal[
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
]
"""An algorithm with a public key.  With a shared secret anyone who verifies could also sign."""

DEFAULT_ALGORITHMS: tuple[Algorithm, ...] = ("RS256", "ES256", "ES384", "EdDSA")

KEY_KINDS: Mapping[str, tuple[str, str | None]] = MappingProxyType(
    dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None))
    | {"ES256": ("EC", "P-256"), "ES384": ("EC", "P-384"), "ES512": ("EC", "P-521")}
    | dict.fromkeys(("EdDSA", "Ed25519"), ("OKP", "Ed25519"))
)
"""The key type and the curve of each algorithm (RFC 7518 section 3.1, RFC 8037, RFC 9864)."""

_SYNONYMS = frozenset({"EdDSA", "Ed25519"})


def same_algorithm(one: str, other: str) -> bool:
    """True if both are names of one algorithm for the keys that are accepted here."""
    return one == other or {one, other} == _SYNONYMS
