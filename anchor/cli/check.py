"""``anchor check``: prove a configuration."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from anchor import config_file, settings
from anchor.errors import ConfigurationError


def add_to(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "check",
        help="prove a configuration, and show all that is wrong with it",
        description="Read and prove config.json as the service does at its start. Exits with 0 if "
        "the service would start, and with 1, after every error there is, if not.",
    )
    add_config_option(parser)
    parser.set_defaults(run=run)


def add_config_option(
    parser: argparse.ArgumentParser, meaning: str = "config.json, if not where it is looked for"
) -> None:
    """The option that says which configuration is meant."""
    parser.add_argument("--config", type=Path, metavar="FILE", help=meaning)


def run(namespace: argparse.Namespace) -> int:
    """Prove the configuration."""
    path = namespace.config or config_file.find()
    try:
        proved = settings.load(path)
    except ConfigurationError as error:
        for complaint in error.complaints:
            print(complaint, file=sys.stderr)
        count = len(error.complaints)
        print(f"{path}: {count} error{'s' if count > 1 else ''}", file=sys.stderr)
        return 1
    print(f"{path}: good, for {', '.join(sorted(proved.authorities))}")
    return 0
