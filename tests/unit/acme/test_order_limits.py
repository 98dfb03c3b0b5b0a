"""Limits on the orders of an account, which cost no other account anything."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.acme.problems import ProblemType
from anchor.acme.renewal_info import window_of
from anchor.acme.validation.failures import ChallengeFailed
from anchor.errors import DatabaseUnavailable
from anchor.jose.compact import encode_base64url
from anchor.store.bans import Ban
from anchor.store.database import acme_order_counts, acme_orders
from anchor.store.database.acme_orders import AcmeOrders
from anchor.store.database.certificates import Selection
from anchor.timestamps import timestamp
from tests.support.acme import BASE_URL, certificate_id
from tests.support.acme_orders import (
    acme_with,
    add_client,
    assert_problem,
    at_once,
    finalize,
    new_order,
    obtain,
    same_client,
)


@pytest.fixture
def acme(serve, document, clock):
    document["signing_ca"]["local"]["valid_hours"] = 24
    return serve(
        acme_with(document, max_duplicates=3, max_pending_orders=4), base_url=BASE_URL, clock=clock
    )


def newest(acme):
    records = acme.settings.authorities["default"].inventory.select(Selection())
    return max(records, key=lambda record: (record.issuance.issued_at, record.not_after))


def refused(acme, client):
    return acme.settings.acme["default"].accounts.find(client.row.id).refused


@pytest.fixture
def full(acme, client, clock):
    """A client that has three fresh certificates for a name, each an hour after another."""
    for _ in range(3):
        client.newest = obtain(client, "www.example.com")
        clock.advance(hours=1)
        client.nonces.clear()
    return client


def test_a_client_that_orders_at_each_run_is_told_when_to_renew(acme, full, clock):
    answer = new_order(full, "www.example.com", status=429)

    record = newest(acme)
    assert record.serial == f"{full.newest.serial_number:x}"
    due = window_of(record).start
    assert_problem(
        answer,
        "rateLimited",
        429,
        "3 certificates for these names",
        record.serial,
        f"valid until {timestamp(record.not_after)}",
        f"renewed from {timestamp(due)} on",
        "a setting in days",
    )
    wait = int(answer.headers["Retry-After"])
    assert abs(wait - (due - clock()).total_seconds()) < 5
    assert refused(acme, full) == 1


def test_each_refused_order_is_counted(acme, full):
    for _ in range(3):
        new_order(full, "WWW.example.com", status=429)

    assert refused(acme, full) == 3


def test_a_limit_is_for_one_set_of_names(full):
    for names in (["a.example.com"], ["www.example.com", "a.example.com"]):
        assert new_order(full, *names).json["status"] == "ready"


def test_the_limit_of_one_account_is_not_that_of_another(acme, full):
    assert new_order(add_client(acme), "www.example.com").json["status"] == "ready"


def test_an_order_is_accepted_again_when_the_newest_should_be_renewed(acme, full, clock):
    answer = new_order(full, "www.example.com", status=429)

    clock.advance(seconds=int(answer.headers["Retry-After"]))
    full.nonces.clear()

    assert finalize(full, new_order(full, "www.example.com").json).json["status"] == "valid"


def test_an_order_is_accepted_again_when_the_oldest_is_too_old_to_count(acme, client, clock):
    obtain(client, "www.example.com")
    clock.advance(hours=22)
    client.nonces.clear()
    for _ in range(2):
        obtain(client, "www.example.com")

    answer = new_order(client, "www.example.com", status=429)
    wait = int(answer.headers["Retry-After"])
    assert 7000 < wait < 8000
    clock.advance(seconds=wait)
    client.nonces.clear()

    assert new_order(client, "www.example.com").json["status"] == "ready"


def test_orders_that_were_created_before_give_no_more_certificates(acme, client, clock):
    orders = [new_order(client, "www.example.com") for _ in range(4)]
    for order in orders[:3]:
        finalize(client, order.json)

    answer = finalize(client, orders[3].json, status=429)

    assert_problem(answer, "rateLimited", 429, "3 certificates for these names", "renewed from")
    assert refused(acme, client) == 1
    shown = client.post(orders[3].headers["Location"], None, status=200).json
    assert shown["status"] == "ready"
    clock.advance(seconds=int(answer.headers["Retry-After"]))
    client.nonces.clear()
    assert finalize(client, orders[3].json).json["status"] == "valid"


def test_an_order_that_is_refused_at_its_end_is_in_the_audit(client, audit):
    orders = [new_order(client, "www.example.com").json for _ in range(4)]
    for order in orders[:3]:
        finalize(client, order)

    finalize(client, orders[3], status=429)

    event = audit.events()[-1]
    assert (event["event"], event["outcome"]) == ("audit.sign", "failure")
    assert "3 certificates for these names" in event["reasons"][0]


def revoke(client, certificate):
    """Let the client revoke a certificate of its own."""
    der = encode_base64url(certificate.public_bytes(Encoding.DER))
    client.post("/revoke-cert", {"certificate": der, "reason": 4}, status=200)


@pytest.mark.parametrize("is_named", [False, True])
def test_revoking_the_newest_does_not_switch_the_limit_off(acme, client, clock, is_named):
    members = {}
    for _ in range(6):
        certificate = obtain(client, "www.example.com", **members)
        revoke(client, certificate)
        if is_named:
            members = {"replaces": certificate_id(certificate)}

    answer = new_order(client, "www.example.com", status=429, **members)

    assert_problem(answer, "rateLimited", 429, "6 certificates for these names", "a revoked one")
    assert refused(acme, client) == 1
    clock.advance(seconds=int(answer.headers["Retry-After"]))
    client.nonces.clear()
    obtain(client, "www.example.com", **members)


def test_orders_that_were_created_before_replace_a_revoked_certificate_once(full):
    revoke(full, full.newest)
    order, other = (new_order(full, "www.example.com").json for _ in range(2))

    finalize(full, order)

    assert_problem(finalize(full, other, status=429), "rateLimited", 429)


def test_a_revoked_certificate_that_is_not_the_newest_is_replaced(client, clock):
    first = obtain(client, "www.example.com")
    clock.advance(seconds=2)
    for _ in range(2):
        obtain(client, "www.example.com")
    revoke(client, first)
    new_order(client, "www.example.com", status=429)

    obtain(client, "www.example.com", replaces=certificate_id(first))


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_a_machine_that_renewed_in_time_can_replace_a_certificate_that_is_revoked(
    serve, document, clock, limit
):
    document["signing_ca"]["local"]["valid_hours"] = 24
    service = serve(acme_with(document, max_duplicates=limit), base_url=BASE_URL, clock=clock)
    client = add_client(service)
    for _ in range(limit):
        obtain(client, "www.example.com")
    clock.advance(hours=16)
    client.nonces.clear()
    renewed = obtain(client, "www.example.com")
    new_order(client, "www.example.com", status=429)

    revoke(client, renewed)

    obtain(client, "www.example.com")


def test_a_revoked_certificate_does_not_count_as_fresh(acme, full, clock):
    bans = acme.settings.acme["default"].bans
    bans.add(Ban(kind="certificate", value=newest(acme).fingerprint, since=clock()))

    assert new_order(full, "www.example.com").json["status"] == "ready"


def leave_processing(monkeypatch, client, *names):
    """Finalize an order in a process that is killed before the order is valid."""

    def kill(*_):
        raise DatabaseUnavailable("it is away")

    with monkeypatch.context() as patch:
        patch.setattr(AcmeOrders, "complete", kill)
        finalize(client, new_order(client, *names).json, status=503)


def test_a_certificate_that_nobody_can_download_does_not_count(client, clock, monkeypatch):
    for _ in range(3):
        leave_processing(monkeypatch, client, "www.example.com")

    # Until then another process may complete them.
    new_order(client, "www.example.com", status=429)
    clock.advance(minutes=2, seconds=1)
    client.nonces.clear()

    obtain(client, "www.example.com")


def test_a_certificate_that_was_pruned_does_not_count_as_fresh(acme, full):
    inventory = acme.settings.authorities["default"].inventory
    for _ in inventory.prune(newest(acme).not_after.replace(year=2100)):
        pass

    assert new_order(full, "www.example.com").json["status"] == "ready"


def test_an_order_that_replaces_a_certificate_in_its_window_is_never_one_too_many(
    acme, client, clock
):
    first = obtain(client, "www.example.com")
    clock.advance(hours=17)
    client.nonces.clear()
    for _ in range(2):
        obtain(client, "www.example.com")
    new_order(client, "www.example.com", status=429)

    order = new_order(client, "www.example.com", replaces=certificate_id(first)).json

    assert order["replaces"] == certificate_id(first)
    assert finalize(client, order).json["replaces"] == certificate_id(first)


def test_an_order_that_replaces_a_fresh_certificate_counts(full):
    replaces = certificate_id(full.newest)

    answer = new_order(full, "www.example.com", replaces=replaces, status=429)

    assert_problem(answer, "rateLimited", 429)


def test_a_certificate_is_replaced_once(client, clock):
    first = obtain(client, "www.example.com")
    new_order(client, "www.example.com", replaces=certificate_id(first))

    answer = new_order(client, "www.example.com", replaces=certificate_id(first), status=409)

    assert_problem(answer, "alreadyReplaced", 409)


def test_of_two_orders_at_once_one_replaces_a_certificate(acme, client):
    replaces = certificate_id(obtain(client, "www.example.com"))
    clients = [same_client(client, acme) for _ in range(4)]

    answers = at_once(
        [
            lambda each=each: new_order(each, "www.example.com", status="*", replaces=replaces)
            for each in clients
        ]
    )

    assert sorted(answer.status_int for answer in answers) == [201, 409, 409, 409]


def test_an_account_has_a_limited_number_of_orders_that_are_not_finalized(acme, client, clock):
    orders = [new_order(client, f"{number}.example.com") for number in range(4)]

    answer = new_order(client, "more.example.com", status=429)

    assert_problem(answer, "rateLimited", 429, "4 orders without a certificate that are pending")
    assert 86000 < int(answer.headers["Retry-After"]) <= 86400
    assert refused(acme, client) == 0
    assert new_order(add_client(acme), "more.example.com").json["status"] == "ready"
    finalize(client, orders[0].json)
    orders.append(new_order(client, "more.example.com"))
    new_order(client, "more.example.com", status=429)
    clock.advance(hours=1, seconds=1)
    client.nonces.clear()
    deactivate(client, orders[1].json)
    orders.append(new_order(client, "again.example.com"))
    new_order(client, "more.example.com", status=429)
    clock.advance(hours=24, seconds=1)
    client.nonces.clear()
    new_order(client, "more.example.com")


def deactivate(client, order):
    """Make an order invalid by an authorization of it."""
    client.post(order["authorizations"][0], {"status": "deactivated"}, status=200)


class Failing:
    """A validator whose challenges all fail."""

    def validate(self, attempt, now):
        return ChallengeFailed(ProblemType.CONNECTION, "it is refused")


def fail_challenge(client, order):
    """Make an order invalid by a challenge that fails."""
    authorization = client.post(order["authorizations"][0], None, status=200).json
    challenge = client.post(authorization["challenges"][0]["url"], {}, status=200).json
    assert challenge["status"] == "invalid"


@pytest.fixture
def challenging(serve, document, clock):
    service = serve(
        acme_with(document, max_pending_orders=4, challenges=["http-01"], networks=["10.0.0.0/8"]),
        base_url=BASE_URL,
        clock=clock,
    )
    object.__setattr__(service.settings.acme["default"], "validator", Failing())
    return service


@pytest.mark.parametrize("end", [deactivate, fail_challenge])
def test_an_order_that_is_made_invalid_counts_for_an_hour(challenging, clock, end):
    client = add_client(challenging)
    for number in range(4):
        end(client, new_order(client, f"{number}.example.com").json)

    answer = new_order(client, "more.example.com", status=429)

    assert_problem(answer, "rateLimited", 429, "4 orders without a certificate", "last hour")
    wait = int(answer.headers["Retry-After"])
    assert 3500 < wait <= 3600
    new_order(add_client(challenging), "more.example.com")
    clock.advance(seconds=wait)
    client.nonces.clear()
    new_order(client, "more.example.com")


def test_an_order_that_expired_within_the_hour_counts_until_its_end(serve, document, clock):
    service = serve(
        acme_with(document, max_pending_orders=2, order_hours=0.5), base_url=BASE_URL, clock=clock
    )
    client = add_client(service)
    for _ in range(2):
        new_order(client, "www.example.com")
    clock.advance(minutes=31)
    client.nonces.clear()

    wait = int(new_order(client, "www.example.com", status=429).headers["Retry-After"])

    assert 1700 < wait <= 29 * 60
    clock.advance(seconds=wait)
    client.nonces.clear()
    new_order(client, "www.example.com")


def end_account(client, order):
    """Make an order invalid by the end of its account."""
    client.post(client.account, {"status": "deactivated"}, status=200)


@pytest.mark.parametrize("end", [deactivate, fail_challenge, end_account])
def test_an_order_that_is_made_invalid_is_deleted_after_a_day(challenging, clock, end):
    client, other = add_client(challenging), add_client(challenging)
    answer = new_order(client, "www.example.com")
    end(client, answer.json)
    orders = challenging.settings.acme["default"].orders
    number = answer.headers["Location"].rpartition("/")[2]

    for hours, is_kept in ((23, True), (2, False)):
        clock.advance(hours=hours)
        other.nonces.clear()
        new_order(other, "www.example.com")
        assert (orders.find(number) is not None) is is_kept
    assert orders.authorizations(number) == []


VALUES = dict.fromkeys(
    (
        "account",
        "now",
        "since",
        "most",
        "names",
        "replaces",
        "interrupted",
        "order",
        "authorization",
    ),
    1,
)


@pytest.mark.parametrize(
    ("module", "statement", "index"),
    [
        (acme_order_counts, "_FIND_UNFINISHED", "acme_orders_unfinished"),
        (acme_order_counts, "_FIND_FAILED", "acme_orders_uncertified"),
        (acme_order_counts, "_FIND_NEWEST", "acme_orders_names"),
        (acme_orders, "_FIND_REPLACING", "acme_orders_replaces"),
        (acme_orders, "_FIND_AUTHORIZATIONS", "acme_authorizations_order"),
        (acme_orders, "_FIND_ENDED", "acme_orders_delete_after"),
    ],
)
def test_no_query_of_a_new_order_reads_the_orders_of_others(acme, module, statement, index):
    plan = plan_of(acme, module, statement)

    assert f"INDEX {index} (" in plan[0]
    assert not [step for step in plan if step.startswith("SCAN")]


def test_the_newest_certificates_are_found_without_sorting_all(acme):
    assert len(plan_of(acme, acme_order_counts, "_FIND_NEWEST")) == 1


def plan_of(acme, module, statement):
    """The steps with which SQLite runs a statement."""
    with acme.settings.database.transaction(writes=False) as transaction:
        query = getattr(module, statement).compile(transaction._dialect)
        cursor = transaction._cursor
        cursor.execute(f"EXPLAIN QUERY PLAN {query.text}", query.arguments(VALUES))
        return [row[-1] for row in cursor.fetchall()]
