"""Authentication: a user name and a secret become an identity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec

from anchor.auth.circuit_breaker import CircuitBreaker
from anchor.auth.presented import TokenMac
from anchor.auth.results import AuthDetails, CredentialKind
from anchor.errors import (
    BackendUnavailable,
    DatabaseUnavailable,
    Forbidden,
    NotAuthenticated,
    PluginError,
    TooManyAttempts,
)

NAMESPACE = "anchor.authentication"

# The arguments: authority, user, secret, and the function that counts the user's canonical name.
AuthenticateFunction = Callable[[str, str, str, Callable[[str], None]], Any]

Arguments = ParamSpec("Arguments")


class Authenticator:
    """A configured backend; every error that it raises becomes one of Anchor's.

    Attributes:
        name: the name of its section in the configuration.
        backend: the name of its plug-in.
        credential: the kind of credential that it accepts.
    """

    def __init__(
        self,
        name: str,
        authenticate: AuthenticateFunction,
        breaker: CircuitBreaker | None,
        backend: str = "",
        *,
        principal: Callable[[str], str | None] | None = None,
        credential: CredentialKind = CredentialKind.PASSWORD,
        look_up: Callable[[str, AuthDetails], object] | None = None,
        verify_mac: Callable[[TokenMac, str], object] | None = None,
    ):
        self.name = name
        self.backend = backend
        self.credential = credential
        self._principal = principal
        self._authenticate = authenticate
        self._look_up = look_up
        self._verify_mac = verify_mac
        if breaker is not None:
            self._authenticate = _with_circuit_breaker(breaker, authenticate)
            self._look_up = look_up and _with_circuit_breaker(breaker, look_up)

    def principal(self, user: str) -> str | None:
        """A text that is the same for all names of one user; None if the name says nothing.

        Raises:
            PluginError: the backend failed.
        """
        if self._principal is None:
            return user
        try:
            principal = self._principal(user)
            return None if principal is None else str(principal)
        except Exception as error:
            raise PluginError(f"the authentication {self.name!r} failed") from error

    def authenticate(
        self,
        authority: str,
        user: str,
        secret: str,
        on_identified: Callable[[str], None] = lambda _name: None,
    ) -> AuthDetails:
        """Return the identity that belongs to the credentials.

        Args:
            authority: the name of the registration authority.
            user: the user name.
            secret: the password or token.
            on_identified: called with the user's canonical name, if the backend finds it before it
                checks the secret.

        Raises:
            NotAuthenticated: the credentials are wrong; the backend never sees an empty secret.
            BackendUnavailable: the backend cannot be reached.
            DatabaseUnavailable: the database is away, for credentials that are stored there.
            PluginError: the backend raised an unexpected error or returned a wrong type.
        """
        if not secret:
            raise NotAuthenticated()
        identity = self._call(self._authenticate, authority, user, secret, on_identified)
        if identity is None:
            raise NotAuthenticated()
        return identity

    def look_up(self, authority: str, recorded: AuthDetails) -> AuthDetails | None:
        """The requester as the backend has them now, found without a secret.

        Args:
            authority: the name of the registration authority.
            recorded: the identity of an earlier authentication.

        Returns:
            None if the backend cannot tell.

        Raises:
            NotAuthenticated: the requester is gone, or has another name now.
            Forbidden: the backend may not be asked; the requester has to authenticate.
            BackendUnavailable: the backend cannot be reached.
            DatabaseUnavailable: the database is away, for requesters that are stored there.
            PluginError: the backend raised an unexpected error or returned a wrong type.
        """
        if self._look_up is None:
            return None
        current = self._call(self._look_up, authority, recorded)
        if current is not None:
            _require_same_user(recorded, current)
        return current

    def verify_mac(self, authority: str, presented: TokenMac) -> AuthDetails:
        """Return the identity of the holder of a token whose secret is the key of a MAC.

        Raises:
            NotAuthenticated: the MAC is wrong, or the token is not valid for another use.
            DatabaseUnavailable: the database is away.
            PluginError: the backend failed.
        """
        if self._verify_mac is None:
            raise NotAuthenticated()
        identity = self._call(self._verify_mac, presented, authority)
        if identity is None:
            raise NotAuthenticated()
        return identity

    def _call(self, function: Callable[..., object], *arguments: object) -> AuthDetails | None:
        """Call the backend, and turn every error into one of Anchor's."""
        try:
            identity = function(*arguments)
        except BackendUnavailable as error:
            # Several backends may be configured: name the one that failed.
            raise BackendUnavailable(
                f"the authentication {self.name!r} is not available: {error}", error.retry_after
            ) from error.__cause__
        except (NotAuthenticated, Forbidden, TooManyAttempts, DatabaseUnavailable):
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(f"the authentication {self.name!r} failed") from error
        if identity is not None and not isinstance(identity, AuthDetails):
            raise PluginError(f"the authentication {self.name!r} did not answer AuthDetails")
        if identity is not None and not (identity.username and isinstance(identity.username, str)):
            # Nobody could ban the requester.
            raise PluginError(f"the authentication {self.name!r} answered no user name")
        return identity


def _require_same_user(recorded: AuthDetails, current: AuthDetails) -> None:
    """Require that a look-up has found the user of the earlier authentication.

    Somebody else may have the name or the identifier now.

    Raises:
        NotAuthenticated: the name or the identifier is another one.
    """
    ids = {recorded.user_id, current.user_id} - {None}
    if current.username != recorded.username or len(ids) > 1:
        raise NotAuthenticated(
            "the requester has another name or identifier now: authenticate with a secret, a token "
            "or a JWT"
        )


def _with_circuit_breaker(
    breaker: CircuitBreaker, function: Callable[Arguments, Any]
) -> Callable[Arguments, Any]:
    """Wrap a function so that the circuit breaker can reject the call."""

    def call_with_circuit_breaker(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Any:
        with breaker.call():
            return function(*args, **kwargs)

    return call_with_circuit_breaker
