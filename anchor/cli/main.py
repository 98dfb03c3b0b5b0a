"""The ``anchor`` command."""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import logging
import sys
from collections.abc import Sequence

import anchor
from anchor.cli.output import OutputError, checked_output
from anchor.errors import AnchorError

# The module in this package for each command.
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
    "database": "database",
}

# sysexits.h: EX_IOERR.
OUTPUT_FAILED = 74


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    It is 0 for yes or done, 1 for no, 2 if the command line is not understood, 77 if a token
    refused the PIN, so that nothing tries it again, and 74 if standard output cannot be written.
    """
    try:
        with checked_output():
            return _run(sys.argv[1:] if arguments is None else list(arguments))
    except OutputError as error:
        if error.errno == errno.EPIPE:
            # The reader has closed the pipe, as `head` does after its last line.
            return 1
        # Standard error may be on the same full disk.
        with contextlib.suppress(OSError):
            print(f"anchor: cannot write standard output: {error.strerror}", file=sys.stderr)
        return OUTPUT_FAILED
    except KeyboardInterrupt:
        return 130


def _run(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="anchor", description=anchor.__doc__)
    parser.add_argument("--version", action="version", version=f"anchor {anchor.__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    # Import only the named command: a client does not need the service's libraries.
    wanted = [word for word in words[:1] if word in COMMANDS] or COMMANDS
    for module in dict.fromkeys(COMMANDS[name] for name in wanted):
        importlib.import_module(f"anchor.cli.{module}").add_to(subparsers)
    namespace = parser.parse_args(words)
    logging.basicConfig(format="anchor: %(message)s")
    try:
        code: int = namespace.run(namespace)
    except AnchorError as error:
        print(f"anchor: {error}", file=sys.stderr)
        return error.exit_status
    return code
