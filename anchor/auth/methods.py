"""The ways to authenticate at one registration authority."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from anchor.auth.authenticator import Authenticator
from anchor.auth.credentials import kind_of
from anchor.auth.results import CredentialKind
from anchor.auth.throttle import Throttle
from anchor.config.diagnostics import Diagnostics
from anchor.errors import NotAuthenticated


class AuthenticationMethod(NamedTuple):
    """An authentication, and the limits on its failures at one authority."""

    authenticator: Authenticator
    throttle: Throttle


class AuthenticationMethods:
    """The authentications of one authority, at most one for each kind of credential.

    Attributes:
        authenticators: the authentications in the order of the configuration.
        schemes: the HTTP authentication schemes that are accepted.

    Raises:
        ConfigurationError: two authentications accept the same kind.
    """

    def __init__(self, methods: Iterable[AuthenticationMethod]):
        problems = Diagnostics()
        self._by_kind: dict[CredentialKind, AuthenticationMethod] = {}
        for method in methods:
            kind = method.authenticator.credential
            first = self._by_kind.setdefault(kind, method)
            if first is not method:
                problems.add(
                    "authentication",
                    f"{first.authenticator.name!r} and {method.authenticator.name!r} both accept "
                    f"a {kind}: list one of them, since a secret is never tried at several",
                )
        problems.raise_if_any()
        self.authenticators = tuple(method.authenticator for method in self._by_kind.values())
        basic = () if self._by_kind.keys() == {CredentialKind.JWT} else ("Basic",)
        bearer = ("Bearer",) if CredentialKind.JWT in self._by_kind else ()
        self.schemes: tuple[str, ...] = basic + bearer
        self._only = next(iter(self._by_kind.values())) if len(self._by_kind) == 1 else None

    @property
    def first(self) -> AuthenticationMethod:
        """The first method of the configuration."""
        return next(iter(self._by_kind.values()))

    def of_tokens(self) -> AuthenticationMethod:
        """The method for tokens.

        Raises:
            NotAuthenticated: the authority does not accept tokens.
        """
        method = self._by_kind.get(CredentialKind.TOKEN)
        if method is None:
            raise NotAuthenticated("this registration authority accepts no tokens")
        return method

    def named(self, authentication: str | None) -> AuthenticationMethod | None:
        """The method with a section of the configuration; None if the authority has it not."""
        return next(
            (
                method
                for method in self._by_kind.values()
                if method.authenticator.name == authentication
            ),
            None,
        )

    def select(self, user: str, secret: str, *, bearer: bool = False) -> AuthenticationMethod:
        """The method for a credential; only the shape of the credential decides.

        Args:
            user: the user name, or the identifier of a token.
            secret: the password, or another secret.
            bearer: True if the secret came as a bearer token (RFC 6750), so that it is a JWT.

        Raises:
            NotAuthenticated: no method of the authority accepts this kind of credential.
        """
        if self._only is not None and not bearer:
            return self._only
        kind = CredentialKind.JWT if bearer else kind_of(user, secret)
        method = self._by_kind.get(kind)
        if method is None:
            raise NotAuthenticated()
        return method
