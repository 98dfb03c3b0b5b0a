"""``anchor ban``: issue no certificate to a name, requester or key, or for a certificate."""

from __future__ import annotations

import argparse

from anchor.cli import times, values
from anchor.cli.check import add_config_option
from anchor.cli.command_modules import run_from

_KINDS = ("name", "requester", "key", "certificate")


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the command and its options."""
    parser.description = (
        "Ban a name, a requester or a key from the next request on, and print when its last "
        "certificate expires. A certificate that is banned cannot be renewed without a secret. "
        "Without arguments: list the bans."
    )
    add_subject(parser, nargs="?")
    until = parser.add_mutually_exclusive_group()
    until.add_argument(
        "--hours", type=values.number, help="how many hours; default: until anchor unban"
    )
    until.add_argument(
        "--until",
        type=times.moment,
        metavar="TIME",
        help="when it ends, such as 2027-01-31T12:00Z",
    )
    parser.add_argument("--reason", default="", help="a reason, shown in the list; default: none")
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each ban")
    add_config_option(parser)
    parser.set_defaults(run=run_from("ban_commands", "run_ban"))


def add_subject(parser: argparse.ArgumentParser, nargs: str | None) -> None:
    """Add the name, requester, key or certificate to ban."""
    parser.add_argument(
        "kind", choices=_KINDS, nargs=nargs, metavar="KIND", help=f"one of {', '.join(_KINDS)}"
    )
    parser.add_argument(
        "value",
        nargs=nargs,
        metavar="VALUE",
        help="a name: a host, a wildcard, '.a.domain', an address, a mailbox or a URI; a "
        "requester: the user name; a key: its SHA-256, or a PEM file with the key, a certificate "
        "or a request; a certificate: its SHA-256, or a PEM file with it",
    )
