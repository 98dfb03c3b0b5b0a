"""``anchor acme clients``: list the accounts of ACME clients."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from anchor.acme.renewal_windows import window_of
from anchor.cli.arguments import require_token_id, unknown_authority
from anchor.cli.configuration import read_configuration
from anchor.cli.database_access import open_database
from anchor.cli.table import cell, print_rows
from anchor.store.acme_records import Account
from anchor.store.database.acme_accounts import AcmeAccounts
from anchor.store.database.certificate_bans import find_certificate_bans
from anchor.store.database.certificates import Inventory, Selection
from anchor.store.records import CertificateRecord
from anchor.timestamps import timestamp, utc_now

_HEADER = (
    "ACCOUNT",
    "STATUS",
    "CERTIFICATES",
    "EARLY",
    "LATE",
    "REFUSED",
    "REQUESTER",
    "AUTHORITY",
    "CLIENT",
)


@dataclass(frozen=True)
class Client:
    """An account, and what it did.

    Attributes:
        account: the account.
        certificates: how many certificates of it the database has.
        early: how many were issued before the renewal window of the previous one.
        late: how many were issued after the renewal window of the previous one.
    """

    account: Account
    certificates: int
    early: int
    late: int

    def as_json(self) -> dict[str, Any]:
        """The values for a line of JSON."""
        account = self.account
        return {
            "account": account.id,
            "authority": account.authority,
            "requester": account.requester,
            "token_id": account.token_id,
            "client": account.user_agent,
            "status": account.status.value,
            "created": timestamp(account.created),
            "certificates": self.certificates,
            "early": self.early,
            "late": self.late,
            "refused": account.refused,
        }


def run(namespace: argparse.Namespace) -> int:
    """Print the accounts."""
    document = read_configuration(namespace.config)
    if namespace.token is not None:
        require_token_id(namespace.token)
    accounts = AcmeAccounts(open_database(document))
    authority = namespace.authority
    # Accounts stay when their authority is taken out of the configuration.
    if authority not in (None, *document.registration_authority) and not any(
        account.authority == authority for account in accounts.all()
    ):
        raise unknown_authority(document, authority)
    inventory = Inventory(accounts.database)
    chosen = _choose(accounts, namespace)
    clients: Iterator[Client] = (_client(account, inventory) for account in chosen)
    if namespace.early:
        clients = (client for client in clients if client.early or client.account.refused)
    if namespace.json:
        for client in clients:
            sys.stdout.write(f"{json.dumps(client.as_json())}\n")
    elif not print_rows(_HEADER, map(_row, clients)):
        is_filtered = namespace.early or authority is not None or namespace.token is not None
        which = "such ACME account" if is_filtered else "ACME account"
        print(f"there is no {which} in {accounts.database}")
    return 0


def _choose(accounts: AcmeAccounts, namespace: argparse.Namespace) -> Iterator[Account]:
    for account in accounts.all():
        if namespace.authority in (None, account.authority) and (
            namespace.token in (None, account.token_id)
        ):
            yield account


def _client(account: Account, inventory: Inventory) -> Client:
    # In the order in which they were issued; without the DER, as some clients issue every minute.
    issued = sorted(
        (
            dataclasses.replace(record, der=b"")
            for record in inventory.select(Selection(acme_account=account.id))
        ),
        key=lambda record: record.issuance.issued_at if record.issuance else record.not_before,
    )
    newest: dict[frozenset[str], CertificateRecord] = {}
    early = late = 0
    for record in issued:
        names = frozenset(record.names)
        before = newest.get(names)
        newest[names] = record
        if before is None or record.issuance is None:
            continue
        window, moment = window_of(before), record.issuance.issued_at
        if moment < window.start:
            # A certificate that is banned has to be replaced at once.
            early += not find_certificate_bans(inventory.database, before, utc_now())
        elif moment > window.end:
            late += 1
    return Client(account, len(issued), early, late)


def _row(client: Client) -> tuple[str, ...]:
    account = client.account
    return (
        account.id,
        account.status.value,
        str(client.certificates),
        str(client.early),
        str(client.late),
        str(account.refused),
        cell(account.requester),
        cell(account.authority),
        cell(account.user_agent),
    )
