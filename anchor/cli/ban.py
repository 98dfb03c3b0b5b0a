"""``anchor ban`` and ``anchor unban``: issue no certificate to a name, requester or key."""

from __future__ import annotations

import argparse
from typing import Any

from anchor.cli import times
from anchor.cli.check import add_config_option

_KINDS = ("name", "requester", "key")


def add_to(subparsers: Any) -> None:
    """Add the commands to the parser."""
    ban = subparsers.add_parser(
        "ban",
        help="issue nothing more to a name, requester or key",
        description="Ban a name, a requester or a key from the next request on, and print when its "
        "last certificate expires. Without arguments: list the bans.",
    )
    _add_subject(ban, nargs="?")
    until = ban.add_mutually_exclusive_group()
    until.add_argument("--hours", type=float, help="how long; default: until anchor unban")
    until.add_argument(
        "--until",
        type=times.moment,
        metavar="TIME",
        help="when it ends, such as 2027-01-31T12:00Z",
    )
    ban.add_argument("--reason", default="", help="a reason, shown in the list")
    ban.add_argument("--json", action="store_true", help="print a line of JSON for each ban")
    add_config_option(ban)
    ban.set_defaults(run=_run_ban)
    unban = subparsers.add_parser(
        "unban", help="lift a ban", description="Lift a ban, from the next request on."
    )
    _add_subject(unban, nargs=None)
    unban.add_argument("--dry-run", action="store_true", help="only print the ban")
    add_config_option(unban)
    unban.set_defaults(run=_run_unban)


def _add_subject(parser: argparse.ArgumentParser, nargs: str | None) -> None:
    parser.add_argument("kind", choices=_KINDS, nargs=nargs, metavar="name|requester|key")
    parser.add_argument(
        "value",
        nargs=nargs,
        help="a host, a wildcard, '.a.domain', an address, a mailbox or a URI; a user name; or a "
        "key's SHA-256, or a file with the key or a certificate of it in PEM, or a request",
    )


def _run_ban(namespace: argparse.Namespace) -> int:
    # Imported here, because the libraries are large.
    from anchor.cli import ban_commands  # noqa: PLC0415

    return ban_commands.run_ban(namespace)


def _run_unban(namespace: argparse.Namespace) -> int:
    from anchor.cli import ban_commands  # noqa: PLC0415

    return ban_commands.run_unban(namespace)
