"""``anchor schema``: what editors complete and check a configuration by."""

from __future__ import annotations

import argparse
from typing import Any

from anchor.config_schema import schema


def add_to(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "schema",
        help="print a JSON Schema of config.json, for editors",
        description="Print a JSON Schema of config.json that knows the plug-ins which are "
        "installed here, and refuses names that nobody offers.",
    )
    parser.add_argument(
        "--shipped",
        action="store_true",
        help="print the one that came with the package, which has room for any plug-in",
    )
    parser.set_defaults(run=run)


def run(namespace: argparse.Namespace) -> int:
    """Print it."""
    text = (
        schema.shipped_text()
        if namespace.shipped
        else schema.to_json(schema.for_installed_plugins())
    )
    print(text, end="")
    return 0
