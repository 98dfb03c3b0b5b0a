"""Authentication by a JSON Web Token of one issuer (OpenID Connect, Kubernetes, CI, SPIFFE)."""

from __future__ import annotations

import datetime
import hashlib
import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import pydantic

from anchor.auth.circuit_breaker import SharedSlots
from anchor.auth.results import AuthDetails, CredentialKind, SingleUse
from anchor.auth.trusted_cas import tls_context
from anchor.config.diagnostics import Diagnostics
from anchor.config.file_types import FilePath, text
from anchor.errors import ConfigurationError, NotAuthenticated

try:
    from anchor.auth.oidc.claims import (
        MAX_TEXT,
        ClaimReference,
        ValidityRules,
        group_names,
        require_audience,
        required_text,
        text_claim,
    )
    from anchor.auth.oidc.discovery import KeyFetcher, parse_url
    from anchor.auth.oidc.key_cache import KeyCache
    from anchor.auth.oidc.key_sources import KeyFile, KeySource
    from anchor.auth.oidc.keys import InvalidKeys
    from anchor.auth.oidc.named_claims import ClaimOrPart, NamedClaim
    from anchor.auth.oidc.requirements import RequiredClaims, Requirements
    from anchor.auth.oidc.tokens import TokenRefused, UnverifiedToken, parse_token, shown
    from anchor.jose.algorithms import DEFAULT_ALGORITHMS, Algorithm
except ImportError as error:
    raise ImportError(f"{error}; `pip install anchor[oidc]` installs what it needs") from error

LOG = logging.getLogger(__name__)

DAY = 86400


def _url(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("should be a URL such as 'https://issuer.example.com/keys'")
    parse_url(value)
    return value


Url = Annotated[str, pydantic.PlainValidator(_url), text("uri")]
Text = Annotated[str, pydantic.Field(min_length=1, max_length=2048)]
Audiences = Annotated[tuple[Text, ...], pydantic.Field(min_length=1)]
Algorithms = Annotated[tuple[Algorithm, ...], pydantic.Field(min_length=1)]
ClaimName = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]


