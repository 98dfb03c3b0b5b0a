"""Orders and authorizations of ACME clients as rows of the database."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from anchor.store.acme_records import (
    Authorization,
    AuthorizationStatus,
    Challenge,
    ChallengeStatus,
    Identifier,
    Order,
    OrderStatus,
    names_key,
)
from anchor.store.database.acme_tables import ACME_AUTHORIZATIONS, ACME_ORDERS
from anchor.store.database.certificate_rows import moment, seconds

_ORDER = tuple(ACME_ORDERS.c.keys())
_AUTHORIZATION = tuple(ACME_AUTHORIZATIONS.c.keys())


def order_values(order: Order, delete_after: datetime.datetime) -> dict[str, object]:
    """The row of a new order."""
    return {
        "id": order.id,
        "account_id": order.account_id,
        "status": order.status.value,
        "expires": seconds(order.expires),
        "identifiers": json.dumps(order.identifiers),
        "names_key": names_key(order.identifiers),
        "profile": order.profile,
        "error": None if order.error is None else json.dumps(order.error),
        "replaces": order.replaces,
        "created": seconds(order.created),
        "finalized": None,
        "certificate": None,
        "delete_after": seconds(delete_after),
    }


def order_of(row: Sequence[Any]) -> Order:
    """The order in a row."""
    values = dict(zip(_ORDER, row, strict=True))
    finalized = values["finalized"]
    return Order(
        id=values["id"],
        account_id=values["account_id"],
        status=OrderStatus(values["status"]),
        expires=moment(values["expires"]),
        identifiers=tuple(Identifier(*each) for each in json.loads(values["identifiers"])),
        profile=values["profile"],
        error=None if values["error"] is None else json.loads(values["error"]),
        replaces=values["replaces"],
        created=moment(values["created"]),
        finalized=None if finalized is None else moment(finalized),
        certificate=values["certificate"],
    )


def authorization_values(authorization: Authorization) -> dict[str, object]:
    """The row of a new authorization."""
    identifier = authorization.identifier
    return {
        "id": authorization.id,
        "order_id": authorization.order_id,
        "account_id": authorization.account_id,
        "identifier_type": identifier.type,
        "identifier": identifier.base,
        "wildcard": int(identifier.is_wildcard),
        "status": authorization.status.value,
        "expires": seconds(authorization.expires),
        "challenges": challenges_text(authorization.challenges),
    }


def authorization_of(row: Sequence[Any]) -> Authorization:
    """The authorization in a row."""
    values = dict(zip(_AUTHORIZATION, row, strict=True))
    prefix = "*." if values["wildcard"] else ""
    return Authorization(
        id=values["id"],
        order_id=values["order_id"],
        account_id=values["account_id"],
        identifier=Identifier(values["identifier_type"], prefix + values["identifier"]),
        status=AuthorizationStatus(values["status"]),
        expires=moment(values["expires"]),
        challenges=tuple(map(_challenge, json.loads(values["challenges"]))),
    )


def challenges_text(challenges: Iterable[Challenge]) -> str:
    """The challenges of an authorization as they are stored."""
    return json.dumps(
        [
            {
                "type": challenge.type,
                "token": challenge.token,
                "status": challenge.status.value,
                "validated": None if challenge.validated is None else seconds(challenge.validated),
                "error": challenge.error,
            }
            for challenge in challenges
        ]
    )


def _challenge(values: Mapping[str, Any]) -> Challenge:
    validated = values["validated"]
    return Challenge(
        type=values["type"],
        token=values["token"],
        status=ChallengeStatus(values["status"]),
        validated=None if validated is None else moment(validated),
        error=values["error"],
    )
