"""The database and the files of a configuration, for commands."""

from __future__ import annotations

from pathlib import Path

from anchor.config.diagnostics import Diagnostics
from anchor.config.document import Document
from anchor.config.plugins import validate_options
from anchor.errors import ConfigurationError
from anchor.store.database.engine import Database
from anchor.store.database.settings import DatabaseLocation, locate_database


def locate(document: Document) -> DatabaseLocation:
    """The configured database.

    Raises:
        ConfigurationError: the section ``database`` is invalid.
    """
    problems = Diagnostics()
    with problems.at("database"):
        return locate_database(document.database, document.base)
    problems.raise_if_any()
    raise AssertionError


def open_database(document: Document, *, create: bool = False) -> Database:
    """The database, with its tables.

    Args:
        document: the configuration.
        create: create the file of an SQLite database if it does not exist.

    Raises:
        ConfigurationError: the section is invalid, or the file does not exist or cannot be used.
        DatabaseUnavailable: the database is away.
        StorageError: the database belongs to another version of Anchor.
    """
    location = locate(document)
    problems = Diagnostics()
    with problems.at("database"):
        if location.path is not None and not create:
            _require_file(location.path)
        database = Database(location)
        database.prepare()
        return database
    problems.raise_if_any()
    raise AssertionError


def _require_file(path: Path) -> None:
    """Require that the file exists, so that a command that only reads creates nothing."""
    try:
        exists = path.exists()
    except OSError as error:
        raise ConfigurationError.about("url", f"{path}: {error.strerror}") from None
    if not exists:
        raise ConfigurationError.about(
            "url", f"there is no database yet: the service creates {path} when it starts"
        )


def ban_file(document: Document) -> Path:
    """The ban file of an earlier version, which need not exist.

    Raises:
        ConfigurationError: the section is invalid.
    """
    # Imported here: most commands need no bans.
    from anchor.store.ban_file import BanSettings  # noqa: PLC0415

    problems = Diagnostics()
    with problems.at("bans"):
        return validate_options(BanSettings, document.bans, document.base).path
    problems.raise_if_any()
    raise AssertionError


def output_directories(document: Document) -> list[Path]:
    """The directories in which the signing CAs store certificates, as far as they exist.

    Raises:
        ConfigurationError: the section of a signing CA is invalid.
    """
    # Imported here: most commands need no directories.
    from anchor.ca.settings import CASettings  # noqa: PLC0415

    directories: dict[Path, None] = {}
    problems = Diagnostics()
    for name, section in document.signing_ca.items():
        common = {key: section[key] for key in CASettings.model_fields if key in section}
        with problems.at("signing_ca", name):
            settings = validate_options(CASettings, common, document.base)
            if settings.output_path is not None and settings.output_path.is_dir():
                directories[settings.output_path.absolute()] = None
    problems.raise_if_any()
    return list(directories)
