"""The ``anchor`` command."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

import anchor
from anchor.errors import AnchorError

# The commands, and the modules in here that they are in.
COMMANDS = {
    "serve": "serve",
    "init": "init",
    "check": "check",
    "schema": "schema",
    "explain": "explain",
    "test-policy": "test_policy",
    "request": "request",
    "renew": "renew",
    "list": "listing",
    "forget": "forget",
    "certs": "certs",
    "ban": "ban",
    "unban": "ban",
    "audit": "audit",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 for yes, 1 for no, 2 for not understood.

    A PIN that a token refused is 77, so that nothing tries it again.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="anchor", description=anchor.__doc__)
    parser.add_argument("--version", action="version", version=f"anchor {anchor.__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    # Only what is asked for is imported: a client has no use for the service's libraries.
    wanted = [word for word in words[:1] if word in COMMANDS] or COMMANDS
    for module in dict.fromkeys(COMMANDS[name] for name in wanted):
        importlib.import_module(f"anchor.cli.{module}").add_to(subparsers)
    namespace = parser.parse_args(words)
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
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    return code
