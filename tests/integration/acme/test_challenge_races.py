"""Results of challenges that nodes store at the same time, in PostgreSQL."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest

from anchor.acme.challenges import offered
from anchor.acme.settings import AcmeSettings
from anchor.store.acme_records import ChallengeStatus, OrderStatus
from anchor.store.database.acme_challenges import settle
from anchor.store.database.acme_orders import AcmeOrders
from anchor.timestamps import utc_now
from tests.support.acme import add_account, add_order
from tests.support.database import server_database

ROUNDS = 20
FAILED = {"detail": "it failed"}


@pytest.fixture
def nodes(postgresql_url, tmp_path):
    """Two connections to one database."""
    databases = [server_database(postgresql_url, tmp_path) for _ in range(2)]
    databases[0].prepare()
    yield databases
    for database in databases:
        database.close()


@pytest.fixture
def order(nodes):
    """Stores a pending order; returns its identifier and its authorizations."""
    account = add_account(nodes[0])
    settings = AcmeSettings(challenges=["http-01"], networks=["10.0.0.0/8"])

    def store(*names):
        made = add_order(
            nodes[0],
            account,
            *names,
            status=OrderStatus.PENDING,
            challenges=lambda identifier: offered(settings, identifier),
        )
        return made.id, AcmeOrders(nodes[0]).authorizations(made.id)

    return store


def at_once(*functions):
    """The results of functions that begin at the same time."""
    barrier = Barrier(len(functions))

    def run(function):
        barrier.wait(10)
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(run, functions))


def store(database, authorization, error=None):
    status = ChallengeStatus.VALID if error is None else ChallengeStatus.INVALID
    results = [dataclasses.replace(each, status=status) for each in authorization.challenges]
    return settle(database, authorization, results, order_error=error, now=utc_now())


def test_an_order_is_ready_when_two_nodes_validate_its_last_names_at_once(nodes, order):
    for _ in range(ROUNDS):
        order_id, (first, second) = order("a.example.com", "b.example.com")
        stored = at_once(partial(store, nodes[0], first), partial(store, nodes[1], second))
        assert stored == [True, True]
        assert AcmeOrders(nodes[0]).find(order_id).status is OrderStatus.READY


def test_two_results_of_a_challenge_have_one_outcome(nodes, order):
    for _ in range(ROUNDS):
        order_id, [authorization] = order("a.example.com")
        stored = at_once(
            partial(store, nodes[0], authorization), partial(store, nodes[1], authorization, FAILED)
        )
        assert sorted(stored) == [False, True]
        expected = OrderStatus.READY if stored[0] else OrderStatus.INVALID
        assert AcmeOrders(nodes[0]).find(order_id).status is expected


def test_a_result_and_a_deactivation_do_not_wait_for_each_other(nodes, order):
    for _ in range(ROUNDS):
        order_id, [authorization] = order("a.example.com")
        at_once(
            partial(store, nodes[0], authorization),
            partial(AcmeOrders(nodes[1]).deactivate, authorization, FAILED),
        )
        assert AcmeOrders(nodes[0]).find(order_id).status is OrderStatus.INVALID
