"""``anchor schema``: print the JSON Schema of config.json, for editors."""

from __future__ import annotations

import argparse
from typing import Any

from anchor.config_schema import schema


def add_to(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "schema",
        help="print a JSON Schema of config.json, for editors",
        description="Print a JSON Schema of config.json with the options of the installed "
        "plug-ins. It rejects unknown names.",
    )
    parser.add_argument(
        "--shipped",
        action="store_true",
        help="print the schema of the package, which accepts any plug-in",
    )
    parser.set_defaults(run=run)


def run(namespace: argparse.Namespace) -> int:
    """Print the schema."""
    text = (
        schema.shipped_text()
        if namespace.shipped
        else schema.to_json(schema.for_installed_plugins())
    )
    print(text, end="")
    return 0
