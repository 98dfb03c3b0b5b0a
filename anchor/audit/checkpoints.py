"""Checkpoints: a place in the chain, signed with a key that is the audit's own."""

from __future__ import annotations

import base64
import binascii
import contextlib
import datetime
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from anchor.audit.chain import Link


@dataclass(frozen=True)
class CheckpointInterval:
    """When a checkpoint is due: after so many lines, or so many seconds, whichever comes first."""

    events: int
    seconds: float

    def now(self, events: int, seconds: float) -> bool:
        """Whether it is, that many lines and seconds after the last one."""
        return events >= self.events or seconds >= self.seconds


class CheckpointKey:
    """The key that signs checkpoints."""

    def __init__(self, key: Ed25519PrivateKey):
        self._key = key
        self._fingerprint = fingerprint(key.public_key())

    @classmethod
    def from_pem(cls, pem: bytes) -> CheckpointKey:
        """The key in a file.

        Raises:
            ValueError: there is none that fits; the text repeats nothing of the file.
        """
        try:
            key = load_pem_private_key(pem, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError("holds no unencrypted private key in PEM") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("holds a key that is not Ed25519")
        return cls(key)

    @property
    def public_key_info(self) -> bytes:
        """The public key as DER-encoded SubjectPublicKeyInfo."""
        return _public_key_info(self._key.public_key())

    @property
    def public_key(self) -> Ed25519PublicKey:
        """The public part."""
        return self._key.public_key()

    def sign(self, link: Link, time: datetime.datetime) -> dict[str, Any]:
        """A checkpoint in JSON's types."""
        moment = time.isoformat(timespec="milliseconds")
        signature = self._key.sign(_signed_octets(link, moment))
        return {
            "number": link.number,
            "hash": link.hash,
            "time": moment,
            "key": self._fingerprint,
            "signature": base64.b64encode(signature).decode("ascii"),
        }


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as it was found, its signature not yet looked at."""

    link: Link
    time: str
    signature: bytes

    @classmethod
    def of(cls, fields: Any) -> Checkpoint:
        """Read one out of JSON's types; raises ValueError if it is none."""
        try:
            number, digest, time = fields["number"], fields["hash"], fields["time"]
            signature = base64.b64decode(fields["signature"], validate=True)
        except (KeyError, TypeError, binascii.Error):
            raise ValueError("not a checkpoint") from None
        if type(number) is not int or not isinstance(digest, str) or not isinstance(time, str):
            raise ValueError("not a checkpoint")
        if not (digest.isascii() and time.isascii()):
            raise ValueError("not a checkpoint")
        return cls(Link(number, digest), time, signature)

    def is_signed_by(self, key: Ed25519PublicKey) -> bool:
        """Whether the signature is this key's, over this place and time."""
        try:
            key.verify(self.signature, _signed_octets(self.link, self.time))
        except InvalidSignature:
            return False
        return True


_IN_A_LOG = re.compile(r'\{"checkpoint":\s*(\{[^{}]*\})\}')


def find(text: str) -> Iterator[Checkpoint]:
    """Every checkpoint in lines copied from a log, whatever stands around it."""
    # A log that is JSON itself has the quotes escaped.
    for match in _IN_A_LOG.finditer(text.replace('\\"', '"')):
        with contextlib.suppress(ValueError):
            yield Checkpoint.of(json.loads(match[1]))


def _signed_octets(link: Link, time: str) -> bytes:
    # The first line keeps the signature from meaning anything else.
    return f"anchor audit checkpoint\n{link.number}\n{link.hash}\n{time}\n".encode()


def fingerprint(key: Ed25519PublicKey) -> str:
    """The SHA-256 over the key's SubjectPublicKeyInfo, in hexadecimal."""
    return hashlib.sha256(_public_key_info(key)).hexdigest()


def _public_key_info(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def read_public_key(pem: bytes) -> Ed25519PublicKey:
    """The public part of the audit's key.

    Raises:
        ValueError: there is none.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("holds no public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("holds a key that is not Ed25519")
    return key


def public_key_in(path: Path) -> Ed25519PublicKey:
    """The public key in a file, or the public part of the private one.

    Raises:
        ValueError: there is none; the text names the file, and repeats nothing of it.
        OSError: the file cannot be read.
    """
    pem = path.read_bytes()
    try:
        if b"PRIVATE KEY" in pem:
            return CheckpointKey.from_pem(pem).public_key
        return read_public_key(pem)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None


def make_key() -> tuple[bytes, bytes]:
    """A new key, private and public, in PEM."""
    key = Ed25519PrivateKey.generate()
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )
