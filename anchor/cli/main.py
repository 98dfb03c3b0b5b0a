"""The ``anchor`` command."""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Sequence
from typing import NamedTuple

import anchor
from anchor.cli.command_modules import import_module, report_missing_library
from anchor.cli.output import OutputError, checked_output, print_error
from anchor.cli.parser import CommandParser
from anchor.errors import AnchorError, describe_os_error


class Command(NamedTuple):
    """A command.

    Attributes:
        module: its module in this package.
        help: its line in the help of ``anchor``.
    """

    module: str
    help: str


COMMANDS = {
    "serve": Command("serve", "serve from this machine, for development"),
    "init": Command("init", "make a CA and a configuration"),
    "check": Command("check", "validate a configuration and give advice"),
    "schema": Command("schema", "print a JSON Schema of config.json, for editors"),
    "explain": Command("explain", "show whether a request would be signed, and why"),
    "test-policy": Command("test_policy", "run test cases with expected outcomes against a policy"),
    "request": Command("request", "get a certificate, and track it"),
    "renew": Command("renew", "renew the certificates that are due"),
    "list": Command(
        "listing", "show the tracked certificates with their validity and next renewal"
    ),
    "forget": Command("forget", "stop tracking certificates"),
    "user": Command("user", "add, change, remove or list the users in a users file"),
    "certs": Command("certs", "list, show, import or prune the issued certificates"),
    "ban": Command("ban", "issue nothing more to a name, requester, key or certificate"),
    "unban": Command("unban", "lift a ban"),
    "token": Command("token", "create, list or revoke tokens, which machines authenticate with"),
    "acme": Command("acme", "show how the ACME clients behave"),
    "audit": Command("audit", "verify the audit file, or make its key"),
    "database": Command("database", "describe, migrate, copy, back up or check the database"),
    "docs": Command("docs", "list, print or open the pages of the documentation"),
    "help": Command("help", "show the help of a command"),
    "version": Command("version", "print the version"),
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
            return run(sys.argv[1:] if arguments is None else list(arguments))
    except OutputError as error:
        if error.errno == errno.EPIPE:
            # The reader has closed the pipe, as `head` does after its last line.
            return 1
        print_error(f"cannot write standard output: {error.strerror}")
        return OUTPUT_FAILED
    except ModuleNotFoundError as error:
        return report_missing_library(error)
    except KeyboardInterrupt:
        return 130


def run(words: list[str]) -> int:
    """Parse the words, run the command, and return its exit code."""
    parser = make_parser(next((word for word in words if word in COMMANDS), None))
    namespace = parser.parse_args(words)
    logging.basicConfig(format="anchor: %(message)s")
    try:
        code: int = namespace.run(namespace)
    except AnchorError as error:
        print_error(str(error))
        return error.exit_status
    except OutputError:
        raise
    except OSError as error:
        print_error(describe_os_error(error))
        return 1
    return code


def make_parser(*names: str | None) -> CommandParser:
    """A parser with the options of the commands with these names, and of no other command.

    A client does not need the service's libraries, which the modules of other commands import.
    """
    parser = CommandParser(prog="anchor", description=anchor.__doc__)
    parser.add_argument(
        "--version",
        action="version",
        version=f"anchor {anchor.__version__}",
        help="print the version and exit",
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=command.help)
        if name in names:
            import_module(command.module).add_to(subparser)
    return parser
