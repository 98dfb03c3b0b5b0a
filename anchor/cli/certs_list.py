"""``anchor certs``: list certificates."""

from __future__ import annotations

import argparse
import datetime
import itertools
from dataclasses import replace

from anchor.cli import certs_table, times
from anchor.cli.configuration import read_configuration
from anchor.cli.database_access import open_database
from anchor.cli.key_argument import key_prefix
from anchor.cli.terminal import printable
from anchor.store.database.certificates import Inventory, Selection
from anchor.timestamps import utc_now
from anchor.X509 import name_search


def run(namespace: argparse.Namespace) -> int:
    """Print the selected certificates."""
    now = utc_now()
    selection = select(namespace, now)
    inventory = Inventory(open_database(read_configuration(namespace.config)))
    records = itertools.islice(inventory.select(selection), namespace.limit)
    if namespace.json:
        certs_table.print_json(records, now)
        return 0
    printed = certs_table.print_table(records, now)
    if not printed:
        matches = "" if selection == Selection() else " that matches"
        print(f"there is no certificate{matches} in {inventory.database}{_doubt(namespace)}")
    elif namespace.valid_for is not None:
        end = inventory.last_end(_in_force(selection, now))
        what = f"certificate for {printable(namespace.valid_for)}"
        print(times.last_of(end, what, now))
    return 0


def _doubt(namespace: argparse.Namespace) -> str:
    """A remark if the value of ``--for`` may be a mistake."""
    text = namespace.valid_for
    if text is None or name_search.is_name(text):
        return ""
    return (
        f"; {text!a} is no host (www.example.com), wildcard (*.example.com), domain (.example.com),"
        " address, network (192.0.2.0/24), mailbox or URI with a host, so only names that are "
        "equal to it would match"
    )


def select(namespace: argparse.Namespace, now: datetime.datetime) -> Selection:
    """The selection that the options describe.

    Raises:
        ConfigurationError: the value of ``--key`` is neither a SHA-256 nor a file with a key.
    """
    selection = Selection(
        names=(
            None
            if namespace.valid_for is None
            else name_search.query_valid_for(namespace.valid_for)
        ),
        requester=namespace.requester,
        authority=namespace.authority,
        key=None if namespace.key is None else key_prefix(namespace.key),
        serial=namespace.serial,
        token_id=namespace.token,
        acme_account=namespace.account,
        renewed_from=namespace.renewed_from,
        issued_since=namespace.since,
    )
    if namespace.in_force:
        return replace(selection, ends_from=now)
    if namespace.expired:
        return replace(selection, ends_before=now)
    if namespace.expiring is not None:
        # The last second of a validity belongs to it.
        end = times.later(now, namespace.expiring + datetime.timedelta(seconds=1))
        return replace(selection, ends_from=now, ends_before=end)
    return selection


def _in_force(selection: Selection, now: datetime.datetime) -> Selection:
    """Those of a selection that have not expired."""
    return replace(selection, ends_from=max(now, selection.ends_from or now))
