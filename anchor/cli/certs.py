"""``anchor certs``: what was issued, and until when it lasts."""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import sys
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

from anchor.ca.certificate_locations import CertificateLocations
from anchor.cli.check import add_config_option
from anchor.config import document as config_file
from anchor.config.diagnostics import Diagnostics
from anchor.config.document import Document, find_config
from anchor.errors import ConfigurationError
from anchor.store import inventory
from anchor.store.inventory import Choice, read_certificates
from anchor.store.stored_certificate import StoredCertificate
from anchor.timestamps import timestamp


def add_to(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "certs",
        help="list what was issued, or prune it",
        description="List the certificates in the output_path of every signing CA, those that end "
        "first in front. --name, --requester and one of the times narrow it down.",
    )
    times = parser.add_mutually_exclusive_group()
    times.add_argument("--in-force", action="store_true", help="only those that have not expired")
    times.add_argument(
        "--expiring", type=_hours, metavar="HOURS", help="only those in force that end within that"
    )
    times.add_argument("--expired", action="store_true", help="only those that have expired")
    times.add_argument(
        "--for",
        dest="good_for",
        metavar="NAME",
        help="say when the last certificate is gone that is good for a name, if it gets no other",
    )
    times.add_argument("--prune", action="store_true", help="delete those that have expired")
    parser.add_argument(
        "--older-than",
        type=float,
        default=0,
        metavar="DAYS",
        help="with --prune: only those that expired that long ago; default: 0",
    )
    parser.add_argument("--name", help="only those that are good for this name, by wildcard too")
    parser.add_argument(
        "--requester", help="only those that this user got, as audit.target 'file' tells"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_config_option(parser)
    parser.set_defaults(run=run)


def _hours(text: str) -> datetime.timedelta:
    try:
        return datetime.timedelta(hours=float(text))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of hours") from None


def run(namespace: argparse.Namespace) -> int:
    """List, answer or prune."""
    # Hundreds of thousands of objects that stay until the end are not worth looking through.
    gc.disable()
    locations = CertificateLocations.of(read_document(namespace.config))
    now = datetime.datetime.now(datetime.UTC)
    # Files that hold no certificate: they are told at the end, after all the others.
    problems = Diagnostics()
    if namespace.prune:
        if namespace.older_than < 0:
            raise ConfigurationError.about("", "--older-than is not below 0")
        before = now - datetime.timedelta(days=namespace.older_than)
        print(f"deleted {inventory.prune(locations.directories, before, problems)} certificates")
        if leftovers := inventory.remove_leftovers(locations.directories, now):
            print(f"deleted {leftovers} temporary files of writers that were killed")
        problems.raise_if_any()
        return 0
    if namespace.good_for is not None:
        _answer(namespace, locations, now, problems)
        problems.raise_if_any()
        return 0
    choices = [_time_choice(namespace, now)]
    if namespace.name is not None:
        choices.append(inventory.good_for(namespace.name))
    if namespace.requester is not None:
        if locations.audit is None:
            raise ConfigurationError.about(
                "audit.target", "is not 'file', so who got which certificate is not known"
            )
        # Most lists ask nothing of the record.
        from anchor.audit.requesters import issued_to  # noqa: PLC0415

        issued = issued_to(locations.audit, namespace.requester)
        choices.append(lambda one: one.fingerprint in issued)
    found = _found(
        locations, choices, _as_json_at(now) if namespace.json else _line_at(now), problems
    )
    texts = [text for _, text in found]
    if namespace.json:
        sys.stdout.write(f"[{', '.join(texts)}]\n")
    else:
        sys.stdout.write("".join(texts))
    problems.raise_if_any()
    return 0


def read_document(path: Path | None) -> Document:
    """The configuration, as far as its skeleton is in order."""
    problems = Diagnostics()
    document = config_file.read_document(path or find_config(), problems)
    problems.raise_if_any()
    return document


_quoted = json.encoder.encode_basestring_ascii

Found = list[tuple[str, str]]


def _found(
    locations: CertificateLocations,
    choices: list[Choice],
    text: Callable[[StoredCertificate], str],
    problems: Diagnostics,
) -> Found:
    """When each of those ends that every choice agrees to, and what to print of it."""
    found = read_certificates(
        locations.directories,
        choices[0] if len(choices) == 1 else lambda one: all(choice(one) for choice in choices),
        lambda one: (one.not_after, text(one)),
        problems,
    )
    return sorted(found, key=itemgetter(0))


def _time_choice(namespace: argparse.Namespace, now: datetime.datetime) -> Choice:
    if namespace.expired:
        moment = timestamp(now)
        return lambda one: one.not_after < moment
    if namespace.expiring is not None:
        first, last = timestamp(now), timestamp(_later(now, namespace.expiring))
        return lambda one: first <= one.not_after <= last
    if namespace.in_force:
        return inventory.in_force(now)
    return inventory.every


def _later(now: datetime.datetime, span: datetime.timedelta) -> datetime.datetime:
    """The end of a span, or of time if it is longer."""
    try:
        return now + span
    except OverflowError:
        return datetime.datetime.max


def _answer(
    namespace: argparse.Namespace,
    locations: CertificateLocations,
    now: datetime.datetime,
    problems: Diagnostics,
) -> None:
    choices = [inventory.in_force(now), inventory.good_for(namespace.good_for)]
    found = _found(
        locations, choices, _as_json_at(now) if namespace.json else _line_at(now), problems
    )
    last = found[-1][0] if found else None
    if namespace.json:
        report = {
            "name": namespace.good_for,
            "last_valid_until": last,
            "certificates": [json.loads(text) for _, text in reversed(found)],
            "unstored": list(locations.without_directory),
        }
        print(json.dumps(report))
        return
    print(last_of(last, f"certificate good for {namespace.good_for}", now))
    for _, text in reversed(found):
        print(f"  {text}", end="")
    print_unstored(locations, now)


def last_of(end: str | None, what: str, now: datetime.datetime) -> str:
    """When the last of them is gone, as a sentence."""
    if end is None:
        return f"there is no {what} in force"
    hours = (datetime.datetime.fromisoformat(end) - now).total_seconds() / 3600
    return f"the last {what} ends at {end}, in {hours:.1f} hours"


def print_unstored(locations: CertificateLocations, now: datetime.datetime) -> None:
    """Say which CAs' certificates cannot be counted."""
    for name in locations.without_directory:
        end = timestamp((now + locations.longest_validity).replace(microsecond=0))
        print(f"signing_ca.{name} stores no certificates: one of it may be valid until {end}")


def _line_at(now: datetime.datetime) -> Callable[[StoredCertificate], str]:
    """Makes a line of a certificate, which tells if it is not valid yet."""
    moment = timestamp(now)

    def line(one: StoredCertificate) -> str:
        begin = one.not_before
        note = f"  (not yet valid, from {begin} on)" if begin > moment else ""
        return f"{one.not_after}  {one.fingerprint}  {' '.join(one.names)}{note}\n"

    return line


def _as_json_at(now: datetime.datetime) -> Callable[[StoredCertificate], str]:
    """Makes JSON of a certificate."""
    moment = timestamp(now)

    def as_json(one: StoredCertificate) -> str:
        status = "valid"
        if one.not_after < moment:
            status = "expired"
        elif one.not_before > moment:
            status = "not yet valid"
        # As json.dumps() writes a dictionary of these, in a third of the time.
        return (
            f'{{"fingerprint": "{one.fingerprint}", "serial": "{one.serial}", '
            f'"not_before": "{one.not_before}", "not_after": "{one.not_after}", '
            f'"status": "{status}", "subject": {_quoted(one.subject)}, '
            f'"names": [{", ".join(map(_quoted, one.names))}], '
            f'"key": "{one.key}", "path": {_quoted(one.path)}}}'
        )

    return as_json
