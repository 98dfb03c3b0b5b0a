"""``anchor forget``: track a certificate no more."""

from __future__ import annotations

import argparse
from typing import Any

from anchor.cli import client_options


def add_to(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "forget",
        help="track a certificate no more",
        description="Track certificates no more. Their files stay where they are.",
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="as `anchor list` shows it")
    client_options.add_state_option(parser)
    parser.set_defaults(run=run)


def run(namespace: argparse.Namespace) -> int:
    """Forget them."""
    state = client_options.state_directory(namespace)
    for name in namespace.names:
        state.forget(name)
    return 0
