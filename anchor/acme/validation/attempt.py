"""What a challenge asks for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from anchor.jose.compact import encode_base64url
from anchor.jose.public_keys import PublicJwk
from anchor.store.acme_records import Identifier


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A response to a challenge, which is to be validated.

    Attributes:
        type: the type of the challenge.
        identifier: the name.
        token: the token of the challenge; empty for dns-persist-01.
        key: the key of the account.
        account_url: the URL of the account.
    """

    type: str
    identifier: Identifier
    token: str
    key: PublicJwk = field(repr=False)
    account_url: str

    @property
    def key_authorization(self) -> str:
        """The token, with the thumbprint of the key (RFC 8555 section 8.1)."""
        return f"{self.token}.{encode_base64url(self.key.thumbprint)}"

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the key authorization."""
        return hashlib.sha256(self.key_authorization.encode("ascii")).digest()
