"""Slow, salted hashes of secrets in PHC string format: argon2id and scrypt."""

from __future__ import annotations

import binascii
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from cryptography.exceptions import InvalidKey, UnsupportedAlgorithm
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

SHORTEST_SECRET = 12
"""Twelve random characters cannot be guessed over the network within years."""

# The minimum of OWASP: 19 MiB, and about 45 ms on one core.
_MEMORY_KIB, _ITERATIONS, _LANES = 19456, 2, 1
# Where OpenSSL has no argon2id: 16 MiB, and about 250 ms.
_SCRYPT_LOG_N, _SCRYPT_R, _SCRYPT_P = 14, 8, 5
_SALT_BYTES, _DIGEST_BYTES = 16, 32

# A wrong file must not make a request expensive: 128 MiB, and about a second.
MAX_MEMORY = 128 << 20
MAX_WORK = 256 << 20
"""The memory of a hash in bytes, times the number of passes over it."""

_SALT_AND_DIGEST = r"\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})"
_NUMBER = "([1-9][0-9]{0,6})"
_ARGON2ID = re.compile(
    rf"\$argon2id\$v=19\$m={_NUMBER},t={_NUMBER},p={_NUMBER}{_SALT_AND_DIGEST}", re.ASCII
)
_SCRYPT = re.compile(rf"\$scrypt\$ln={_NUMBER},r={_NUMBER},p={_NUMBER}{_SALT_AND_DIGEST}", re.ASCII)


@dataclass(frozen=True)
class SecretHash:
    """A hash that secrets can be compared with.

    Attributes:
        derivation: makes the function that derives a digest from a secret; it works only once.
        digest: the digest of the right secret.
    """

    derivation: Callable[[], Argon2id | Scrypt] = field(repr=False)
    digest: bytes = field(repr=False)

    def matches(self, secret: str) -> bool:
        """Whether the hash is of this secret; it takes as long if it is not."""
        try:
            self.derivation().verify(_encode(secret), self.digest)
        except InvalidKey:
            return False
        return True


def parse_hash(text: str) -> SecretHash:
    """The hash in PHC string format, with ``argon2id`` or ``scrypt``.

    Raises:
        ValueError: it is malformed, costs too much, or OpenSSL does not support it.  The message
            does not contain the hash.
    """
    if found := _ARGON2ID.fullmatch(text):
        memory, iterations, lanes = map(int, found.groups()[:3])
        _limit("m", memory << 10, "t", iterations, lanes)
        kind: Callable[..., Argon2id | Scrypt] = partial(
            Argon2id, memory_cost=memory, iterations=iterations, lanes=lanes
        )
    elif found := _SCRYPT.fullmatch(text):
        log_n, r, p = map(int, found.groups()[:3])
        _limit("ln", 128 * r << min(log_n, 64), "p", p, p)
        kind = partial(Scrypt, n=1 << log_n, r=r, p=p)
    else:
        raise ValueError(
            "is not a hash in PHC string format, such as '$argon2id$v=19$m=...,t=...,p=...$...' or "
            "'$scrypt$ln=...,r=...,p=...$...': `anchor user add` makes one"
        )
    salt, digest = map(_decode, found.groups()[3:])
    derivation = partial(kind, salt=salt, length=len(digest))
    try:
        derivation()
    except UnsupportedAlgorithm:
        raise ValueError(
            "is an argon2id hash, which needs OpenSSL 3.2 or later: use scrypt"
        ) from None
    except ValueError:
        raise ValueError("is a hash with parameters that the algorithm does not allow") from None
    return SecretHash(derivation, digest)


def hash_secret(secret: str) -> str:
    """A new hash of a secret: argon2id, or scrypt where OpenSSL does not have it."""
    salt = os.urandom(_SALT_BYTES)
    try:
        argon2id = Argon2id(
            salt=salt,
            length=_DIGEST_BYTES,
            iterations=_ITERATIONS,
            lanes=_LANES,
            memory_cost=_MEMORY_KIB,
        )
    except UnsupportedAlgorithm:
        return _hash_with_scrypt(secret, salt)
    return argon2id.derive_phc_encoded(_encode(secret))


def _hash_with_scrypt(secret: str, salt: bytes) -> str:
    scrypt = Scrypt(salt=salt, length=_DIGEST_BYTES, n=1 << _SCRYPT_LOG_N, r=_SCRYPT_R, p=_SCRYPT_P)
    encoded = "$".join(
        binascii.b2a_base64(part, newline=False).decode("ascii").rstrip("=")
        for part in (salt, scrypt.derive(_encode(secret)))
    )
    return f"$scrypt$ln={_SCRYPT_LOG_N},r={_SCRYPT_R},p={_SCRYPT_P}${encoded}"


def _limit(memory_name: str, memory: int, passes_name: str, passes: int, lanes: int) -> None:
    if memory > MAX_MEMORY or lanes > 16:
        raise ValueError(
            f"is a hash that takes more than {MAX_MEMORY >> 20} MiB or 16 lanes: choose a smaller "
            f"{memory_name!r} or 'p'"
        )
    if memory * passes > MAX_WORK:
        raise ValueError(
            f"is a hash that takes too long: its memory times {passes_name!r} is at most "
            f"{MAX_WORK >> 20} MiB"
        )


def _decode(text: str) -> bytes:
    """The bytes of base64 without padding."""
    try:
        return binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error:
        raise ValueError("is a hash whose salt or digest is not base64") from None


def _encode(secret: str) -> bytes:
    # A form may contain lone surrogates.
    return secret.encode("utf-8", "surrogatepass")
