"""``anchor explain --acme``: why an order of an ACME account is in its state."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from anchor.acme.renewal_windows import window_of
from anchor.authorities import load_authorities
from anchor.cli.terminal import GREEN, RED, YELLOW, Painter, is_coloured, printable
from anchor.policy_tools.explain_order import (
    OrderExplanation,
    UnknownOrder,
    as_json,
    conclusion,
    explain_order,
)
from anchor.store.acme_records import Authorization
from anchor.timestamps import timestamp

_ORDER = re.compile(r"(?:.*/order/)?([a-z2-7]{1,32})(?:/finalize)?", re.ASCII)
_COLOURS = {
    "valid": GREEN,
    "ready": GREEN,
    "ok": GREEN,
    "invalid": RED,
    "refused": RED,
    "revoked": RED,
    "deactivated": RED,
    "expired": RED,
}


def run(namespace: argparse.Namespace, path: Path) -> int:
    """Explain the order.

    Args:
        namespace: the options.
        path: the configuration.

    Raises:
        UnknownOrder: there is no such order.
    """
    match = _ORDER.fullmatch(namespace.acme)
    if match is None:
        raise UnknownOrder(
            f"{namespace.acme!a} is neither an order's identifier nor its URL: clients log the URL"
        )
    loaded = load_authorities(path, offline=True)
    if not loaded.database.exists():
        raise UnknownOrder("there is no order: the service makes the database when it starts")
    explained = explain_order(loaded.acme, match[1], namespace.address)
    if namespace.json:
        print(json.dumps(as_json(explained), indent=2))
    else:
        for line in _lines(explained, Painter(coloured=is_coloured(sys.stdout))):
            print(line)
    return 1 if explained.obstacles else 0


def _lines(explained: OrderExplanation, painter: Painter) -> Iterator[str]:
    account, order = explained.account, explained.order
    groups = f" of {', '.join(account.groups)}" if account.groups else ""
    yield printable(f"{account.authority}: ordered by {account.requester}{groups}")
    yield from _section("The order", _order(explained))
    yield from _section("The account", _account(explained))
    for title, rows in (
        ("The authorizations", list(map(_authorization, explained.authorizations))),
        ("The policy on these names, now", _policy(explained)),
    ):
        yield ""
        yield title
        width = max(len(name) for _, name, _ in rows)
        for word, name, text in rows:
            mark = painter.paint(_COLOURS.get(word, YELLOW), f"{word:12}")
            yield f"  {mark}{printable(name):{width}}  {printable(text)}".rstrip()
    yield ""
    colour = RED if explained.obstacles else GREEN
    yield painter.paint(colour, f"{order.status.value}: ") + printable(conclusion(explained))


def _section(title: str, values: Iterator[tuple[str, str | None]]) -> Iterator[str]:
    yield ""
    yield title
    for name, value in values:
        if value:
            yield f"  {name:18}  {printable(value)}"


def _order(explained: OrderExplanation) -> Iterator[tuple[str, str | None]]:
    order = explained.order
    yield "names", ", ".join(map(str, order.identifiers))
    yield "profile", order.profile
    yield "replaces", order.replaces
    yield "created", timestamp(order.created)
    yield "expires", timestamp(order.expires)
    yield "certificate", order.certificate
    if order.error is not None:
        yield "error", _problem(order.error)


def _account(explained: OrderExplanation) -> Iterator[tuple[str, str | None]]:
    account, settings, newest = explained.account, explained.services.settings, explained.newest
    yield "id", account.id
    yield "status", account.status.value
    yield "client", account.user_agent
    yield "token", _token(explained)
    if account.allowed_names is not None:
        yield "limited to", ", ".join(account.allowed_names) or "no name"
    limit = settings.max_pending_orders
    yield "orders without one", f"{explained.uncertified} of at most {limit} orders"
    due = f"; the newest is due from {timestamp(window_of(newest).start)} on" if newest else ""
    yield "for these names", f"{explained.issued} of {settings.max_duplicates} certificates{due}"
    if account.refused:
        yield "refused", f"{account.refused} orders that came too often"


def _token(explained: OrderExplanation) -> str | None:
    token_id, token = explained.account.token_id, explained.token
    if token_id is None:
        return None
    if token is None:
        return f"{token_id}, which does not exist any more"
    return (
        token_id if token.revoked is None else f"{token_id}, revoked at {timestamp(token.revoked)}"
    )


def _authorization(authorization: Authorization) -> tuple[str, str, str]:
    challenges = "; ".join(
        f"{each.type} {each.status.value}" + (f" ({_problem(each.error)})" if each.error else "")
        for each in authorization.challenges
    )
    text = challenges or "no challenge was needed"
    return authorization.status.value, str(authorization.identifier), text


def _policy(explained: OrderExplanation) -> list[tuple[str, str, str]]:
    refused = {failure.check: failure.reason for failure in explained.failures}
    rows = [
        ("refused", check, refused[check]) if check in refused else ("ok", check, "")
        for check in sorted(explained.services.authority.policy.name_checks)
    ]
    if explained.fault is not None:
        return [("failed", "", str(explained.fault))]
    return rows or [("ok", "", "no check judges names only")]


def _problem(error: object) -> str:
    assert isinstance(error, dict)
    kind = str(error.get("type", "")).rpartition(":")[2]
    return f"{kind}: {error.get('detail', '')}"
