"""Tokens for the tests."""

from __future__ import annotations

import datetime

from anchor.auth.credentials import new_token_id
from anchor.auth.results import SingleUse
from anchor.auth.token import Token, hash_secret, new_secret
from anchor.store.database import used_credentials
from anchor.store.database.tokens import Tokens
from anchor.timestamps import utc_now

HOUR = datetime.timedelta(hours=1)


def make_token(secret="", **values):
    """A token for the authority ``default`` that is good for an hour."""
    created = values.get("created") or utc_now().replace(microsecond=0)
    defaults = {
        "id": new_token_id(),
        "authority": "default",
        "requester": "web1",
        "secret_hash": hash_secret(secret or new_secret()),
        "created": created,
        "expires": created + HOUR,
    }
    return Token(**defaults | values)


def add_token(database, **values):
    """Store a token; return the form fields ``user`` and ``secret`` for it."""
    secret = new_secret()
    token = make_token(secret, **values)
    Tokens(database).add(token)
    return {"user": token.id, "secret": secret}


def add_used_credential(database, key="ab" * 32, expires=None):
    """Remember a credential that is good for one certificate only; return whether it was new."""
    single_use = SingleUse(key, expires or utc_now() + HOUR)
    with database.transaction() as transaction:
        return used_credentials.take(transaction, single_use, utc_now())


def token_configuration(document):
    """The configuration, with tokens as the authentication of its authority."""
    document["authentication"] = {"tokens": {"backend": "token"}}
    document["registration_authority"]["default"]["authentication"] = "tokens"
    return document
