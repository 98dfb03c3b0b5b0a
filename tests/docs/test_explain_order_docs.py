"""The example of ``anchor explain --acme`` has the lines of a real explanation."""

from __future__ import annotations

import re

from anchor.acme.problems import AcmeProblem, ProblemType
from anchor.acme.services import new_id
from anchor.store.acme_records import (
    Authorization,
    AuthorizationStatus,
    Challenge,
    ChallengeStatus,
    Identifier,
    Order,
    OrderStatus,
)
from anchor.timestamps import utc_now
from tests.support.acme import DAY, add_account, add_binding_token
from tests.support.pages import SOURCE
from tests.unit.cli.test_explain_order import acme, database, explain

__all__ = ["acme", "database", "explain"]

NAME = "www.example.com"
WHEN = utc_now().replace(microsecond=0)
PAGE = (SOURCE / "howto/acme.rst").read_text()


def without_values(text):
    """The lines without times and identifiers, and with the ends of long lines left out."""
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", text)
    text = re.sub(r"\btk_\w{16}\b|\b[a-z2-7]{25}\b", "ID", text)
    text = re.sub(r"in the networks that this CA may connect to\)", "in the networks ...)", text)
    text = re.sub(r"(failed: \S+ has no) address in the networks .*", r"\1 ...", text)
    return [line.strip() for line in text.strip().splitlines()]


def failed_order(acme, database):
    """The identifier of an order whose challenge has failed."""
    token_id, _ = add_binding_token(database, names=[NAME], requester="web1", groups=["web"])
    account = add_account(
        database,
        token_id=token_id,
        requester="web1",
        groups=("web",),
        allowed_names=(NAME,),
        user_agent="certbot/5.8.0",
    )
    reason = f"{NAME} has no address in the networks that this CA may connect to"
    error = AcmeProblem(ProblemType.CONNECTION, reason).as_json()
    of_order = AcmeProblem(
        ProblemType.CONNECTION, f"the challenge http-01 for {NAME} failed: {reason}"
    ).as_json()
    order = Order(
        id=new_id(),
        account_id=account.id,
        status=OrderStatus.INVALID,
        expires=WHEN + DAY,
        identifiers=(Identifier("dns", NAME),),
        error=of_order,
        created=WHEN,
    )
    authorization = Authorization(
        id=new_id(),
        order_id=order.id,
        account_id=account.id,
        identifier=order.identifiers[0],
        status=AuthorizationStatus.INVALID,
        expires=order.expires,
        challenges=(
            Challenge(type="http-01", token="x", status=ChallengeStatus.INVALID, error=error),
        ),
    )
    orders = acme.settings.acme["default"].orders
    orders.add(order, [authorization], delete_after=WHEN + 2 * DAY)
    return order.id


def test_the_example_of_an_explained_order_has_the_lines_of_a_real_one(acme, database, explain):
    example = re.search(r"\$ anchor explain --acme \S+\n((?:    .*\n|\n)+)", PAGE)[1]
    code, output, _ = explain("--acme", failed_order(acme, database))
    assert code == 1
    assert without_values(example) == without_values(output)
