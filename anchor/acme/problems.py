"""The errors of ACME (RFC 8555 section 6.7), each with its registered type."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from anchor.errors import RequestError
from anchor.store.acme_records import Identifier

NAMESPACE = "urn:ietf:params:acme:error:"


class ProblemType(enum.Enum):
    """The registered types that Anchor sends, each with its HTTP status."""

    ACCOUNT_DOES_NOT_EXIST = "accountDoesNotExist", 400
    ALREADY_REPLACED = "alreadyReplaced", 409
    ALREADY_REVOKED = "alreadyRevoked", 400
    BAD_CSR = "badCSR", 400
    BAD_NONCE = "badNonce", 400
    BAD_PUBLIC_KEY = "badPublicKey", 400
    BAD_REVOCATION_REASON = "badRevocationReason", 400
    BAD_SIGNATURE_ALGORITHM = "badSignatureAlgorithm", 400
    CAA = "caa", 403
    CONNECTION = "connection", 400
    DNS = "dns", 400
    EXTERNAL_ACCOUNT_REQUIRED = "externalAccountRequired", 403
    INCORRECT_RESPONSE = "incorrectResponse", 403
    INVALID_CONTACT = "invalidContact", 400
    INVALID_PROFILE = "invalidProfile", 400
    MALFORMED = "malformed", 400
    NOT_ACCEPTABLE = "malformed", 406
    NOT_FOUND = "malformed", 404
    CONFLICT = "malformed", 409
    ORDER_NOT_READY = "orderNotReady", 403
    RATE_LIMITED = "rateLimited", 429
    REJECTED_IDENTIFIER = "rejectedIdentifier", 400
    SERVER_INTERNAL = "serverInternal", 500
    TLS = "tls", 400
    UNAUTHORIZED = "unauthorized", 403
    UNKNOWN_ACCOUNT = "unauthorized", 401
    UNSUPPORTED_CONTACT = "unsupportedContact", 400
    UNSUPPORTED_IDENTIFIER = "unsupportedIdentifier", 400
    USER_ACTION_REQUIRED = "userActionRequired", 403

    def __init__(self, registered: str, status: int):
        self.urn = NAMESPACE + registered
        self.status = status


@dataclass(frozen=True)
class Subproblem:
    """What is wrong with one identifier (RFC 8555 section 6.7.1)."""

    type: ProblemType
    detail: str
    identifier: Identifier

    def as_json(self) -> dict[str, Any]:
        """The members of the subproblem."""
        return {
            "type": self.type.urn,
            "detail": self.detail,
            "identifier": {"type": self.identifier.type, "value": self.identifier.value},
        }


class AcmeProblem(RequestError):
    """A request that is refused; the text is for the client.

    Args:
        kind: the type.
        detail: what is wrong, and what would be right.
        subproblems: what is wrong with single identifiers.
        more: members that the type defines, such as ``algorithms``.
        retry_after: after how many seconds the request may succeed.
        location: the URL of the resource that the client should use instead.
        links: pairs of a relation and a URL for ``Link`` headers.
    """

    def __init__(
        self,
        kind: ProblemType,
        detail: str,
        *,
        subproblems: Iterable[Subproblem] = (),
        more: Mapping[str, Any] = MappingProxyType({}),
        retry_after: int | None = None,
        location: str | None = None,
        links: Iterable[tuple[str, str]] = (),
    ):
        self.kind = kind
        self.subproblems = tuple(subproblems)
        self.more = more
        self.retry_after = retry_after
        self.location = location
        self.links = tuple(links)
        super().__init__(detail)

    def as_json(self) -> dict[str, Any]:
        """The problem document (RFC 9457)."""
        document: dict[str, Any] = {
            "type": self.kind.urn,
            "detail": str(self),
            "status": self.kind.status,
            **self.more,
        }
        if self.subproblems:
            document["subproblems"] = [each.as_json() for each in self.subproblems]
        return document


def malformed(detail: str) -> AcmeProblem:
    """A problem of the type ``malformed``."""
    return AcmeProblem(ProblemType.MALFORMED, detail)
