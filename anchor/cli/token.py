"""``anchor token``: create, list or revoke tokens."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path

from anchor.cli import times
from anchor.cli.check import add_config_option
from anchor.cli.command_modules import run_from

_MAX_USES = 1_000_000
_SECOND = datetime.timedelta(seconds=1)
_DAY = datetime.timedelta(days=1)


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the commands and their options."""
    parser.description = (
        "Create, list or revoke tokens. A token is a machine's first credential: an identifier and "
        "a secret, for a limited number of certificates or ACME accounts."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_create(commands.add_parser("create", help="create a token, and print its secret once"))
    _add_list(commands.add_parser("list", help="list the tokens"))
    _add_revoke(commands.add_parser("revoke", help="revoke a token, and say what it was used for"))


def _add_create(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Create a token, and print its identifier and its secret, which is never shown again. "
        "By default, one certificate or one ACME account can be made with the token, within 24 "
        "hours. For ACME clients, the identifier is the key identifier of the external account "
        "binding, and the secret is the HMAC key."
    )
    parser.add_argument(
        "--authority",
        required=True,
        metavar="RA",
        help="the registration authority that accepts the token",
    )
    parser.add_argument(
        "--requester", required=True, metavar="USER", help="the user name of the token's holder"
    )
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        dest="groups",
        metavar="GROUP",
        help="a group of the holder; may be given several times",
    )
    parser.add_argument(
        "--name",
        action="append",
        dest="names",
        metavar="NAME",
        help="a name that certificates may have, such as web1.example.com; may be given "
        "several times. Without it, only the policy of the authority limits the names",
    )
    parser.add_argument(
        "--uses",
        type=_uses,
        default=1,
        metavar="N",
        help="the number of certificates or ACME accounts; default: 1",
    )
    parser.add_argument(
        "--expires",
        type=_lifetime,
        default=_DAY,
        metavar="SPAN",
        help="the time until it expires, such as 90min, 12h or 7d, or 'never'; default: 24h. "
        "ACME accounts do not expire with it",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write the token as JSON to a new file that only its owner can read, and do not print "
        "the secret",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_config_option(parser)
    parser.set_defaults(run=run_from("token_create"))


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "List the tokens in the order of their creation, without their secrets. A use is a "
        "certificate or an ACME account."
    )
    parser.add_argument(
        "--usable",
        action="store_true",
        help="leave out those that have expired, were revoked or are used up",
    )
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each token")
    add_config_option(parser)
    parser.set_defaults(run=run_from("token_list"))


def _add_revoke(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Revoke a token on all nodes from the next request on, end the ACME accounts that were "
        "made with it, and list the certificates that it was used for. They stay valid until they "
        "expire. Exits with 1 if there is no such token."
    )
    parser.add_argument("id", metavar="ID", help="the token's identifier, such as tk_...")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_config_option(parser)
    parser.set_defaults(run=run_from("token_revoke"))


def _uses(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= _MAX_USES:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {_MAX_USES:,}")


def _lifetime(text: str) -> datetime.timedelta | None:
    """A span of a second or more; None for ``never``."""
    if text == "never":
        return None
    lifetime = times.span(text)
    if lifetime < _SECOND:
        raise argparse.ArgumentTypeError(f"{text!r} is less than a second")
    return lifetime
