"""``anchor token revoke``: revoke a token."""

from __future__ import annotations

import argparse
import json

from anchor.cli import certs_table, times
from anchor.cli.arguments import require_token_id
from anchor.cli.configuration import read_configuration
from anchor.cli.database_access import open_database
from anchor.cli.terminal import printable
from anchor.cli.token_description import as_json
from anchor.store.acme_records import AccountStatus
from anchor.store.database.acme_accounts import AcmeAccounts
from anchor.store.database.certificates import Inventory, Selection
from anchor.store.database.tokens import Tokens
from anchor.timestamps import timestamp, utc_now


def run(namespace: argparse.Namespace) -> int:
    """Revoke a token, and print its accounts and its certificates."""
    token_id = namespace.id
    require_token_id(token_id)
    tokens = Tokens(open_database(read_configuration(namespace.config)))
    is_new = tokens.revoke(token_id)
    # Read afterwards: a certificate that is issued meanwhile is found, and none is issued later.
    now = utc_now()
    token = tokens.find(token_id)
    # Not those that their clients have deactivated.
    accounts = [
        account
        for account in AcmeAccounts(tokens.database).of_token(token_id)
        if account.status is AccountStatus.REVOKED
    ]
    inventory = Inventory(tokens.database)
    selection = Selection(token_id=token_id)
    certificates = inventory.select(selection)
    end = inventory.last_end(Selection(token_id=token_id, ends_from=now))
    code = 0 if token is not None else 1
    if namespace.json:
        report = {
            "id": token_id,
            "newly_revoked": is_new,
            "token": None if token is None else as_json(token, now),
            "accounts": [account.id for account in accounts],
            "certificates": [
                record.as_json() | {"status": certs_table.status(record, now)}
                for record in certificates
            ],
            "last_valid_until": None if end is None else timestamp(end),
        }
        print(json.dumps(report))
        return code
    if token is None:
        print(f"{tokens.database}: there is no token {token_id}")
    else:
        which = f"the token {token_id} of {printable(token.requester)}"
        state = (
            "is revoked: its certificates are not renewed any more"
            if is_new
            else "was revoked already"
        )
        print(f"{tokens.database}: {which} {state}")
    if accounts:
        print(f"ACME accounts that ended with the token: {len(accounts)}")
    if certs_table.print_table(certificates, now) or token is not None:
        print(times.last_of(end, "certificate of the token", now))
    return code
