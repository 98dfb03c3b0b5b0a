"""Limits on the orders of an account: some clients order at each run of cron."""

from __future__ import annotations

import datetime
import math

from anchor.acme import renewal_info
from anchor.acme.certificate_ids import CertificateId
from anchor.acme.problems import AcmeProblem, ProblemType
from anchor.acme.renewal_windows import window_of
from anchor.acme.services import AcmeServices
from anchor.store.acme_records import Account, Identifier, names_key
from anchor.store.database import acme_order_counts
from anchor.timestamps import timestamp


def require_few_uncertified(services: AcmeServices, account: Account) -> None:
    """Require that an account has fewer orders without a certificate than the limit.

    Raises:
        AcmeProblem: it has too many.
        DatabaseUnavailable: the database is away.
    """
    database = services.orders.database
    limit, now = services.settings.max_pending_orders, services.clock()
    ends = acme_order_counts.ends_of_uncertified(database, account.id, now, limit)
    if len(ends) >= limit:
        raise AcmeProblem(
            ProblemType.RATE_LIMITED,
            f"the account has {len(ends)} orders without a certificate that are pending, ready, or "
            "from the last hour, which is the limit: finalize orders instead of creating others",
            retry_after=_seconds(ends[len(ends) - limit] - now),
        )


def require_due(
    services: AcmeServices,
    account: Account,
    identifiers: tuple[Identifier, ...],
    replaces: str | None,
) -> None:
    """Require that an account has fewer fresh certificates for the same names than the limit.

    An order is always allowed in the renewal window of the newest certificate or of the one that it
    replaces, and after it.  A revoked certificate can be replaced at once, but not again and again:
    clients revoke their certificates themselves.

    Raises:
        AcmeProblem: it has too many; the refusal is counted.
        DatabaseUnavailable: the database is away.
    """
    problem = find_too_many(services, account, identifiers, replaces)
    if problem is not None:
        services.accounts.count_refused(account.id)
        raise problem


def find_too_many(
    services: AcmeServices,
    account: Account,
    identifiers: tuple[Identifier, ...],
    replaces: str | None,
) -> AcmeProblem | None:
    """The problem that :func:`require_due` raises, which is not counted; None if there is none.

    Raises:
        DatabaseUnavailable: the database is away.
    """
    limit, now = services.settings.max_duplicates, services.clock()
    # With a limit of one, a machine that has renewed in time can still have that one revoked.
    most = max(2 * limit, limit + 2)
    database, key = services.orders.database, names_key(identifiers)
    issued = acme_order_counts.newest_certificates(database, account.id, key, now, most)
    if len(issued) < limit:
        return None
    inventory = services.authority.inventory
    newest = inventory.find(issued[0].fingerprint)
    if newest is None:
        return None
    replaced = None if replaces is None else CertificateId.parse(replaces).find(inventory)
    current = [newest] if replaced is None else [newest, replaced]
    is_revoked = any(renewal_info.revocation(services, each) for each in current)
    allowed = most if is_revoked else limit
    if len(issued) < allowed or any(window_of(each).start <= now for each in current):
        return None
    due = window_of(newest).start
    # From then on the oldest of them does not count.
    free = issued[allowed - 1].finalized + (newest.not_after - newest.not_before)
    end = min(due, free)
    if end <= now:
        return None
    if is_revoked:
        return AcmeProblem(
            ProblemType.RATE_LIMITED,
            f"the account has {allowed} certificates for these names already, which are too many "
            f"to replace a revoked one before {timestamp(end)}",
            retry_after=_seconds(end - now),
        )
    return AcmeProblem(
        ProblemType.RATE_LIMITED,
        f"the account has {limit} certificates for these names already; the one with the serial "
        f"number {newest.serial} is valid until {timestamp(newest.not_after)} and should be "
        f"renewed from {timestamp(due)} on. A client that orders at each run has a setting in "
        "days: set it to less than a day, in hours if it can, or let it use the directory's "
        "renewalInfo",
        retry_after=_seconds(end - now),
    )


def _seconds(wait: datetime.timedelta) -> int:
    return max(1, math.ceil(wait.total_seconds()))
