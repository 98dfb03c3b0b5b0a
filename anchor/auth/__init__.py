"""Authentication: from a user name and a secret to an identity."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Protocol, cast

import pydantic

from anchor import plugins, server
from anchor.auth.breaker import Breaker, Meeting, limits
from anchor.auth.results import AuthDetails
from anchor.errors import (
    BackendUnavailable,
    ConfigurationError,
    NotAuthenticated,
    PluginError,
    TooManyAttempts,
)

__all__ = ["AuthDetails", "Authenticator", "configure"]

NAMESPACE = "anchor.authentication"


class Backend(Protocol):
    """What a class registered as an authentication backend offers.

    One that answers out of memory, and never waits for anything, may say so with an attribute
    ``waits = False``; others are asked by no more requests at once than may wait for them.
    """

    def authenticate(self, user: str, secret: str) -> AuthDetails:
        """The requester's identity.

        Raises:
            NotAuthenticated: the credentials are wrong.
            BackendUnavailable: whether they are wrong cannot be found out now.
        """


class Authenticator:
    """A configured backend, whose every answer is accounted for.

    Attributes:
        name: of the section in the configuration.
        backend: the kind of it, by the plug-in's name.
    """

    def __init__(
        self,
        name: str,
        ask: Callable[[str, str, str], Any],
        breaker: Breaker | None,
        backend: str = "",
    ):
        self.name = name
        self.backend = backend
        self._ask = ask if breaker is None else _held_by(breaker, ask)

    def authenticate(self, authority: str, user: str, secret: str) -> AuthDetails:
        """The identity that these credentials prove to this registration authority.

        Raises:
            NotAuthenticated: they prove none; an empty secret is not even shown to the backend.
            BackendUnavailable: the backend cannot be asked.
            PluginError: the backend failed in a way that it should not.
        """
        if not secret:
            raise NotAuthenticated()
        try:
            identity = self._ask(authority, user, secret)
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


def configure(
    name: str,
    section: Mapping[str, Any],
    base: Path,
    *,
    offline: bool = False,
    meeting: Meeting | None = None,
) -> Authenticator:
    """The backend that a section of the configuration describes.

    A class is made once with its options and asked ``authenticate(user, secret)``.  A function is
    asked ``f(ra_name, user, secret)``, or ``f(ra_name, user, secret, conf)`` if it takes four.
    Offline the options are proved, and nobody can be authenticated.  At the meeting all processes
    of the service share how many requests wait for the backend.
    """
    options = dict(section)
    kind = options.pop("backend")
    backend = plugins.load(NAMESPACE, kind)
    given = {"max_waiting": options.pop("max_waiting")} if "max_waiting" in options else {}
    usual, in_process = limits(server.capacity())
    limit = plugins.prove(CommonSettings, given, base).max_waiting or usual

    def breaker() -> Breaker:
        return Breaker(limit, process_limit=in_process, meeting=meeting, name=name)

    if not inspect.isclass(backend):
        return Authenticator(name, _function(backend, options), breaker(), kind)
    values = plugins.Signature.of(backend).prove(options, base, offline=offline)
    if offline:
        return Authenticator(name, _nobody, None, kind)
    try:
        instance = cast(Backend, backend(**values))
    except ValueError as error:
        raise ConfigurationError.about("", str(error)) from error

    def ask(_authority: str, user: str, secret: str) -> AuthDetails:
        return instance.authenticate(user, secret)

    held_by = breaker() if getattr(instance, "waits", True) else None
    return Authenticator(name, ask, held_by, kind)


def _held_by(
    breaker: Breaker, ask: Callable[[str, str, str], Any]
) -> Callable[[str, str, str], Any]:
    """The same question, when the breaker lets it pass."""

    def ask_in_turn(authority: str, user: str, secret: str) -> Any:
        with breaker.passage():
            return ask(authority, user, secret)

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


def _nobody(_authority: str, _user: str, _secret: str) -> None:
    raise BackendUnavailable("the configuration was loaded offline")


def _function(
    function: Callable[..., Any], options: Mapping[str, Any]
) -> Callable[[str, str, str], Any]:
    """A plain function, which reads its options out of ``conf`` by itself."""
    conf = MappingProxyType(dict(options))
    parameters = inspect.signature(function)
    try:
        parameters.bind("ra_name", "user", "secret", conf)
    except TypeError:
        if options:
            unknown = ", ".join(map(repr, options))
            raise ConfigurationError.about("", f"unknown option {unknown}") from None
        return function
    return lambda authority, user, secret: function(authority, user, secret, conf)
