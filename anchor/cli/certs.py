"""``anchor certs``: list or prune the issued certificates."""

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
from anchor.store.inventory import Predicate, read_certificates
from anchor.store.stored_certificate import StoredCertificate
from anchor.timestamps import timestamp


def add_to(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "certs",
        help="list the issued certificates, or delete the expired ones",
        description="List the certificates in the output_path of every signing CA, sorted by their "
        "end. --name, --requester and one of the times limit the list.",
    )
    times = parser.add_mutually_exclusive_group()
    times.add_argument("--in-force", action="store_true", help="only those that have not expired")
    times.add_argument(
        "--expiring", type=_hours, metavar="HOURS", help="only valid ones that expire within HOURS"
    )
    times.add_argument("--expired", action="store_true", help="only those that have expired")
    times.add_argument(
        "--for",
        dest="good_for",
        metavar="NAME",
        help="print when the last certificate that is valid for a name expires",
    )
    times.add_argument("--prune", action="store_true", help="delete those that have expired")
    parser.add_argument(
        "--older-than",
        type=float,
        default=0,
        metavar="DAYS",
        help="with --prune: only those that expired that long ago; default: 0",
    )
    parser.add_argument("--name", help="only those valid for this name, also through a wildcard")
    parser.add_argument(
        "--requester", help="only those issued to this user, according to audit.target 'file'"
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
    """List or prune the certificates, or print when the last one for a name expires."""
    # Garbage collection would only scan hundreds of thousands of live objects.
    gc.disable()
    locations = CertificateLocations.of(read_document(namespace.config))
    now = datetime.datetime.now(datetime.UTC)
    # Broken files, which are reported after the list.
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
        _print_last_for_name(namespace, locations, now, problems)
        problems.raise_if_any()
        return 0
    predicates = [_time_predicate(namespace, now)]
    if namespace.name is not None:
        predicates.append(inventory.valid_for(namespace.name))
    if namespace.requester is not None:
        if locations.audit is None:
            raise ConfigurationError.about(
                "audit.target", "is not 'file', so who got which certificate is not known"
            )
        # Imported here, because most lists do not need the audit file.
        from anchor.audit.requesters import issued_to  # noqa: PLC0415

        issued = issued_to(locations.audit, namespace.requester)
        predicates.append(lambda certificate: certificate.fingerprint in issued)
    texts = [text for _, text in _read(namespace, locations, predicates, now, problems)]
    if namespace.json:
        sys.stdout.write(f"[{', '.join(texts)}]\n")
    else:
        sys.stdout.write("".join(texts))
    problems.raise_if_any()
    return 0


def read_document(path: Path | None) -> Document:
    """The configuration; only its structure is validated."""
    problems = Diagnostics()
    document = config_file.read_document(path or find_config(), problems)
    problems.raise_if_any()
    return document


_quoted = json.encoder.encode_basestring_ascii


def _read(
    namespace: argparse.Namespace,
    locations: CertificateLocations,
    predicates: list[Predicate],
    now: datetime.datetime,
    problems: Diagnostics,
) -> list[tuple[str, str]]:
    """The end and the text to print of each certificate that matches all predicates, by end."""
    text = _as_json_at(now) if namespace.json else _line_at(now)
    rows = read_certificates(
        locations.directories,
        predicates[0]
        if len(predicates) == 1
        else lambda certificate: all(predicate(certificate) for predicate in predicates),
        lambda certificate: (certificate.not_after, text(certificate)),
        problems,
    )
    return sorted(rows, key=itemgetter(0))


def _time_predicate(namespace: argparse.Namespace, now: datetime.datetime) -> Predicate:
    if namespace.expired:
        end = timestamp(now)
        return lambda certificate: certificate.not_after < end
    if namespace.expiring is not None:
        first, last = timestamp(now), timestamp(_later(now, namespace.expiring))
        return lambda certificate: first <= certificate.not_after <= last
    if namespace.in_force:
        return inventory.in_force(now)
    return inventory.any_certificate


def _later(now: datetime.datetime, span: datetime.timedelta) -> datetime.datetime:
    """The time after a span, or the latest possible time."""
    try:
        return now + span
    except OverflowError:
        return datetime.datetime.max


def _print_last_for_name(
    namespace: argparse.Namespace,
    locations: CertificateLocations,
    now: datetime.datetime,
    problems: Diagnostics,
) -> None:
    predicates = [inventory.in_force(now), inventory.valid_for(namespace.good_for)]
    rows = _read(namespace, locations, predicates, now, problems)
    last = rows[-1][0] if rows else None
    if namespace.json:
        report = {
            "name": namespace.good_for,
            "last_valid_until": last,
            "certificates": [json.loads(text) for _, text in reversed(rows)],
            "unstored": list(locations.without_directory),
        }
        print(json.dumps(report))
        return
    print(last_of(last, f"certificate good for {namespace.good_for}", now))
    for _, text in reversed(rows):
        print(f"  {text}", end="")
    print_unstored(locations, now)


def last_of(end: str | None, what: str, now: datetime.datetime) -> str:
    """A sentence that says when the last of some certificates expires."""
    if end is None:
        return f"there is no {what} in force"
    hours = (datetime.datetime.fromisoformat(end) - now).total_seconds() / 3600
    return f"the last {what} ends at {end}, in {hours:.1f} hours"


def print_unstored(locations: CertificateLocations, now: datetime.datetime) -> None:
    """Print the CAs that store no certificates."""
    for name in locations.without_directory:
        end = timestamp((now + locations.longest_validity).replace(microsecond=0))
        print(f"signing_ca.{name} stores no certificates: one of it may be valid until {end}")


def _line_at(now: datetime.datetime) -> Callable[[StoredCertificate], str]:
    """A function that formats a certificate as a line."""
    moment = timestamp(now)

    def line(certificate: StoredCertificate) -> str:
        begin, names = certificate.not_before, " ".join(certificate.names)
        note = f"  (not yet valid, from {begin} on)" if begin > moment else ""
        return f"{certificate.not_after}  {certificate.fingerprint}  {names}{note}\n"

    return line


def _as_json_at(now: datetime.datetime) -> Callable[[StoredCertificate], str]:
    """A function that formats a certificate as JSON."""
    moment = timestamp(now)

    def as_json(certificate: StoredCertificate) -> str:
        status = "valid"
        if certificate.not_after < moment:
            status = "expired"
        elif certificate.not_before > moment:
            status = "not yet valid"
        # The format of json.dumps(), in a third of its time.
        return (
            f'{{"fingerprint": "{certificate.fingerprint}", "serial": "{certificate.serial}", '
            f'"not_before": "{certificate.not_before}", "not_after": "{certificate.not_after}", '
            f'"status": "{status}", "subject": {_quoted(certificate.subject)}, '
            f'"names": [{", ".join(map(_quoted, certificate.names))}], '
            f'"key": "{certificate.key}", "path": {_quoted(certificate.path)}}}'
        )

    return as_json
