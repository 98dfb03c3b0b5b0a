"""``anchor certs``: what was issued, and until when it lasts."""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from anchor import config_file, inventory
from anchor.cli.check import add_config_option
from anchor.complaints import Complaints
from anchor.config_file import Document
from anchor.errors import ConfigurationError
from anchor.inventory import Places, Stored


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
    places = Places.of(read_document(namespace.config))
    now = datetime.datetime.now(datetime.UTC)
    if namespace.prune:
        if namespace.older_than < 0:
            raise ConfigurationError.about("", "--older-than is not below 0")
        before = now - datetime.timedelta(days=namespace.older_than)
        print(f"deleted {inventory.prune(places, before)} certificates")
        return 0
    stored: Iterable[Stored] = inventory.read(places.directories)
    if namespace.good_for is not None:
        found = inventory.good_for(stored, namespace.good_for)
        _answer(namespace, places, in_force(found, now), now)
        return 0
    if namespace.name is not None:
        stored = inventory.good_for(stored, namespace.name)
    if namespace.requester is not None:
        if places.audit is None:
            raise ConfigurationError.about(
                "audit.target", "is not 'file', so who got which certificate is not known"
            )
        issued = inventory.issued_to(places.audit, namespace.requester)
        stored = (one for one in stored if one.entry.fingerprint in issued)
    chosen = sorted(filter(_time_filter(namespace, now), stored), key=_end)
    if namespace.json:
        json.dump([as_json(one) for one in chosen], sys.stdout)
        print()
    else:
        sys.stdout.write("".join(f"{line(one)}\n" for one in chosen))
    return 0


def read_document(path: Path | None) -> Document:
    """The configuration, as far as its skeleton is in order."""
    complaints = Complaints()
    document = config_file.read(path or config_file.find(), complaints)
    complaints.raise_if_any()
    return document


def in_force(stored: Iterable[Stored], now: datetime.datetime) -> list[Stored]:
    """Those that have not expired, the last to end in front."""
    valid = (one for one in stored if one.entry.not_after >= now.timestamp())
    return sorted(valid, key=_end, reverse=True)


def _time_filter(namespace: argparse.Namespace, now: datetime.datetime) -> Callable[[Stored], bool]:
    moment = now.timestamp()
    if namespace.expired:
        return lambda one: one.entry.not_after < moment
    if namespace.expiring is not None:
        limit = moment + namespace.expiring.total_seconds()
        return lambda one: moment <= one.entry.not_after <= limit
    if namespace.in_force:
        return lambda one: one.entry.not_after >= moment
    return lambda _: True


def _answer(
    namespace: argparse.Namespace, places: Places, found: list[Stored], now: datetime.datetime
) -> None:
    if namespace.json:
        last = timestamp(found[0].entry.not_after) if found else None
        report = {
            "name": namespace.good_for,
            "last_valid_until": last,
            "certificates": [as_json(one) for one in found],
            "unstored": list(places.unstored),
        }
        print(json.dumps(report))
        return
    print(last_of(found, f"certificate good for {namespace.good_for}", now))
    for one in found:
        print(f"  {line(one)}")
    print_unstored(places, now)


def last_of(found: list[Stored], what: str, now: datetime.datetime) -> str:
    """When the last of them is gone, as a sentence."""
    if not found:
        return f"there is no {what} in force"
    end = found[0].entry.not_after
    hours = (end - now.timestamp()) / 3600
    return f"the last {what} ends at {timestamp(end)}, in {hours:.1f} hours"


def print_unstored(places: Places, now: datetime.datetime) -> None:
    """Say which CAs' certificates cannot be counted."""
    for name in places.unstored:
        end = timestamp(int((now + places.longest).timestamp()))
        print(f"signing_ca.{name} stores no certificates: one of it may be valid until {end}")


def _end(one: Stored) -> int:
    return one.entry.not_after


def timestamp(seconds: int) -> str:
    """RFC 3339, in UTC."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat().removesuffix("+00:00") + "Z"


def line(one: Stored) -> str:
    """A certificate in a line."""
    entry = one.entry
    return f"{timestamp(entry.not_after)}  {entry.fingerprint}  {' '.join(entry.names)}"


def as_json(one: Stored) -> dict[str, Any]:
    """A certificate in JSON's types."""
    entry = one.entry
    return entry._asdict() | {
        "not_before": timestamp(entry.not_before),
        "not_after": timestamp(entry.not_after),
        "path": one.path,
    }
