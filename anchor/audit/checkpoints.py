"""Checkpoints: positions in the chain, signed with the audit key."""

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

from anchor.audit.chain import NODE_NAME, Link


@dataclass(frozen=True)
class CheckpointInterval:
    """A checkpoint is due after this many lines or seconds, whichever is first."""

    events: int
    seconds: float

    def is_due(self, events: int, seconds: float) -> bool:
        """True if a checkpoint is due this many lines and seconds after the last one."""
        # A clock that was set back must not delay the next one.
        return events >= self.events or not 0 <= seconds < self.seconds


class CheckpointKey:
    """The key that signs checkpoints."""

    def __init__(self, key: Ed25519PrivateKey):
        self._key = key
        self._fingerprint = fingerprint(key.public_key())

    @classmethod
    def from_pem(cls, pem: bytes) -> CheckpointKey:
        """Load the key from PEM.

        Raises:
            ValueError: this is no unencrypted Ed25519 key; the message quotes nothing of it.
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
        """The public key."""
        return self._key.public_key()

    def sign(self, link: Link, time: datetime.datetime, node: str) -> dict[str, Any]:
        """Sign a checkpoint of this link in a node's chain and return it as a JSON object."""
        moment = time.isoformat(timespec="milliseconds")
        signature = self._key.sign(_signed_bytes(link, moment, node))
        return {
            "node": node,
            "number": link.number,
            "hash": link.hash,
            "time": moment,
            "key": self._fingerprint,
            "signature": base64.b64encode(signature).decode("ascii"),
        }


@dataclass(frozen=True)
class Checkpoint:
    """A parsed checkpoint; its signature is not verified yet.

    Attributes:
        link: the line that it confirms, and the lines before it.
        time: when it was made.
        signature: the signature over the other fields.
        node: the node whose chain this is; None for a checkpoint of an older version.
    """

    link: Link
    time: str
    signature: bytes
    node: str | None = None

    @classmethod
    def of(cls, fields: Any) -> Checkpoint:
        """Parse a checkpoint from a JSON object; raise ValueError if it is malformed."""
        try:
            number, digest, time = fields["number"], fields["hash"], fields["time"]
            signature = base64.b64decode(fields["signature"], validate=True)
        except (KeyError, TypeError, binascii.Error):
            raise ValueError("not a checkpoint") from None
        if type(number) is not int or not isinstance(digest, str) or not isinstance(time, str):
            raise ValueError("not a checkpoint")
        if not (digest.isascii() and time.isascii()):
            raise ValueError("not a checkpoint")
        node = fields.get("node")
        if node is not None and not (isinstance(node, str) and re.fullmatch(NODE_NAME, node)):
            raise ValueError("not a checkpoint")
        return cls(Link(number, digest), time, signature, node)

    def is_signed_by(self, key: Ed25519PublicKey) -> bool:
        """True if the key verifies the signature over the link, the time and the node."""
        try:
            key.verify(self.signature, _signed_bytes(self.link, self.time, self.node))
        except InvalidSignature:
            return False
        return True


_LOGGED_CHECKPOINT = re.compile(r'\{"checkpoint":\s*(\{[^{}]*\})\}')


def find_checkpoints(text: str) -> Iterator[Checkpoint]:
    """Find the checkpoints in lines that were copied from a log of any format."""
    # In a JSON log the quotes are escaped.
    for match in _LOGGED_CHECKPOINT.finditer(text.replace('\\"', '"')):
        with contextlib.suppress(ValueError):
            yield Checkpoint.of(json.loads(match[1]))


def _signed_bytes(link: Link, time: str, node: str | None) -> bytes:
    # The first line ensures that the signature is valid for nothing but a checkpoint.  It differs
    # with a node, so that nobody can remove the node and keep the signature.
    kind = "anchor audit checkpoint" if node is None else f"anchor audit checkpoint of node\n{node}"
    return f"{kind}\n{link.number}\n{link.hash}\n{time}\n".encode()


def fingerprint(key: Ed25519PublicKey) -> str:
    """The SHA-256 over the key's SubjectPublicKeyInfo, in hexadecimal."""
    return hashlib.sha256(_public_key_info(key)).hexdigest()


def _public_key_info(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def read_public_key(pem: bytes) -> Ed25519PublicKey:
    """Load the public audit key from PEM.

    Raises:
        ValueError: this is no public Ed25519 key.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("holds no public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("holds a key that is not Ed25519")
    return key


def public_key_in(path: Path) -> Ed25519PublicKey:
    """Load the public audit key from a file with the public or the private key.

    Raises:
        ValueError: the file contains no Ed25519 key; the message quotes nothing of it.
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
    """Generate a key; return the private and the public key in PEM."""
    key = Ed25519PrivateKey.generate()
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )
