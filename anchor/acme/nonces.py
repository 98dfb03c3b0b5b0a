"""Nonces against replay (RFC 8555 section 6.5): each is good once, on every node.

A nonce says when it was made and carries a MAC, so no node has to remember those that it gave out.
Only those that were used are remembered, until they have expired.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import secrets
from collections.abc import Callable

from anchor.acme.problems import AcmeProblem, ProblemType, malformed
from anchor.auth.results import SingleUse
from anchor.jose.compact import decode_base64url, encode_base64url
from anchor.store.database import used_credentials
from anchor.store.database.engine import Database
from anchor.store.database.shared_keys import SharedKey
from anchor.timestamps import utc_now

LIFETIME = datetime.timedelta(hours=1)
# The clocks of nodes differ.
_SKEW = datetime.timedelta(seconds=60)
_TIME_BYTES, _RANDOM_BYTES, _MAC_BYTES = 6, 16, 16
_BYTES = _TIME_BYTES + _RANDOM_BYTES + _MAC_BYTES
_KEY_NAME = "acme-nonces"


class Nonces:
    """The nonces of all nodes.

    Args:
        database: the database.
        clock: the time, in UTC.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime.datetime] = utc_now):
        self._database = database
        self._clock = clock
        self._key = SharedKey(database, _KEY_NAME)

    def new(self) -> str:
        """A new nonce, in base64url.

        Raises:
            DatabaseUnavailable: the key cannot be read.
        """
        made = int(self._clock().timestamp()).to_bytes(_TIME_BYTES, "big")
        content = made + secrets.token_bytes(_RANDOM_BYTES)
        return encode_base64url(content + self._mac(content))

    def take(self, nonce: str) -> None:
        """Require a valid nonce, and mark it as used for all nodes.

        Raises:
            AcmeProblem: it was used before, has expired, is not from this service, or is
                not base64url.
            DatabaseUnavailable: the database is away, locked or full.
        """
        single_use, now = self._parse(nonce), self._clock()
        # What the request changes is committed later, and durably: then this is durable too.
        with self._database.transaction(durable=False) as transaction:
            if not used_credentials.take(transaction, single_use, now):
                raise _bad("it was used before")

    def _parse(self, nonce: str) -> SingleUse:
        try:
            octets = decode_base64url(nonce) if nonce else b""
        except ValueError as error:
            # RFC 8555 section 6.5.2.
            raise malformed(f"the nonce is not accepted: {error}") from None
        content, mac = octets[:-_MAC_BYTES], octets[-_MAC_BYTES:]
        if len(octets) != _BYTES or not hmac.compare_digest(self._mac(content), mac):
            raise _bad("it is not from this service")
        made = datetime.datetime.fromtimestamp(
            int.from_bytes(content[:_TIME_BYTES], "big"), datetime.UTC
        )
        expires = made + LIFETIME
        if not made - _SKEW <= self._clock() < expires:
            raise _bad("it has expired")
        return SingleUse(hashlib.sha256(b"acme nonce" + content).hexdigest(), expires)

    def _mac(self, content: bytes) -> bytes:
        return hmac.digest(self._key.value(), content, "sha256")[:_MAC_BYTES]


def _bad(reason: str) -> AcmeProblem:
    return AcmeProblem(
        ProblemType.BAD_NONCE, f"the nonce is not accepted: {reason}; use that of this response"
    )
