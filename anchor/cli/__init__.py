"""The ``anchor`` command."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

import anchor
from anchor.cli import audit, ban, certs, check, explain, init, serve, test_policy
from anchor.errors import AnchorError

COMMANDS = (serve, init, check, explain, test_policy, certs, ban, audit)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 for yes, 1 for no, 2 for not understood."""
    parser = argparse.ArgumentParser(prog="anchor", description=anchor.__doc__)
    parser.add_argument("--version", action="version", version=f"anchor {anchor.__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(subparsers)
    namespace = parser.parse_args(arguments)
    logging.basicConfig(format="anchor: %(message)s")
    try:
        code: int = namespace.run(namespace)
        print(end="", flush=True)
    except BrokenPipeError:
        # Whoever reads the output has read enough; Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except AnchorError as error:
        print(f"anchor: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code
