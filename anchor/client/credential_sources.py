"""The one source of credentials that the options name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from anchor.client import trust
from anchor.client.credential_files import read_jwt, read_token
from anchor.client.credentials import (
    MAX_SECRET,
    Command,
    Credentials,
    Fixed,
    KeystoneToken,
    Source,
)
from anchor.client.errors import NoCredentials
from anchor.client.outcome import one_line
from anchor.client.settings import ClientSettings
from anchor.client.trust import Untrusted
from anchor.config.file_types import read_secret
from anchor.errors import ConfigurationError

_SOURCES = ("secret_file", "secret_command", "token_file", "jwt_file", "keystone")
_FILES: dict[str, Callable[[Path], Credentials]] = {
    "token_file": read_token,
    "jwt_file": read_jwt,
}


@dataclass(frozen=True)
class NoSource:
    """No usable source, which is an error only if a secret is needed."""

    error: ConfigurationError

    def credentials(self) -> Credentials:
        """Raise NoCredentials, with the error."""
        raise NoCredentials(one_line(self.error))


def configured_source(settings: ClientSettings) -> Source:
    """The source of credentials in the options; files are read now.

    Raises:
        ConfigurationError: there is none or more than one, or it cannot be used.
    """
    configured = [name for name in _SOURCES if getattr(settings, name) is not None]
    if len(configured) != 1:
        names = f"{', '.join(map(repr, _SOURCES[:-1]))} and {_SOURCES[-1]!r}"
        raise ConfigurationError.about("", f"exactly one of {names} is needed")
    [name] = configured
    if name in _FILES:
        return _from_file(settings, name)
    if settings.keystone is not None:
        return KeystoneToken(settings.user, settings.keystone.cloud, settings.timeout)
    if not settings.user:
        raise ConfigurationError.about("", "missing option 'user'")
    if settings.secret_command is not None:
        return _from_command(settings, settings.secret_command)
    assert settings.secret_file is not None
    try:
        secret = read_secret(settings.secret_file)
    except ValueError as error:
        raise ConfigurationError.about("secret_file", str(error)) from None
    return password(settings.user, secret.get_secret_value(), "secret_file")


def password(user: str, secret: str, option: str) -> Fixed:
    """A user and a password, as a source.

    Args:
        user: the user name.
        secret: the password.
        option: the option that errors are about.

    Raises:
        ConfigurationError: the password is empty, too long or not text.
    """
    if not secret:
        raise ConfigurationError.about(option, "is empty")
    if len(secret) > MAX_SECRET:
        raise ConfigurationError.about(option, f"the secret is longer than {MAX_SECRET} characters")
    return Fixed(Credentials(user, secret))


def _from_file(settings: ClientSettings, name: str) -> Fixed:
    if settings.user:
        raise ConfigurationError.about("user", f"is not used with {name!r}; leave it out")
    try:
        return Fixed(_FILES[name](getattr(settings, name)))
    except ValueError as error:
        raise ConfigurationError.about(name, str(error)) from None


def _from_command(settings: ClientSettings, command: tuple[str, ...]) -> Command:
    if not command:
        raise ConfigurationError.about("secret_command", "is empty")
    try:
        trust.require_command(command)
    except Untrusted as error:
        raise ConfigurationError.about("secret_command", str(error)) from None
    return Command(settings.user, command, settings.timeout)
