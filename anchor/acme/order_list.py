"""The list of an account's orders (RFC 8555 section 7.1.2.1), in pages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from anchor.acme.problems import AcmeProblem, ProblemType
from anchor.acme.services import AcmeServices
from anchor.store.acme_records import Account, Order

PAGE = 100
"""The number of orders on a page."""

# The seconds of an order's creation, and its identifier.
_CURSOR = re.compile(r"([0-9]{1,15})-([a-z0-9]{1,32})", re.ASCII)


@dataclass(frozen=True)
class Page:
    """A page of the list.

    Attributes:
        orders: the orders, the oldest first.
        next: where the next page starts; None for the last page.
    """

    orders: Sequence[Order]
    next: str | None


def page_of(services: AcmeServices, account: Account, account_id: str, after: str | None) -> Page:
    """A page of the orders of an account that are not invalid.

    Args:
        services: the authority.
        account: the account whose key has signed the request.
        account_id: the account in the URL.
        after: where the page starts; None for the first page.

    Raises:
        AcmeProblem: it is another account, or there is no such page.
        DatabaseUnavailable: the database is away.
    """
    cursor = None if after is None else _CURSOR.fullmatch(after)
    if account.id != account_id or (after is not None and cursor is None):
        raise AcmeProblem(ProblemType.NOT_FOUND, "the account has no such list of orders")
    start = (int(cursor[1]), cursor[2]) if cursor else None
    orders = services.orders.list_of(account.id, after=start, limit=PAGE + 1)
    if len(orders) <= PAGE:
        return Page(orders, None)
    last = orders[PAGE - 1]
    return Page(orders[:PAGE], f"{int(last.created.timestamp())}-{last.id}")
