"""``anchor user``: the users in the file of a ``static`` authentication."""

from __future__ import annotations

import argparse
from pathlib import Path

from anchor.cli.check import add_config_option
from anchor.cli.command_modules import run_from

_MODULE = "user_commands"


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the commands and their options."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    add = commands.add_parser(
        "add",
        # Or --secret would mean --secret-file, and its error would show the secret.
        allow_abbrev=False,
        help="add a user, and print a new secret",
        description="Add a user. Without --secret-file and --prompt a random secret is generated, "
        "and printed once, alone on standard output: the file has only a hash of it. A file that "
        "does not exist is made. Exits with 1 if the user exists already.",
    )
    _add_name(add)
    add.add_argument(
        "--group",
        action="append",
        default=[],
        help="a group of the user; may be given several times",
    )
    add.add_argument(
        "--name",
        action="append",
        default=[],
        dest="names",
        metavar="NAME",
        help="a name that certificates of the user may have; may be given several times. "
        "Without it, only the policy limits the names",
    )
    _add_secret(add)
    add.set_defaults(run=run_from(_MODULE, "run_add"))
    change = commands.add_parser(
        "set-secret",
        # Or --secret would mean --secret-file, and its error would show the secret.
        allow_abbrev=False,
        help="give a user another secret",
        description="Replace the secrets of a user by a new one, which is generated or read as in "
        "`anchor user add`. Everything else in the line stays. Exits with 1 if there is no such "
        "user.",
    )
    _add_name(change)
    sources = _add_secret(change)
    sources.add_argument(
        "--drop-old", action="store_true", help="make no new secret, and end --keep-old"
    )
    change.add_argument(
        "--keep-old",
        action="store_true",
        help="accept the current secret too, until --drop-old or the next set-secret",
    )
    change.set_defaults(run=run_from(_MODULE, "run_set_secret"))
    remove = commands.add_parser(
        "remove",
        help="remove a user",
        description="Remove a user, from the next request on. The user's certificates stay valid "
        "until they expire: `anchor certs --requester` lists them. Exits with 1 if there is no "
        "such user.",
    )
    _add_name(remove)
    remove.set_defaults(run=run_from(_MODULE, "run_remove"))
    list_ = commands.add_parser(
        "list",
        help="list the users, without their secrets",
        description="List the users with their groups, names and number of secrets.",
    )
    list_.add_argument("--json", action="store_true", help="print a line of JSON for each user")
    list_.set_defaults(run=run_from(_MODULE, "run_list"))
    for command in (add, change, remove, list_):
        _add_file(command)


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER", help="the user name")


def _add_secret(parser: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    # No option has the secret as its value: others can read command lines, and shells keep them.
    sources = parser.add_mutually_exclusive_group()
    sources.add_argument(
        "--secret-file",
        metavar="FILE",
        help="read the secret from a file that others cannot read; - for standard input",
    )
    sources.add_argument("--prompt", action="store_true", help="ask for the secret")
    return sources


def _add_file(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--file", type=Path, help="the users file; default: the one in the configuration"
    )
    which.add_argument(
        "--authentication",
        metavar="SECTION",
        help="the authentication in the configuration whose file to use, if there are several",
    )
    add_config_option(parser)
