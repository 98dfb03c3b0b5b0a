"""``anchor forget``: stop tracking certificates."""

from __future__ import annotations

import argparse

from anchor.cli import client_options


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the command and its options."""
    parser.description = "Stop tracking certificates. Their files are kept."
    parser.add_argument("names", nargs="+", metavar="NAME", help="as `anchor list` shows it")
    client_options.add_state_option(parser)
    parser.set_defaults(run=run)


def run(namespace: argparse.Namespace) -> int:
    """Stop tracking the certificates."""
    state = client_options.state_directory(namespace)
    for name in namespace.names:
        state.forget(name)
    return 0
