"""``anchor database``: describe, migrate, copy, back up and check the database."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from pathlib import Path

from anchor.cli.check import add_config_option
from anchor.cli.command_modules import run_from
from anchor.cli.configuration import read_configuration
from anchor.cli.database_access import locate
from anchor.config.diagnostics import Diagnostics
from anchor.errors import ConfigurationError
from anchor.store.database.backup import back_up
from anchor.store.database.engine import Database
from anchor.store.database.inspection import describe_database, inspect_database, schema_of
from anchor.store.database.postgresql import connection_string
from anchor.store.database.schema import HEAD


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the commands and their options."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    info = commands.add_parser(
        "info",
        help="print where the database is, its version, rows and size",
        description="Print where the database is, the version of its schema, the number of rows of "
        "each table, and the size. Nothing is changed.",
    )
    info.add_argument("--json", action="store_true", help="print JSON")
    info.set_defaults(run=run_info)
    upgrade = commands.add_parser(
        "upgrade",
        help="create or migrate the tables now",
        description="Create the tables, or migrate them to this version of Anchor. The service "
        "does so by itself when it starts.",
    )
    upgrade.set_defaults(run=run_upgrade)
    copy = commands.add_parser(
        "copy",
        help="copy everything into an empty database",
        description="Copy all rows of the configured database into an empty one, from SQLite to "
        "PostgreSQL or between any two databases, and verify them. First stop the service on all "
        "nodes: if certificates, bans, tokens or ACME accounts change during the copy, nothing is "
        "copied, and the command exits with 1. The copy lacks what a service writes later.",
    )
    copy.add_argument(
        "url",
        metavar="URL",
        help="the new database, as in database.url: sqlite:///PATH or postgresql://USER@HOST/NAME",
    )
    copy.add_argument(
        "--password-file", type=Path, metavar="FILE", help="the file with the password for URL"
    )
    copy.set_defaults(run=run_from("database_copy"))
    backup = commands.add_parser(
        "backup",
        help="copy a SQLite database while the service runs",
        description="Write a consistent copy of a SQLite database to a new file, while the service "
        "runs. A plain copy of the file would lack recent commits, which are in the file beside it "
        "whose name ends in -wal. To restore a backup, stop the service, delete the files with "
        "-wal and -shm, move the backup to the path of the database, and run `anchor database "
        "check`. For PostgreSQL use pg_dump.",
    )
    backup.add_argument("file", type=Path, metavar="FILE", help="the new file; it must not exist")
    backup.set_defaults(run=run_backup)
    check = commands.add_parser(
        "check",
        help="compare the database with the audit, after a restore",
        description="Check that the database is intact, and compare its certificates with the "
        "audit. Exits with 1 if the database or the audit is damaged, if the database lacks a "
        "certificate in force that the audit has, or if it has a token with uses left that the "
        "audit has, for example after the restore of a backup.",
    )
    check.add_argument(
        "files",
        type=Path,
        nargs="*",
        metavar="AUDIT_FILE",
        help="the audit files of all nodes, with their rotated files, in any order; default: the "
        "configured file and its rotated files",
    )
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(run=run_from("database_check"))
    for command in (info, upgrade, copy, backup, check):
        add_config_option(command)


def run_info(namespace: argparse.Namespace) -> int:
    """Print where the database is, its version, rows and size."""
    location = locate(read_configuration(namespace.config))
    problems = Diagnostics()
    with problems.at("database"), inspect_database(location) as connection:
        info = describe_database(connection)
    problems.raise_if_any()
    if namespace.json:
        report = {
            "database": str(location),
            "server": info.server,
            "schema": info.version,
            "schema_of_this_program": HEAD,
            "rows": info.rows,
            "bytes": info.size,
        }
        print(json.dumps(report))
        return 0
    print(f"{location} ({info.server})")
    print(f"schema {info.version or 'missing'}, this version of Anchor has {HEAD}")
    for name, count in info.rows.items():
        print(f"{count:>12,}  {name}")
    print(f"{info.size:,} bytes")
    return 0


def run_upgrade(namespace: argparse.Namespace) -> int:
    """Create or migrate the tables."""
    location = locate(read_configuration(namespace.config))
    before = None
    database = Database(location)
    problems = Diagnostics()
    with problems.at("database"), closing(database):
        if location.path is None or location.path.exists():
            with inspect_database(location) as connection:
                before = schema_of(connection)
        database.prepare()
    problems.raise_if_any()
    if before is None:
        print(f"{location}: created the tables, with version {HEAD} of the schema")
    elif before < HEAD:
        print(f"{location}: migrated the schema from version {before} to {HEAD}")
    else:
        print(f"{location}: nothing to do, the schema has version {before}")
    return 0


def run_backup(namespace: argparse.Namespace) -> int:
    """Back up a SQLite database."""
    location = locate(read_configuration(namespace.config))
    path: Path = namespace.file
    if location.path is None:
        raise ConfigurationError.about(
            "",
            f"{location} is a server, so use its program for backups, with `umask 077`, because "
            f"they contain secrets of tokens: pg_dump "
            f"--format=custom --file={path} --exclude-table-data=shared_keys "
            f"--dbname='{connection_string(location)}'",
        )
    if not location.path.exists():
        raise ConfigurationError.about("database.url", f"{location.path} does not exist yet")
    try:
        size = back_up(location, path)
    except FileExistsError:
        raise ConfigurationError.about("", f"{path} exists already") from None
    except OSError as error:
        raise ConfigurationError.about("", f"{path}: {error.strerror}") from None
    print(f"{path}: a backup of {location}, {size:,} bytes")
    return 0
