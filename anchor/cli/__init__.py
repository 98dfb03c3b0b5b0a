"""The ``anchor`` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import anchor
from anchor.cli import audit, ban, certs, check, init, serve
from anchor.errors import AnchorError

COMMANDS = (serve, init, check, certs, ban, audit)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 for yes, 1 for no, 2 for not understood."""
    parser = argparse.ArgumentParser(prog="anchor", description=anchor.__doc__)
    parser.add_argument("--version", action="version", version=f"anchor {anchor.__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(subparsers)
    namespace = parser.parse_args(arguments)
    try:
        code: int = namespace.run(namespace)
    except AnchorError as error:
        print(f"anchor: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code
