"""Loading the backend that a section of the configuration describes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, cast

import pydantic

from anchor.auth.authenticator import NAMESPACE, AuthenticateFunction, Authenticator
from anchor.auth.backend import Backend
from anchor.auth.circuit_breaker import CircuitBreaker, SharedSlots, default_limits
from anchor.auth.results import AuthDetails, CredentialKind
from anchor.config import plugins
from anchor.config.plugins import load_plugin, validate_options
from anchor.errors import AnchorError, BackendUnavailable, ConfigurationError
from anchor.runtime import server


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
    credential = _credential(backend)
    needed = frozenset(getattr(backend, "from_anchor", ()))
    values = plugins.Signature.of(backend, needed).validate(options, base, offline=offline)
    supplied = {"shared_slots": shared_slots, **services}
    # If a service is missing, the configuration has another problem, which is reported there.
    if offline or not needed <= supplied.keys():
        return Authenticator(name, _unavailable_offline, None, kind, credential=credential)
    try:
        instance = cast(Backend, backend(**{key: supplied[key] for key in needed}, **values))
    except AnchorError:
        raise
    except ValueError as error:
        raise ConfigurationError.about("", str(error)) from error
    except (Exception, SystemExit) as error:
        # Only the type: the text of a plug-in's error may contain a secret.
        raise ConfigurationError.about(
            "", f"the authentication backend failed: {type(error).__name__}"
        ) from error
    if not callable(getattr(instance, "authenticate", None)):
        raise ConfigurationError.about("", "the class has no method authenticate(user, secret)")

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
        verify_mac=getattr(instance, "verify_mac", None),
    )


def _credential(backend: type) -> CredentialKind:
    kind = getattr(backend, "credential", CredentialKind.PASSWORD)
    try:
        return CredentialKind(kind)
    except ValueError:
        raise ConfigurationError.about(
            "", f"the class has the credential {kind!r}, and should have a CredentialKind"
        ) from None


def _look_up_function(look_up: Any) -> Callable[[str, AuthDetails], object] | None:
    """Wrap the method of a backend; None if it has none."""
    if not callable(look_up):
        return None
    if "authority" in inspect.signature(look_up).parameters:
        return lambda authority, recorded: look_up(recorded, authority=authority)
    return lambda _authority, recorded: look_up(recorded)


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
    if _can_bind(parameters, "ra_name", "user", "secret", conf):
        return lambda authority, user, secret, _: function(authority, user, secret, conf)
    if not _can_bind(parameters, "ra_name", "user", "secret"):
        raise ConfigurationError.about(
            "", "the function does not take the arguments ra_name, user, secret and conf"
        )
    if options:
        unknown = ", ".join(map(repr, options))
        raise ConfigurationError.about("", f"unknown option {unknown}")
    return lambda authority, user, secret, _: function(authority, user, secret)


def _can_bind(signature: inspect.Signature, *arguments: object) -> bool:
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True
