"""``anchor help``: show the help of a command."""

from __future__ import annotations

import argparse

from anchor.cli import main


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the command and its arguments."""
    parser.description = "Show the help of a command, as `anchor COMMAND --help` does."
    parser.add_argument(
        "command", nargs="*", metavar="COMMAND", help="the command; default: list the commands"
    )
    parser.set_defaults(run=run)


def run(namespace: argparse.Namespace) -> int:
    """Print the help."""
    return main.run([*namespace.command, "--help"])
