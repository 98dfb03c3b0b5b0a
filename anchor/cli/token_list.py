"""``anchor token list``: list tokens."""

from __future__ import annotations

import argparse
import datetime
import json
import sys

from anchor.auth.token import Token
from anchor.cli.configuration import read_configuration
from anchor.cli.database_access import open_database
from anchor.cli.table import cell, cell_of_list, print_rows
from anchor.cli.token_description import as_json, state, uses_left
from anchor.store.database.tokens import Tokens
from anchor.timestamps import timestamp, utc_now

_HEADER = ("ID", "STATE", "USES LEFT", "EXPIRES", "REQUESTER", "AUTHORITY", "NAMES")


def run(namespace: argparse.Namespace) -> int:
    """Print the tokens."""
    now = utc_now()
    tokens = Tokens(open_database(read_configuration(namespace.config)))
    found = tokens.select(usable_at=now if namespace.usable else None)
    if namespace.json:
        for token in found:
            sys.stdout.write(f"{json.dumps(as_json(token, now))}\n")
    elif not print_rows(_HEADER, (_row(token, now) for token in found)):
        usable = " that can be used" if namespace.usable else ""
        print(f"there is no token{usable} in {tokens.database}")
    return 0


def _row(token: Token, now: datetime.datetime) -> tuple[str, ...]:
    return (
        cell(token.id),
        state(token, now),
        f"{uses_left(token)} of {token.uses}",
        "never" if token.expires is None else timestamp(token.expires),
        cell(token.requester),
        cell(token.authority),
        "any" if token.names is None else cell_of_list(token.names),
    )
