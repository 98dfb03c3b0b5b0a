"""Sign and verify with one key and one algorithm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import Key
from joserfc.registry import HeaderParameter

from anchor.jose.algorithms import KEY_KINDS
from anchor.jose.flattened import FlattenedJws


class SignedText(Protocol):
    """Signed JSON."""

    @property
    def text(self) -> str:
        """The whole of it in the compact form."""


def verify(signed: SignedText, algorithm: str, key: Key) -> None:
    """Require that signed JSON is signed with a key.

    Args:
        signed: the signed JSON, whose header was checked.
        algorithm: the only algorithm that is accepted.
        key: the public key, of the kind that the algorithm needs.

    Raises:
        ValueError: the signature is wrong.
    """
    try:
        jws.deserialize_compact(signed.text, key, registry=_registry(algorithm))
    except (JoseError, ValueError):
        raise ValueError("its signature is wrong") from None


def verify_flattened(signed: FlattenedJws, algorithm: str, key: Key) -> None:
    """Require that signed JSON is signed with a key; it is not parsed a second time.

    Args:
        signed: the signed JSON; the caller has checked its header.
        algorithm: the only algorithm that is accepted.
        key: the public key, of the kind that the algorithm needs.

    Raises:
        ValueError: the signature is wrong, or the header has a member that changes its meaning.
    """
    header = signed.header
    if header.get("alg") != algorithm or not _CRITICAL.isdisjoint(header):
        raise ValueError("its header is not accepted")
    try:
        model = _registry(algorithm).get_alg(algorithm)
        model.check_key(key)
        is_right = model.verify(signed.signing_input, signed.signature, key)
    except (JoseError, ValueError):
        is_right = False
    if not is_right:
        raise ValueError("its signature is wrong")


def sign(header: Mapping[str, Any], payload: Mapping[str, Any], key: Key) -> str:
    """Signed JSON in the compact form.

    Args:
        header: the members of the protected header; ``alg`` is one of :data:`KEY_KINDS`.
        payload: the members of the payload.
        key: the private key, of the kind that the algorithm needs.
    """
    text = json.dumps(payload)
    return jws.serialize_compact(dict(header), text, key, registry=_registry(header["alg"]))


# RFC 7515 section 4.1.11 and RFC 7797 section 3.
_CRITICAL = frozenset({"crit", "b64"})
# RFC 8555 section 6.4 and 6.5.2.
_ACME_MEMBERS = {
    "nonce": HeaderParameter("Nonce", "str"),
    "url": HeaderParameter("URL", "str"),
}


def _registry(algorithm: str) -> _Registry:
    return _Registry(header_registry=_ACME_MEMBERS, algorithms=[algorithm])


class _Registry(jws.JWSRegistry):
    """Joserfc's algorithms, without its warning about the older name of Ed25519."""

    # parse_compact() limits the whole; a header with a certificate takes most of it.
    max_header_length = 32768
    max_signature_length = 4096

    def get_alg(self, name: str) -> Any:
        if name not in KEY_KINDS or name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError(f"Algorithm of '{name}' is not allowed")
        return self.algorithms[name]
