"""The ban file of earlier versions, whose bans are imported into the database."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import pydantic

from anchor.config.file_types import FilePath
from anchor.errors import ConfigurationError, DatabaseUnavailable, StorageError
from anchor.store.bans import Ban
from anchor.store.database.bans import Bans
from anchor.store.database.engine import Database

LOG = logging.getLogger(__name__)

_BANS = pydantic.TypeAdapter(tuple[Ban, ...])


class BanSettings(pydantic.BaseModel):
    """The ``bans`` section of the configuration."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    path: FilePath = pydantic.Field(
        "bans.json",
        validate_default=True,
        description="a ban file of Anchor 1.0. If it exists, its bans are imported into the "
        "database when the service starts and when ``anchor ban`` runs, once for each of its "
        "versions",
    )


def import_ban_file(path: Path, bans: Bans) -> int:
    """Import the bans of a file, unless this version of the file was imported before.

    Returns:
        the number of bans that were imported.

    Raises:
        ConfigurationError: the file exists, and is damaged or cannot be read.
        DatabaseUnavailable: the database is away.
    """
    try:
        contents = path.read_bytes()
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise ConfigurationError.about(
            "bans.path", f"{path} cannot be read: {error.strerror}"
        ) from None
    try:
        found = _BANS.validate_json(contents)
    except pydantic.ValidationError as error:
        raise ConfigurationError.about("bans.path", f"{path} is damaged: {error}") from None
    return bans.import_once(hashlib.sha256(contents).hexdigest(), found)


def prepare_database(database: Database, ban_file: Path) -> None:
    """Create or migrate the tables, and import the ban file, before the service forks.

    A server that is away does not keep the service from starting: it responds with 503 until the
    server is back.  A ban file does: the service would go on without its bans then.

    Raises:
        ConfigurationError: the database or the ban file cannot be used.
    """
    try:
        database.prepare()
        imported = import_ban_file(ban_file, Bans(database))
    except DatabaseUnavailable as error:
        if database.location.path is not None:
            raise ConfigurationError.about("database.url", str(error)) from error
        if ban_file.exists():
            raise ConfigurationError.about(
                "bans.path",
                f"{ban_file} cannot be imported, because the database is away ({error}): move the "
                "file away if its bans were imported before",
            ) from error
        LOG.error("%s", error)
        return
    except StorageError as error:
        raise ConfigurationError.about("database.url", str(error)) from error
    finally:
        database.close()
    if imported:
        LOG.info("imported %d bans of %s into %s", imported, ban_file, database)
