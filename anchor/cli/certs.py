"""``anchor certs``: list, show, import or prune the issued certificates."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from anchor.cli import times
from anchor.cli.check import add_config_option
from anchor.cli.command_modules import run_from
from anchor.cli.parser import CommandLineError


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the commands and their options."""
    parser.description = (
        "List the issued certificates in the database, by default all of them in the order in "
        "which they expire. Options can be combined."
    )
    _add_filters(parser)
    parser.add_argument("--limit", type=_count, metavar="N", help="print at most N certificates")
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each one")
    parser.add_argument(
        "--prune", action="store_true", help="delete the expired certificates instead"
    )
    parser.add_argument(
        "--older-than",
        type=_days,
        metavar="DAYS",
        help="with --prune: only those that expired that long ago; default: 0",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="with --prune: only say how many there are"
    )
    add_config_option(parser)
    parser.set_defaults(run=_run_list)
    commands = parser.add_subparsers(metavar="COMMAND")
    show = commands.add_parser(
        "show",
        help="show everything that is known about a certificate",
        description="Show everything that is known about a certificate.",
    )
    show.add_argument(
        "fingerprint", metavar="FINGERPRINT", help="the SHA-256 of the certificate, or its start"
    )
    form = show.add_mutually_exclusive_group()
    form.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print a line of JSON"
    )
    form.add_argument("--pem", action="store_true", help="print the certificate in PEM")
    add_config_option(show, default=argparse.SUPPRESS)
    show.set_defaults(run=run_from("certs_show"))
    importing = commands.add_parser(
        "import",
        help="import certificates that are stored in files",
        description="Import the certificates from all files below the directories that have the "
        "suffix .crt, and skip known ones. The requesters come from the audit file, if "
        "audit.target is 'file'.",
    )
    importing.add_argument(
        "directories",
        type=Path,
        nargs="*",
        metavar="DIRECTORY",
        help="default: the output_path of every signing CA",
    )
    add_config_option(importing, default=argparse.SUPPRESS)
    importing.set_defaults(run=run_from("certs_import"))


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--for",
        "--name",
        dest="valid_for",
        metavar="NAME",
        help="only those valid for a host, a wildcard, an address, a mailbox or a URI, for a name "
        "below .a.domain, or for an address in a network; also print when the last one expires",
    )
    parser.add_argument("--requester", metavar="USER", help="only those issued to this user")
    parser.add_argument("--authority", metavar="NAME", help="only those of this authority")
    parser.add_argument(
        "--key",
        help="only those with this key: its SHA-256 or the start of it, or a file with the key",
    )
    parser.add_argument("--serial", type=_serial, help="only those with this serial number")
    parser.add_argument(
        "--token", metavar="ID", help="only those issued with this token, and their renewals"
    )
    parser.add_argument("--account", metavar="ID", help="only those that this ACME account ordered")
    parser.add_argument(
        "--renewed-from",
        type=_fingerprint,
        metavar="FINGERPRINT",
        help="only renewals of this certificate: its SHA-256, or the start of it",
    )
    parser.add_argument(
        "--since",
        type=times.moment_or_ago,
        metavar="TIME",
        help="only those issued since a time, such as 2027-01-31T12:00Z, or within a span "
        "before now, such as 2h",
    )
    ends = parser.add_mutually_exclusive_group()
    ends.add_argument("--in-force", action="store_true", help="only those that have not expired")
    ends.add_argument("--expired", action="store_true", help="only those that have expired")
    ends.add_argument(
        "--expiring",
        type=times.span,
        metavar="SPAN",
        help="only those in force that expire within a span, such as 2h, 90min or 7d; a number "
        "without a unit is in hours",
    )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    # No list is longer, and more than sys.maxsize cannot be counted.
    return min(int(text), sys.maxsize)


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days < 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} should be 0 or more days")
    return days


def _fingerprint(text: str) -> str:
    digits = text.replace(":", "").strip().lower()
    if not digits or len(digits) > 64 or set(digits) - set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a SHA-256 in hexadecimal")
    return digits


def _serial(text: str) -> str:
    digits = text.replace(":", "").strip().lower().removeprefix("0x").lstrip("0")
    if not text.strip() or set(digits) - set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number in hexadecimal")
    return digits or "0"


def _run_list(namespace: argparse.Namespace) -> int:
    if not namespace.prune and (namespace.dry_run or namespace.older_than is not None):
        option = "--dry-run" if namespace.dry_run else "--older-than"
        raise CommandLineError(f"{option} is an option of --prune")
    return run_from("certs_prune" if namespace.prune else "certs_list")(namespace)
