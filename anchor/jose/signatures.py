"""Sign and verify with one key and one algorithm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import Key

from anchor.jose.algorithms import KEY_KINDS
from anchor.jose.compact import decode_base64url
from anchor.jose.flattened import EXTENSIONS


class SignedText(Protocol):
    """Signed JSON, whose form was checked."""

    @property
    def text(self) -> str:
        """The whole of it in the compact form."""

    @property
    def header(self) -> dict[str, Any]:
        """The members of the protected header."""


def verify(signed: SignedText, algorithm: str, key: Key) -> None:
    """Require that signed JSON is signed with a key; it is not parsed a second time.

    Args:
        signed: the signed JSON; the caller has checked its header.
        algorithm: the only algorithm that is accepted.
        key: the public key, of the kind that the algorithm needs.

    Raises:
        ValueError: the signature is wrong, or the header has a member that changes its meaning.
    """
    header = signed.header
    if header.get("alg") != algorithm or header.keys() & EXTENSIONS:
        raise ValueError("its header is not accepted")
    signing_input, _, signature = signed.text.rpartition(".")
    try:
        model = _registry(algorithm).get_alg(algorithm)
        model.check_key(key)
        is_right = model.verify(signing_input.encode("ascii"), decode_base64url(signature), key)
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


def _registry(algorithm: str) -> _Registry:
    return _Registry(algorithms=[algorithm])


class _Registry(jws.JWSRegistry):
    """Joserfc's algorithms, without its warning about the older name of Ed25519."""

    def get_alg(self, name: str) -> Any:
        if name not in KEY_KINDS or name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError(f"Algorithm of '{name}' is not allowed")
        return self.algorithms[name]