class OidcAuthentication:
    """Accepts JSON Web Tokens (JWT) of one issuer as the secret; the user name is ignored.

    A claim in ``username_claim``, ``groups_claim``, ``claims`` and ``require`` is the name of a
    member of the token. If it starts with ``/``, it is a JSON Pointer (RFC 6901), such as
    ``/kubernetes.io/namespace``.

    Args:
        issuer: the issuer, exactly as in the tokens' ``iss``.
        audience: the ``aud`` that a token must have, or a list of which it must have one. Use a
            value that only tokens for this service have.
        jwks_file: a file with the issuer's keys as a JSON Web Key Set. It is read again when it
            changes. Exactly one of ``jwks_file``, ``jwks_url`` and ``discovery`` is required.
        jwks_url: the URL of the issuer's keys, if its discovery document cannot be used.
        discovery: whether to find the keys with OpenID Connect Discovery, in
            ``/.well-known/openid-configuration`` below the issuer's URL.
        ca_file: a PEM file with the CAs of the issuer's server, instead of the public ones.
        bearer_file: a file with a token to send when the keys are fetched. It is read each time. It
            is sent only to the server of ``issuer`` or ``jwks_url``.
        algorithms: the signature algorithms to accept.
        username_claim: the claim with the user name.
        groups_claim: the claim with the list of groups. A token without it is refused.
        claims: other claims to use, by the names that validators and the audit have for them. A
            token need not have them. An object with ``claim`` and ``pattern`` uses a part of a
            claim: ``{}`` in the pattern stands for the part between two ``/`` or ``:``.
        require: the values that claims must have: for each claim a value, or a list of permitted
            values. In a text ``*`` stands for one or more characters except ``/`` and ``:``, and
            ``**`` for any. A list in the token must contain a permitted value.
        max_lifetime: for how many seconds a token may be valid, from its issue to its expiry.
        leeway: by how many seconds the issuer's clock may differ.
        typ: the type that the token's header must have, such as ``at+jwt``. Without it ``JWT``,
            ``JOSE`` and no type are accepted.
        single_use: whether a token gets one certificate only; tokens then need a ``jti``.
        timeout: how many seconds an answer of the issuer's server may take.
        keep_keys: for how many seconds keys that are no longer fresh stay in use while new ones
            cannot be had.
    """

    credential = CredentialKind.JWT
    from_anchor = ("shared_slots",)

    # Nearly all requests are decided without the network. KeyCache limits the others itself: a
    # pause for all tokens after one slow fetch would stop tokens with known keys too.
    waits = False

    def __init__(
        self,
        *,
        shared_slots: SharedSlots | None = None,
        issuer: Text,
        audience: Text | Audiences,
        jwks_file: FilePath | None = None,
        jwks_url: Url | None = None,
        discovery: bool = False,
        ca_file: FilePath | None = None,
        bearer_file: FilePath | None = None,
        algorithms: Algorithms = DEFAULT_ALGORITHMS,
        username_claim: ClaimReference = "sub",
        groups_claim: ClaimReference | None = None,
        claims: dict[ClaimName, ClaimOrPart] | None = None,
        require: RequiredClaims | None = None,
        max_lifetime: Annotated[float, pydantic.Field(gt=0, le=31 * DAY)] = DAY,
        leeway: Annotated[float, pydantic.Field(ge=0, le=60)] = 30,
        typ: Text | None = None,
        single_use: bool = False,
        timeout: Annotated[float, pydantic.Field(gt=0, le=60)] = 5,
        keep_keys: Annotated[float, pydantic.Field(ge=0, le=31 * DAY)] = DAY,
    ):
        problems = Diagnostics()
        if [jwks_file is not None, jwks_url is not None, discovery].count(True) != 1:
            problems.add("", "exactly one of 'jwks_file', 'jwks_url' and 'discovery' is needed")
        if jwks_file is not None:
            for name, value in (("ca_file", ca_file), ("bearer_file", bearer_file)):
                if value is not None:
                    problems.add(name, "is of no use with 'jwks_file'")
        elif ca_file is not None:
            with problems.at():
                tls_context(ca_file)
        if bearer_file is not None and not os.access(bearer_file, os.R_OK):
            problems.add("bearer_file", f"{bearer_file} cannot be read")
        if discovery:
            with problems.at():
                _require_url(issuer)
        problems.raise_if_any()
        self._keys: KeySource
        if jwks_file is not None:
            try:
                self._keys = KeyFile(jwks_file, keep_keys)
            except InvalidKeys as error:
                raise ConfigurationError.about("jwks_file", str(error)) from None
        else:
            fetcher = KeyFetcher(issuer, jwks_url, ca_file, bearer_file, timeout)
            self._keys = KeyCache(fetcher, keep_keys, shared_slots)
        self._issuer = issuer
        self._audiences = frozenset((audience,) if isinstance(audience, str) else audience)
        self._algorithms = frozenset(algorithms)
        self._username_claim = username_claim
        self._groups_claim = groups_claim
        self._claims = {name: NamedClaim.of(each) for name, each in (claims or {}).items()}
        self._requirements = require or Requirements()
        self._validity = ValidityRules(leeway, max_lifetime)
        self._type = typ
        self._single_use = single_use

    @staticmethod
    def principal(_user: str) -> None:
        """None: the user name is ignored, and failures are counted for the token's subject."""

    def authenticate(
        self, user: str, secret: str, identified: Callable[[str], None] = lambda _subject: None
    ) -> AuthDetails:
        """Return the user, the groups and the claims of a token.

        Raises:
            NotAuthenticated: the token is not accepted; the log has the reason.
            TooManyAttempts: tokens with this subject were refused too often.
            BackendUnavailable: the issuer's keys cannot be had.
        """
        try:
            token = parse_token(secret, self._type)
            subject = token.claims.get("sub")
            if isinstance(subject, str):
                # Not verified yet, like the user name beside a password.
                identified(subject[:MAX_TEXT])
            if token.algorithm not in self._algorithms:
                raise TokenRefused(f"its 'alg' {shown(token.algorithm)} is not in 'algorithms'")
            # The claims first: a token that they rule out causes no fetch of keys.
            identity = self._identify(token.claims)
            self._verify(token)
        except TokenRefused as refused:
            LOG.info("a token for %s is refused: %s", self._issuer, refused)
            raise NotAuthenticated() from None
        return identity

    def _verify(self, token: UnverifiedToken) -> None:
        keys = self._keys.keys(lambda keys: bool(keys.candidates(token)))
        keys.verify(token)

    def _identify(self, claims: Mapping[str, Any]) -> AuthDetails:
        """The identity that the claims describe, if all of them are acceptable."""
        if claims.get("iss") != self._issuer:
            raise TokenRefused(f"its 'iss' is {shown(claims.get('iss'))} and not 'issuer'")
        require_audience(claims, self._audiences)
        expires = self._validity.require_valid(claims, time.time())
        self._requirements.require_met(claims)
        named = {name: claim.value(claims) for name, claim in self._claims.items()}
        return AuthDetails(
            required_text(claims, self._username_claim),
            group_names(claims, self._groups_claim) if self._groups_claim else (),
            text_claim(claims, "sub"),
            claims={name: value for name, value in named.items() if value is not None},
            single_use=self._once(claims, expires) if self._single_use else None,
        )

    def _once(self, claims: Mapping[str, Any], expires: float) -> SingleUse:
        identifier = required_text(claims, "jti")
        key = hashlib.sha256(f"{self._issuer}\0{identifier}".encode()).hexdigest()
        moment = expires + self._validity.leeway
        return SingleUse(key, datetime.datetime.fromtimestamp(moment, datetime.UTC))


def _require_url(issuer: str) -> None:
    try:
        parse_url(issuer)
    except ValueError as error:
        raise ConfigurationError.about("issuer", f"{error}, with 'discovery'") from None
