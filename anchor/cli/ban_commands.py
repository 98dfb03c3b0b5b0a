"""Adding, listing and lifting bans."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from typing import Any

from anchor.cli import times
from anchor.cli.configuration import read_configuration
from anchor.cli.database_access import ban_file, open_database
from anchor.cli.key_argument import certificate_fingerprint, key_fingerprint
from anchor.cli.output import number_of
from anchor.cli.parser import CommandLineError
from anchor.cli.terminal import printable
from anchor.config.document import Document
from anchor.errors import ConfigurationError
from anchor.store import bans as ban_values
from anchor.store.ban_file import import_ban_file
from anchor.store.bans import Ban
from anchor.store.database.bans import Bans
from anchor.store.database.certificates import Inventory, Selection
from anchor.timestamps import timestamp, utc_now
from anchor.X509 import name_search


def run_ban(namespace: argparse.Namespace) -> int:
    """Ban, or list the bans."""
    now = utc_now()
    document = read_configuration(namespace.config)
    if namespace.kind is None:
        for option in ("hours", "until", "reason"):
            if getattr(namespace, option):
                raise CommandLineError(f"--{option} needs KIND and VALUE: what is to be banned")
        return _list(_open_bans(document, create=False), now, as_json=namespace.json)
    ban = Ban(
        kind=namespace.kind,
        value=_value_to_ban(namespace),
        since=now.replace(microsecond=0),
        until=_until(namespace, now),
        reason=_text(namespace.reason, "the reason"),
    )
    bans = _open_bans(document, create=True)
    # Add the ban first: a certificate that is issued meanwhile is then found below.
    bans.add(ban)
    if not namespace.json:
        print(f"{bans.database}: {_describe(ban, now)}", flush=True)
    inventory = Inventory(bans.database)
    concerned = _concerned(ban, now)
    count, end = inventory.summarize(concerned)
    if namespace.json:
        last = None if end is None else timestamp(end)
        print(
            json.dumps(
                _as_json(ban, now) | {"certificates_in_force": count, "last_valid_until": last}
            )
        )
        return 0
    if ban.kind == "certificate":
        print(_end_of_certificate(end))
        return 0
    more = f"; {count} {'is' if count == 1 else 'are'} in force" if count else ""
    print(f"{times.last_of(end, f'certificate of the {ban.kind}', now)}{more}")
    return 0


def run_unban(namespace: argparse.Namespace) -> int:
    """Lift a ban."""
    document = read_configuration(namespace.config)
    value = _value(namespace)
    # A ban in the file of an earlier version can be lifted before the service starts.
    bans = _open_bans(document, create=ban_file(document).exists())
    if namespace.dry_run:
        found = [ban for ban in bans.all() if (ban.kind, ban.value) == (namespace.kind, value)]
        for ban in found:
            print(f"{bans.database}: would lift the ban: {_describe(ban, utc_now())}")
        is_banned = bool(found)
    else:
        is_banned = bans.remove(namespace.kind, value)
    what = f"the {namespace.kind} {printable(value)}"
    if not is_banned:
        print(f"{bans.database}: there is no ban of {what}")
        return 1
    if not namespace.dry_run:
        print(f"{bans.database}: {what} is not banned any more")
    return 0


def _open_bans(document: Document, *, create: bool) -> Bans:
    """The bans in the database, with those of a ban file of an earlier version."""
    path = ban_file(document)
    bans = Bans(open_database(document, create=create))
    if imported := import_ban_file(path, bans):
        print(f"{bans.database}: imported {number_of(imported, 'ban')} of {path}", file=sys.stderr)
    return bans


def _list(bans: Bans, now: datetime.datetime, *, as_json: bool) -> int:
    found = bans.all()
    for ban in found:
        print(json.dumps(_as_json(ban, now)) if as_json else _describe(ban, now))
    if not found and not as_json:
        print(f"nothing is banned in {bans.database}")
    return 0


def _value_to_ban(namespace: argparse.Namespace) -> str:
    if namespace.kind == "name" and namespace.value is not None:
        try:
            return ban_values.canonical_name(namespace.value)
        except ValueError as error:
            raise ConfigurationError.about("", str(error)) from None
    return _value(namespace)


def _value(namespace: argparse.Namespace) -> str:
    if namespace.value is None:
        raise CommandLineError(f"VALUE is missing: which {namespace.kind} is to be banned?")
    if namespace.kind == "key":
        return key_fingerprint(namespace.value)
    if namespace.kind == "certificate":
        return certificate_fingerprint(namespace.value)
    value = ban_values.normalize(namespace.kind, _text(namespace.value, "the value"))
    if not value.strip("."):
        raise ConfigurationError.about("", f"an empty {namespace.kind} cannot be banned")
    return value


def _text(value: str, what: str) -> str:
    """The value, if it is text: Python passes other bytes of the command line as surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigurationError.about("", f"{what} {value!a} is not UTF-8 text") from None
    return value


def _until(namespace: argparse.Namespace, now: datetime.datetime) -> datetime.datetime | None:
    until: datetime.datetime | None = namespace.until
    if namespace.hours is not None:
        try:
            until = now + datetime.timedelta(hours=namespace.hours)
        except (OverflowError, ValueError):
            raise ConfigurationError.about("", "--hours is too long") from None
    if until is not None and until <= now:
        raise ConfigurationError.about("", "the ban would have ended already")
    return until


def _describe(ban: Ban, now: datetime.datetime) -> str:
    end = "until it is lifted"
    if ban.until is not None:
        ended = "" if ban.is_in_force(now) else ", which is over"
        end = f"until {timestamp(ban.until.astimezone(datetime.UTC))}{ended}"
    reason = f" ({ban.reason})" if ban.reason else ""
    since = timestamp(ban.since.astimezone(datetime.UTC))
    return printable(f"{ban.kind} {ban.value} is banned since {since} {end}{reason}")


def _as_json(ban: Ban, now: datetime.datetime) -> dict[str, Any]:
    until = None if ban.until is None else timestamp(ban.until.astimezone(datetime.UTC))
    return {
        "kind": ban.kind,
        "value": ban.value,
        "since": timestamp(ban.since.astimezone(datetime.UTC)),
        "until": until,
        "reason": ban.reason,
        "in_force": ban.is_in_force(now),
    }


def _end_of_certificate(end: datetime.datetime | None) -> str:
    if end is None:
        return "it is not in the inventory, or has expired"
    return f"it stays valid until {timestamp(end)}: Anchor publishes no revocations"


def _concerned(ban: Ban, now: datetime.datetime) -> Selection:
    """The certificates in force that a ban concerns."""
    match ban.kind:
        case "name":
            return Selection(names=name_search.query_overlapping(ban.value), ends_from=now)
        case "requester":
            return Selection(requester=ban.value, ends_from=now)
        case "certificate":
            return Selection(fingerprint=ban.value, ends_from=now)
        case _:
            return Selection(key=ban.value, ends_from=now)
