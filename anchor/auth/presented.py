"""What a client presents to authenticate, and where the request came from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from anchor.auth.results import AuthDetails


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """The origin of a request.

    Attributes:
        address: the client's address, or ``unknown``.
        request_id: the request's id in logs and responses.
        door: the protocol of the request; at most 16 characters.
        user: the user name that the client sent; recorded if authentication fails.
        request: the HTTP request, for validators with a parameter ``request``.
    """

    address: str
    request_id: str
    door: str = "sign"
    user: str = ""
    request: Any = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """The user name and the secret that a client sent, and the origin of the request.

    Attributes:
        bearer: True if the secret is a bearer token (RFC 6750), which has no user name.
    """

    user: str
    secret: str = field(repr=False)
    origin: Origin
    bearer: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientCertificate:
    """The certificate whose key the client used for TLS.

    Attributes:
        der: the certificate in DER; nothing about it was verified but the possession of its key.
    """

    der: bytes = field(repr=False)
    origin: Origin


@dataclass(frozen=True, kw_only=True, slots=True)
class RenewalProof:
    """A statement that is signed with the key of the certificate to renew.

    Attributes:
        text: the statement, a compact JWS (RFC 7515).
        read_csr: return the request for the new certificate, in DER; it raises UnreadableRequest.
        urls: the URLs of the door, normalized; the statement has to name one of them.
        any_port: True if the URLs have no port, and that of the statement is not compared.
    """

    text: str = field(repr=False)
    read_csr: Callable[[], bytes] = field(repr=False)
    urls: frozenset[str]
    any_port: bool = False
    origin: Origin


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenMac:
    """A MAC over a message, whose key is the secret of a token (RFC 8555 section 7.3.4).

    Attributes:
        token_id: the identifier of the token, as the client sent it.
        algorithm: the hash of the HMAC: ``sha256``, ``sha384`` or ``sha512``.
        message: the message.
        mac: the MAC.
        is_used: True if an account has the message and the MAC already.
    """

    token_id: str
    algorithm: str
    message: bytes = field(repr=False)
    mac: bytes = field(repr=False)
    is_used: bool = False
    origin: Origin


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountKey:
    """The key of an ACME account, which has signed the request.

    Attributes:
        recorded: the identity that was recorded with the account; ``order`` is set.
    """

    recorded: AuthDetails
    origin: Origin


Presented = Credentials | ClientCertificate | RenewalProof | TokenMac | AccountKey
