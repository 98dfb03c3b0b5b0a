"""The version of the database's schema, and its migration.

Migrations have numbers.  A version of Anchor works with its own schema and with the next one, so
that nodes can be upgraded one after the other.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from anchor.errors import StorageError
from anchor.store.database.errors import is_missing_table
from anchor.store.database.postgresql import lift_limits

LOG = logging.getLogger(__name__)

HEAD = "0004"
"""The newest migration that this version has."""


_NUMBER = re.compile(r"[0-9]{4}", re.ASCII)


def ensure_schema(engine: Engine, lock: Callable[[Connection], None]) -> None:
    """Create the tables, or migrate them to this version.

    Args:
        engine: the database.
        lock: wait for other processes that migrate.

    Raises:
        StorageError: the database belongs to a version of Anchor that is too new, or to another
            program.
        sqlalchemy.exc.DBAPIError: the database is away or refuses a statement.
    """
    if is_usable(current_version(engine)):
        return
    # Alembic's own lines say less than the one below.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # Imported here: a process needs it only for the first start after an upgrade.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    with engine.begin() as connection:
        lock(connection)
        if connection.dialect.name == "postgresql":
            # A migration of a large table takes longer than a request may take.
            lift_limits(connection)
        # Another process may have migrated them while this one waited.
        has_version = inspect(connection).has_table("alembic_version")
        if has_version and is_usable(schema_version(connection)):
            return
        config = Config()
        config.set_main_option("script_location", "anchor.store.database:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    LOG.info("the database's schema is now at version %s", HEAD)


def current_version(engine: Engine) -> str | None:
    """The version of the schema; None if the database is empty."""
    with engine.connect() as connection:
        return schema_version(connection)


def schema_version(connection: Connection) -> str | None:
    """The version of the schema; None if the database is empty."""
    try:
        version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except DBAPIError as error:
        if is_missing_table(error.orig):
            return None
        raise
    return None if version is None else str(version)


def is_usable(version: str | None) -> bool:
    """Whether this program works with a version of the schema; False if it has to migrate it.

    Raises:
        StorageError: the database belongs to a version of Anchor that is too new, or to another
            program.
    """
    if version is None:
        return False
    if not _NUMBER.fullmatch(version) or int(version) < 1:
        raise StorageError(
            f"the database belongs to another program: its alembic_version is {version!a}"
        )
    if int(version) > int(HEAD) + 1:
        raise StorageError(
            f"the database has version {version} of the schema; this version of Anchor works with "
            f"{HEAD} and the next one"
        )
    return version >= HEAD
