"""``anchor acme``: look after the ACME clients."""

from __future__ import annotations

import argparse

from anchor.cli.check import add_config_option
from anchor.cli.command_modules import run_from


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the commands and their options."""
    parser.description = "Show how the ACME clients behave."
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    clients = commands.add_parser(
        "clients",
        help="list the accounts, and how well they keep to their renewal windows",
        description="List the ACME accounts in the order of their identifiers, with the number of "
        "certificates that each has in the database. A certificate is early if it was issued "
        "before the renewal window of the previous one for the same names, and late if it was "
        "issued after it. REFUSED counts the orders that came too often.",
    )
    clients.add_argument("--authority", metavar="NAME", help="only those of this authority")
    clients.add_argument("--token", metavar="ID", help="only those that are bound to this token")
    clients.add_argument(
        "--early", action="store_true", help="only those with early certificates or refused orders"
    )
    clients.add_argument(
        "--json", action="store_true", help="print a line of JSON for each account"
    )
    add_config_option(clients)
    clients.set_defaults(run=run_from("acme_clients"))
