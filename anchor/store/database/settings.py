"""The ``database`` section of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pydantic
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from anchor.config.file_types import Secret, SecretFile
from anchor.config.plugins import validate_options
from anchor.errors import ConfigurationError

_PSYCOPG = "postgresql+psycopg"
# Parameters of libpq with secrets, which a URL can have too.
_SECRETS = (
    "password",
    "sslpassword",
    "scram_client_key",
    "scram_server_key",
    "oauth_client_secret",
)
# The values that libpq knows of parameters that decide about durability and secrecy.
_VALUES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": (
        "any",
        "read-write",
        "read-only",
        "primary",
        "standby",
        "prefer-standby",
    ),
}
_DRIVERS = {"sqlite": "sqlite", "postgresql": _PSYCOPG, _PSYCOPG: _PSYCOPG}


class DatabaseSettings(pydantic.BaseModel):
    """The options of the section."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    url: str = pydantic.Field(
        "sqlite:///anchor.db",
        description="where the database is: ``sqlite:///PATH`` for a file on this machine, which "
        "is created if it does not exist, or ``postgresql://USER@HOST/NAME`` for a server that "
        "several nodes share. A server with a replica has both hosts in its URL, and the one that "
        "accepts writes is used: ``postgresql://USER@/NAME?host=A:5432&host=B:5432``",
    )
    password_file: SecretFile | None = pydantic.Field(
        None, description="a file with the password of the database's user"
    )
    pool_size: Annotated[int, pydantic.Field(ge=1, le=1000)] = pydantic.Field(
        10,
        description="the largest number of connections that each process opens to a server. To a "
        "file, it opens two for each thread",
    )
    timeout_seconds: Annotated[float, pydantic.Field(ge=0.1, le=60)] = pydantic.Field(
        5,
        description="how long a statement, a commit or the wait for a lock may take; after that "
        "the response is 503",
    )
    connect_timeout_seconds: Annotated[int, pydantic.Field(ge=2, le=60)] = pydantic.Field(
        3, description="how long it may take to connect to one host"
    )


@dataclass(frozen=True)
class DatabaseLocation:
    """A validated ``database`` section.

    Attributes:
        url: the URL, with its driver and with its password.
        path: the file of a SQLite database; None for a server.
        settings: the options.
    """

    url: URL
    path: Path | None
    settings: DatabaseSettings

    @property
    def kind(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self.url.get_backend_name()

    def __str__(self) -> str:
        """The URL as it is written in the configuration, without its secrets, for messages."""
        if self.path is not None:
            return str(self.path)
        hidden = {name: "..." for name in self.url.query if name in _SECRETS}
        url = self.url.set(drivername=self.kind).update_query_dict(hidden)
        return url.render_as_string()


def without_secrets(url: URL) -> URL:
    """The URL without its password and without parameters that are secret."""
    # set() would keep the password.
    return url._replace(password=None).difference_update_query(_SECRETS)


def locate_database(
    section: Mapping[str, Any], base: Path, *, offline: bool = False
) -> DatabaseLocation:
    """Validate the section.

    Args:
        section: the options.
        base: the directory that relative paths start from.
        offline: True if nothing will connect; then the password is not read.

    Raises:
        ConfigurationError: with all problems of the section.
    """
    settings = validate_options(DatabaseSettings, section, base, offline=offline)
    try:
        url = make_url(settings.url)
        driver = _DRIVERS[url.drivername]
    except (ArgumentError, KeyError, ValueError):
        # Without the text of the error: the URL may contain a password.
        raise ConfigurationError.about(
            "url", "should be sqlite:///PATH or postgresql://USER@HOST/NAME"
        ) from None
    password = settings.password_file
    if driver == "sqlite":
        return DatabaseLocation(url, _sqlite_path(url, base, password), settings)
    if password is not None:
        if url.password is not None or "password" in url.query:
            raise ConfigurationError.about("password_file", "the URL contains a password too")
        url = url.set(password=password.get_secret_value())
    try:
        import psycopg  # noqa: F401, PLC0415  # an optional package
    except ImportError:
        raise ConfigurationError.about(
            "url", "PostgreSQL needs the extra: pip install 'anchor[postgresql]'"
        ) from None
    url = url.set(drivername=driver)
    _require_valid_parameters(url)
    return DatabaseLocation(url, None, settings)


def _require_valid_parameters(url: URL) -> None:
    """Require that libpq knows the parameters, which it would check only with each connection."""
    from psycopg import ProgrammingError  # noqa: PLC0415  # an optional package
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415

    for name, values in _VALUES.items():
        value = url.query.get(name, values[0])
        if value not in values:
            raise ConfigurationError.about("url", f"{name} should be one of {', '.join(values)}")
    try:
        _, options = url.get_dialect()().create_connect_args(url)
        make_conninfo("", **options)
    except (ArgumentError, ProgrammingError) as error:
        # The texts name parameters and quote no values.
        raise ConfigurationError.about("url", str(error).strip()) from None


def _sqlite_path(url: URL, base: Path, password: Secret | None) -> Path:
    if not url.database or url.database == ":memory:" or url.host or url.query:
        raise ConfigurationError.about("url", "SQLite needs a file: sqlite:///PATH")
    if password is not None:
        raise ConfigurationError.about("password_file", "SQLite has no password")
    return base / Path(url.database).expanduser()
