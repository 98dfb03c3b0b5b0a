"""Checks on the public key in a request."""

from __future__ import annotations

import hashlib
import mmap
from bisect import bisect_left
from pathlib import Path
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from pydantic import AfterValidator, WithJsonSchema

from anchor.config.file_types import FilePath
from anchor.config.option_types import compiled
from anchor.validators.errors import ValidationError
from anchor.X509.signing_request import PublicKey, X509Csr

# The largest sizes in bits that the mandatory check `strong_key` accepts.
_LARGEST = {"RSA": 8192, "DSA": 3072, "EC": 521, "ED25519": 256, "ED448": 456}


def _minimum_sizes(sizes: dict[str, int | None]) -> dict[str, int]:
    for name, bits in sizes.items():
        if name not in _LARGEST:
            raise ValueError(f"{name[:80]!a} is not a kind of key: {', '.join(_LARGEST)}")
        if not 0 <= (bits or 0) <= _LARGEST[name]:
            raise ValueError(f"the size of {name} should be from 0 to {_LARGEST[name]}, not {bits}")
    return {name: bits or 0 for name, bits in sizes.items()}


KeySizes = Annotated[
    dict[str, int | None],
    AfterValidator(_minimum_sizes),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {
                name: {"type": ["integer", "null"], "minimum": 0, "maximum": bits}
                for name, bits in _LARGEST.items()
            },
            "additionalProperties": False,
        }
    ),
]


def public_key(csr: X509Csr, allowed_keys: KeySizes | None = None) -> None:
    """Require a key of a listed kind that is large enough.

    Args:
        allowed_keys: the minimum size in bits for each kind of key: ``RSA``, ``DSA``, ``EC``,
            ``ED25519``, ``ED448``. 0 or ``null`` allows every size.
    """
    name, bits = _kind_and_size(csr.public_key)
    if name not in (allowed_keys or {}):
        raise ValidationError("keys of this kind are not allowed", kind=name)
    least = (allowed_keys or {})[name] or 0
    if bits < least:
        raise ValidationError("the key is too small", kind=name, bits=bits, least=least)


class Blocklist:
    """A blocklist of badkeys: sorted records of a truncated SHA-256 and a source identifier.

    A record has the first 15 bytes of the hash of a key's identifying number, and 1 byte for the
    source of the key.
    """

    RECORD_SIZE = 16

    def __init__(self, path: Path):
        try:
            with path.open("rb") as file:
                self._records = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise ValueError(f"{path} cannot be read: {error}") from None
        count = len(self._records) // self.RECORD_SIZE
        if len(self._records) % self.RECORD_SIZE or self._record(0) > self._record(count - 1):
            raise ValueError(f"{path} is not a blocklist of badkeys")
        self._indices = range(count)

    def _record(self, index: int) -> bytes:
        """The hash in a record, without the byte for the source."""
        return self._records[index * self.RECORD_SIZE : (index + 1) * self.RECORD_SIZE - 1]

    def __contains__(self, key: PublicKey) -> bool:
        digest = hashlib.sha256(_identifying_number(key)).digest()[: self.RECORD_SIZE - 1]
        index = bisect_left(self._indices, digest, key=self._record)
        return index < len(self._indices) and self._record(index) == digest


def compromised_keys(
    csr: X509Csr, blocklist: Annotated[Blocklist, compiled(FilePath, Blocklist)]
) -> None:
    """Reject keys whose private key is publicly known.

    Args:
        blocklist: the file ``blocklist.dat`` of the package badkeys.
    """
    if csr.public_key in blocklist:
        raise ValidationError("the private key is known to others")


def _identifying_number(key: PublicKey) -> bytes:
    """The number that badkeys hashes: RSA modulus, DSA y, EC x, or the raw EdDSA key."""
    match key:
        case rsa.RSAPublicKey():
            number = key.public_numbers().n
        case dsa.DSAPublicKey():
            number = key.public_numbers().y
        case ec.EllipticCurvePublicKey():
            number = key.public_numbers().x
        case _:
            number = int.from_bytes(key.public_bytes_raw(), "big")
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _kind_and_size(key: PublicKey) -> tuple[str, int]:
    match key:
        case rsa.RSAPublicKey():
            return "RSA", key.key_size
        case dsa.DSAPublicKey():
            return "DSA", key.key_size
        case ec.EllipticCurvePublicKey():
            return "EC", key.curve.key_size
        case ed25519.Ed25519PublicKey():
            return "ED25519", 256
        case ed448.Ed448PublicKey():
            return "ED448", 456
