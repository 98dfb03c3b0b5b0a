"""``anchor database copy``: copy everything into an empty database."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from anchor.cli.configuration import read_configuration
from anchor.cli.database_access import locate
from anchor.config.diagnostics import Diagnostics
from anchor.config.document import find_config
from anchor.store.database.copying import Progress, copy_database
from anchor.store.database.engine import Database
from anchor.store.database.settings import DatabaseLocation, locate_database, without_secrets


def run(namespace: argparse.Namespace) -> int:
    """Copy the configured database, and print how to configure the copy."""
    path = namespace.config or find_config()
    source = locate(read_configuration(path))
    target = _target(namespace)
    database = Database(target)
    try:
        with _progress() as progress:
            rows = copy_database(source, database, progress)
    finally:
        database.close()
    print(f"copied and verified {source} to {target}:")
    for name, count in rows.items():
        print(f"{count:>12,}  {name}")
    print(f"Set this in {path}, then start the service:")
    print(f'  "database": {json.dumps(_section(target, namespace.password_file))}')
    return 0


def _target(namespace: argparse.Namespace) -> DatabaseLocation:
    section = {"url": namespace.url}
    if namespace.password_file is not None:
        section["password_file"] = str(namespace.password_file)
    problems = Diagnostics()
    with problems.at("the target"):
        return locate_database(section, Path.cwd())
    problems.raise_if_any()
    raise AssertionError


def _section(target: DatabaseLocation, password_file: Path | None) -> dict[str, str]:
    """The section of the configuration for the target, without its password."""
    if target.path is not None:
        return {"url": f"sqlite:///{target.path.absolute()}"}
    url = make_url(target.settings.url)
    section = {"url": without_secrets(url).render_as_string()}
    if password_file is not None:
        section["password_file"] = str(password_file.absolute())
    elif url.password is not None or "password" in url.query:
        section |= {"password_file": "FILE"}
    return section


@contextmanager
def _progress() -> Iterator[Progress]:
    """Show the progress on a terminal during the block."""
    if not sys.stderr.isatty():
        yield lambda _table, _rows: None
        return
    started = shown = time.monotonic()

    def show(table: str, rows: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= 0.2:
            shown = now
            print(f"\r\x1b[K{rows:,} {table}, {now - started:.0f} s ", end="", file=sys.stderr)
            sys.stderr.flush()

    try:
        yield show
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
