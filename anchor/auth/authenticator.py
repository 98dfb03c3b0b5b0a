"""Authentication: a user name and a secret become an identity."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ParamSpec, cast

import pydantic

from anchor.auth.backend import Backend
from anchor.auth.circuit_breaker import CircuitBreaker, SharedSlots, default_limits
from anchor.auth.results import AuthDetails, CredentialKind
from anchor.config import plugins
from anchor.config.plugins import load_plugin, validate_options
from anchor.errors import (
    BackendUnavailable,
    ConfigurationError,
    DatabaseUnavailable,
    Forbidden,
    NotAuthenticated,
    PluginError,
    TooManyAttempts,
)
from anchor.runtime import server

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
    ):
        self.name = name
        self.backend = backend
        self.credential = credential
        self._principal = principal
        self._authenticate = authenticate
        self._look_up = look_up
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
        return identity


def load_authenticator(
    name: str,
    section: Mapping[str, Any],
    base: Path,
    *,
    offline: bool = False,
    shared_slots: SharedSlots | None = None,
    services: Mapping[str, object] = MappingProxyType({}),
) -> Authenticator:
    """Load the backend that a section of the configuration describes.

    A class is instantiated once with its options; then ``authenticate(user, secret)`` is called,
    with ``authority`` and ``identified`` by name if it has these parameters.

    A function is called as ``f(ra_name, user, secret)``, or as ``f(ra_name, user, secret, conf)``
    if it takes four arguments.

    Args:
        name: the name of the section.
        section: the options, and the plug-in's name as ``backend``.
        base: the directory that relative paths start from.
        offline: only validate the options; then nobody can be authenticated.
        shared_slots: where the processes of the service count the requests that wait.
        services: what Anchor's own backends use, such as the stored tokens; ``shared_slots`` is
            always among them.

    Raises:
        ConfigurationError: an option is wrong, or the plug-in cannot be loaded.
    """
    options = dict(section)
    kind = options.pop("backend")
    backend = load_plugin(NAMESPACE, kind)
    given = {"max_waiting": options.pop("max_waiting")} if "max_waiting" in options else {}
    default, process_limit = default_limits(server.capacity())
    limit = validate_options(CommonSettings, given, base).max_waiting or default

    def breaker() -> CircuitBreaker:
        return CircuitBreaker(
            limit, process_limit=process_limit, shared_slots=shared_slots, name=name
        )

    if not inspect.isclass(backend):
        return Authenticator(name, _call_function(backend, options), breaker(), kind)
    credential: CredentialKind = getattr(backend, "credential", CredentialKind.PASSWORD)
    needed = frozenset(getattr(backend, "from_anchor", ()))
    values = plugins.Signature.of(backend, needed).validate(options, base, offline=offline)
    supplied = {"shared_slots": shared_slots, **services}
    # If a service is missing, the configuration has another problem, which is reported there.
    if offline or not needed <= supplied.keys():
        return Authenticator(name, _unavailable_offline, None, kind, credential=credential)
    try:
        instance = cast(Backend, backend(**{key: supplied[key] for key in needed}, **values))
    except ValueError as error:
        raise ConfigurationError.about("", str(error)) from error

    parameters = inspect.signature(instance.authenticate).parameters
    takes_authority, takes_identified = "authority" in parameters, "identified" in parameters

    def authenticate(
        authority: str, user: str, secret: str, on_identified: Callable[[str], None]
    ) -> AuthDetails:
        more: dict[str, Any] = {}
        if takes_authority:
            more["authority"] = authority
        if takes_identified:
            more["identified"] = on_identified
        return instance.authenticate(user, secret, **more)

    principal = getattr(instance, "principal", None)
    return Authenticator(
        name=name,
        authenticate=authenticate,
        breaker=breaker() if getattr(instance, "waits", True) else None,
        backend=kind,
        principal=principal if callable(principal) else None,
        credential=credential,
        look_up=_look_up_function(getattr(instance, "look_up", None)),
    )


def _look_up_function(look_up: Any) -> Callable[[str, AuthDetails], object] | None:
    """Wrap the method of a backend; None if it has none."""
    if not callable(look_up):
        return None
    if "authority" in inspect.signature(look_up).parameters:
        return lambda authority, recorded: look_up(recorded, authority=authority)
    return lambda _authority, recorded: look_up(recorded)


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


class CommonSettings(pydantic.BaseModel):
    """The options of every authentication."""

    max_waiting: Annotated[int, pydantic.Field(ge=1, le=4096)] | None = pydantic.Field(
        None,
        description="how many requests may wait for the backend at once, in all processes of the "
        "service. The default under uWSGI and gunicorn is one less than they serve at once, so "
        "that others are served while a backend hangs; under other servers there is no limit. "
        "With gunicorn's threads, each worker also keeps one thread free",
    )


def _unavailable_offline(_authority: str, _user: str, _secret: str, _on_identified: object) -> None:
    raise BackendUnavailable("the configuration was loaded offline")


def _call_function(
    function: Callable[..., Any], options: Mapping[str, Any]
) -> AuthenticateFunction:
    """Wrap a plug-in function, with its options as ``conf`` if it takes four arguments."""
    conf = MappingProxyType(dict(options))
    parameters = inspect.signature(function)
    try:
        parameters.bind("ra_name", "user", "secret", conf)
    except TypeError:
        if options:
            unknown = ", ".join(map(repr, options))
            raise ConfigurationError.about("", f"unknown option {unknown}") from None
        return lambda authority, user, secret, _on_identified: function(authority, user, secret)
    return lambda authority, user, secret, _on_identified: function(authority, user, secret, conf)
