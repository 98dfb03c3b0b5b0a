"""Signed requests (RFC 8555 section 6.2 to 6.5): strict checks, then the signature."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from anchor.acme.account_keys import (
    MAX_RSA_BITS,
    parse_key,
    require_algorithm,
    verify_signature,
)
from anchor.acme.nonces import Nonces
from anchor.acme.problems import AcmeProblem, ProblemType, malformed
from anchor.acme.services import AcmeServices, is_id
from anchor.acme.urls import AcmeUrls
from anchor.jose.flattened import parse_flattened
from anchor.jose.public_keys import PublicJwk, load_public_jwk
from anchor.jose.strict_json import parse_object
from anchor.store.acme_records import Account, AccountStatus
from anchor.X509 import weak_keys

_HEADER = {"alg", "nonce", "url"}
_MAX_CERTIFIED_RSA_BITS = weak_keys.RSA_BITS.stop - 1


class Signer(enum.Flag):
    """How a request may name the key that has signed it."""

    ACCOUNT = enum.auto()
    KEY = enum.auto()
    CERTIFIED_KEY = enum.auto()
    """Any key that can have a certificate, and not only one that can have an account."""


_SIGNERS = {"kid": Signer.ACCOUNT, "jwk": Signer.KEY | Signer.CERTIFIED_KEY}


@dataclass(frozen=True, kw_only=True)
class SignedRequest:
    """A request whose signature was verified, and whose nonce was taken.

    Attributes:
        url: the URL that it was sent to, and that is signed.
        payload: the members of the payload; None for POST-as-GET, whose payload is empty.
        key: the key that has signed it.
        account: the account of the key, if the request names it.
    """

    url: str
    payload: dict[str, Any] | None
    key: PublicJwk
    account: Account | None

    def members(self) -> dict[str, Any]:
        """The members of the payload.

        Raises:
            AcmeProblem: the request is a POST-as-GET.
        """
        if self.payload is None:
            raise malformed("the payload is empty, and should be a JSON object")
        return self.payload

    def require_empty(self) -> None:
        """Require a POST-as-GET (section 6.3).

        Raises:
            AcmeProblem: the request has a payload.
        """
        if self.payload is not None:
            raise malformed("the payload should be empty, as the resource can only be read")

    def require_account(self) -> Account:
        """The account, for resources that only an account can use."""
        if self.account is None:
            raise malformed("the request should name its account in 'kid'")
        return self.account


class RequestReader:
    """Reads the signed requests of one directory.

    Args:
        services: the authority.
        nonces: the nonces of all nodes.
        urls: the URLs of the directory.
    """

    def __init__(self, services: AcmeServices, nonces: Nonces, urls: AcmeUrls):
        self._services = services
        self._nonces = nonces
        self._urls = urls

    def read(self, body: bytes, url: str, signer: Signer) -> SignedRequest:
        """The signed request in a body, verified.

        The nonce is taken after the signature was verified: nobody can use up the nonces of others.

        Args:
            body: the body of the HTTP request.
            url: the URL that it was sent to.
            signer: how the request may name its key.

        Raises:
            AcmeProblem: it is malformed, or is not accepted.
            DatabaseUnavailable: the database is away, locked or full.
        """
        try:
            signed = parse_flattened(parse_object(body))
        except ValueError as error:
            raise malformed(f"the body is not accepted: {error}") from None
        header = signed.header
        algorithm = require_algorithm(header)
        name = _require_members(header, signer)
        account: Account | None = None
        if name == "kid":
            account = self._find_account(header["kid"])
            key = load_public_jwk(account.jwk)
        else:
            is_certified = Signer.CERTIFIED_KEY in signer
            bits = _MAX_CERTIFIED_RSA_BITS if is_certified else MAX_RSA_BITS
            key = parse_key(header["jwk"], max_rsa_bits=bits)
        verify_signature(signed, algorithm, key)
        self._nonces.take(header["nonce"])
        if header["url"] != url:
            raise AcmeProblem(
                ProblemType.UNAUTHORIZED,
                "the 'url' in the signed header should be the URL that the request is sent to: "
                f"{url}",
            )
        if account is not None:
            require_valid(account)
        return SignedRequest(url=url, payload=_payload(signed.payload), key=key, account=account)

    def _find_account(self, kid: object) -> Account:
        prefix = self._urls.account("")
        if isinstance(kid, str) and kid.startswith(prefix) and is_id(kid.removeprefix(prefix)):
            account = self._services.accounts.find(kid.removeprefix(prefix))
            if account is not None and account.authority == self._services.authority.name:
                return account
        raise AcmeProblem(
            ProblemType.ACCOUNT_DOES_NOT_EXIST,
            f"the 'kid' should be the URL of an account of this directory, {prefix}...",
        )


def require_valid(account: Account) -> Account:
    """Return the account if it can be used.

    Raises:
        AcmeProblem: it was deactivated, or revoked with its token.
    """
    if account.status is AccountStatus.VALID:
        return account
    needed = "another key" if account.token_id is None else "another key and another token"
    raise AcmeProblem(
        ProblemType.UNKNOWN_ACCOUNT,
        f"the account is {account.status.value}: create another one with {needed}",
    )


def _require_members(header: dict[str, Any], signer: Signer) -> str:
    """The member that names the key: ``kid`` or ``jwk``."""
    if "jwk" in header and "kid" in header:
        raise malformed("the header should have 'jwk' or 'kid', and not both")
    name = "kid" if "kid" in header else "jwk"
    if name not in header or not _SIGNERS[name] & signer:
        expected = " or ".join(f"{each!r}" for each, flag in _SIGNERS.items() if flag & signer)
        raise malformed(f"the header should name the key in {expected}")
    missing = sorted(_HEADER - header.keys())
    if missing == ["nonce"]:
        raise AcmeProblem(
            ProblemType.BAD_NONCE, "the header has no 'nonce'; use that of this response"
        )
    if missing:
        raise malformed(f"the header has no {missing[0]!r}")
    if not isinstance(header["nonce"], str) or not isinstance(header["url"], str):
        raise malformed("the 'nonce' and the 'url' in the header should be strings")
    return name


def _payload(payload: bytes) -> dict[str, Any] | None:
    if not payload:
        return None
    try:
        return parse_object(payload)
    except ValueError as error:
        raise malformed(f"the payload is not accepted: {error}") from None
