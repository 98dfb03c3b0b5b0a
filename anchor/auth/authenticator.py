"""Authentication: from a user name and a secret to an identity."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Protocol, cast

import pydantic

from anchor.auth.circuit_breaker import CircuitBreaker, SharedSlots, default_limits
from anchor.auth.results import AuthDetails
from anchor.config import plugins
from anchor.config.plugins import load_plugin, validate_options
from anchor.errors import (
    BackendUnavailable,
    ConfigurationError,
    NotAuthenticated,
    PluginError,
    TooManyAttempts,
)
from anchor.runtime import server

NAMESPACE = "anchor.authentication"

# The authority's name, user, secret, and what to call with the user's one name.
Ask = Callable[[str, str, str, Callable[[str], None]], Any]


class Backend(Protocol):
    """What a class registered as an authentication backend offers.

    One that answers out of memory, and never waits for anything, may say so with an attribute
    ``waits = False``; others are asked by no more requests at once than may wait for them.

    Failures are counted by the user name.  A backend may have a method ``principal(user)`` that
    returns one text for all names of one user.  Or its ``authenticate`` has a third parameter,
    ``identified``, a function to call with the user's one name before the secret is tried; it
    raises TooManyAttempts, which has to be passed on.
    """

    def authenticate(self, user: str, secret: str) -> AuthDetails:
        """The requester's identity.

        Raises:
            NotAuthenticated: the credentials are wrong.
            BackendUnavailable: whether they are wrong cannot be found out now.
        """


class CountedBackend(Protocol):
    """A backend that knows a user's one name before it tries the secret."""

    def authenticate(
        self, user: str, secret: str, identified: Callable[[str], None]
    ) -> AuthDetails:
        """The requester's identity; ``identified`` is called with the user's one name first."""


class Authenticator:
    """A configured backend, whose every answer is accounted for.

    Attributes:
        name: of the section in the configuration.
        backend: the kind of it, by the plug-in's name.
    """

    def __init__(
        self,
        name: str,
        ask: Ask,
        breaker: CircuitBreaker | None,
        backend: str = "",
        principal: Callable[[str], str] | None = None,
    ):
        self.name = name
        self.backend = backend
        self._principal = principal
        self._ask = ask if breaker is None else _held_by(breaker, ask)

    def principal(self, user: str) -> str:
        """One text for all names that the backend takes for the same user.

        Raises:
            PluginError: the backend failed.
        """
        if self._principal is None:
            return user
        try:
            return str(self._principal(user))
        except Exception as error:
            raise PluginError(f"the authentication {self.name!r} failed") from error

    def authenticate(
        self,
        authority: str,
        user: str,
        secret: str,
        identified: Callable[[str], None] = lambda _name: None,
    ) -> AuthDetails:
        """The identity that these credentials prove to this registration authority.

        Args:
            authority: the name of the registration authority.
            user: the user name.
            secret: what should prove it.
            identified: is called with the backend's own name of the user, if the backend knows it
                before it tries the secret.

        Raises:
            NotAuthenticated: they prove none; an empty secret is not even shown to the backend.
            BackendUnavailable: the backend cannot be asked.
            PluginError: the backend failed in a way that it should not.
        """
        if not secret:
            raise NotAuthenticated()
        try:
            identity = self._ask(authority, user, secret, identified)
        except BackendUnavailable as error:
            # Several may be configured; the log says which.
            raise BackendUnavailable(
                f"the authentication {self.name!r} is not available: {error}", error.retry_after
            ) from error.__cause__
        except (NotAuthenticated, TooManyAttempts):
            raise
        except Exception as error:
            raise PluginError(f"the authentication {self.name!r} failed") from error
        if identity is None:
            raise NotAuthenticated()
        if not isinstance(identity, AuthDetails):
            raise PluginError(f"the authentication {self.name!r} did not answer AuthDetails")
        return identity


def load_authenticator(
    name: str,
    section: Mapping[str, Any],
    base: Path,
    *,
    offline: bool = False,
    meeting: SharedSlots | None = None,
) -> Authenticator:
    """The backend that a section of the configuration describes.

    A class is made once with its options and asked ``authenticate(user, secret)``.  A function is
    asked ``f(ra_name, user, secret)``, or ``f(ra_name, user, secret, conf)`` if it takes four.
    Offline the options are proved, and nobody can be authenticated.  At the meeting all processes
    of the service share how many requests wait for the backend.
    """
    options = dict(section)
    kind = options.pop("backend")
    backend = load_plugin(NAMESPACE, kind)
    given = {"max_waiting": options.pop("max_waiting")} if "max_waiting" in options else {}
    usual, in_process = default_limits(server.capacity())
    limit = validate_options(CommonSettings, given, base).max_waiting or usual

    def breaker() -> CircuitBreaker:
        return CircuitBreaker(limit, process_limit=in_process, meeting=meeting, name=name)

    if not inspect.isclass(backend):
        return Authenticator(name, _function(backend, options), breaker(), kind)
    values = plugins.Signature.of(backend).validate(options, base, offline=offline)
    if offline:
        return Authenticator(name, _nobody, None, kind)
    try:
        instance = cast(Backend, backend(**values))
    except ValueError as error:
        raise ConfigurationError.about("", str(error)) from error

    takes_identified = "identified" in inspect.signature(instance.authenticate).parameters

    def ask(
        _authority: str, user: str, secret: str, identified: Callable[[str], None]
    ) -> AuthDetails:
        if takes_identified:
            counted = cast(CountedBackend, instance)
            return counted.authenticate(user, secret, identified=identified)
        return instance.authenticate(user, secret)

    held_by = breaker() if getattr(instance, "waits", True) else None
    principal = getattr(instance, "principal", None)
    return Authenticator(name, ask, held_by, kind, principal if callable(principal) else None)


def _held_by(breaker: CircuitBreaker, ask: Ask) -> Ask:
    """The same question, when the breaker lets it pass."""

    def ask_in_turn(
        authority: str, user: str, secret: str, identified: Callable[[str], None]
    ) -> Any:
        with breaker.passage():
            return ask(authority, user, secret, identified)

    return ask_in_turn


class CommonSettings(pydantic.BaseModel):
    """The options that every authentication has, whatever its backend."""

    max_waiting: Annotated[int, pydantic.Field(ge=1, le=4096)] | None = pydantic.Field(
        None,
        description="how many requests may wait for the backend at once, in all processes of the "
        "service; by default one less than uWSGI or gunicorn serve at once, so that a backend that "
        "hangs leaves room for others, and under another server any number. With gunicorn's "
        "threads also one less, at most, in each worker",
    )


def _nobody(_authority: str, _user: str, _secret: str, _identified: object) -> None:
    raise BackendUnavailable("the configuration was loaded offline")


def _function(function: Callable[..., Any], options: Mapping[str, Any]) -> Ask:
    """A plain function, which reads its options out of ``conf`` by itself."""
    conf = MappingProxyType(dict(options))
    parameters = inspect.signature(function)
    try:
        parameters.bind("ra_name", "user", "secret", conf)
    except TypeError:
        if options:
            unknown = ", ".join(map(repr, options))
            raise ConfigurationError.about("", f"unknown option {unknown}") from None
        return lambda authority, user, secret, _identified: function(authority, user, secret)
    return lambda authority, user, secret, _identified: function(authority, user, secret, conf)
