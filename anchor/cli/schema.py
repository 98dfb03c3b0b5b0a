"""``anchor schema``: print the JSON Schema of config.json, for editors."""

from __future__ import annotations

import argparse

from anchor.config_schema import schema


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the command and its options."""
    parser.description = (
        "Print a JSON Schema of config.json with the options of the installed "
        "plug-ins. It rejects unknown names."
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
