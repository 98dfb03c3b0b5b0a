"""Processes and nodes race for a renewal with one proof."""

from __future__ import annotations

import functools
import io
import json
import logging
import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import pytest

from anchor.store.database.certificates import Selection
from anchor.store.database.settings import locate_database
from tests.integration.test_database_server import in_processes
from tests.support.database import anchor_url, server_database
from tests.support.pki import make_csr, shared_key
from tests.support.renewal import make_proof
from tests.support.service import Service
from tests.unit.store.database.test_migration_0003 import (
    old_0002,
    test_a_lineage_is_stored_in_a_database_that_was_migrated,
    test_a_node_of_version_0002_goes_on_with_the_new_tables,
    test_rows_of_version_0002_are_kept_and_are_no_renewals,
)

__all__ = [
    "old_0002",
    "test_a_lineage_is_stored_in_a_database_that_was_migrated",
    "test_a_node_of_version_0002_goes_on_with_the_new_tables",
    "test_rows_of_version_0002_are_kept_and_are_no_renewals",
]


@pytest.fixture
def location(postgresql_url, tmp_path):
    return locate_database({"url": anchor_url(postgresql_url)}, tmp_path)


def proof_form(service):
    csr = make_csr()
    proof = make_proof(service.issue(csr), shared_key(), csr)
    return {"encoding": "pem", "csr": csr, "proof": proof}


def count(service):
    return service.settings.authorities["default"].inventory.count(Selection())


@functools.cache
def node(path, document):
    """A service, once for all threads of a process."""
    logger = logging.getLogger("anchor.audit")
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.StreamHandler(io.StringIO()))
    return Service(path, json.loads(document))


def race(lock, path, document, form):
    """What a thread of a process does: it sends the proof twice."""
    with lock:
        service = node(path, document)
    return [service.http.post("/v1/renew/default", form, status="*").status_int for _ in range(2)]


def test_processes_that_race_with_one_proof_get_one_certificate(serve, document, tmp_path):
    document["database"] = {"timeout_seconds": 20}
    document["registration_authority"]["default"]["max_failures"] = 1000
    service = serve(document)
    form = proof_form(service)

    lock = multiprocessing.get_context("spawn").Lock()

    results = in_processes(race, lock, tmp_path, json.dumps(document), form, processes=2, threads=4)

    statuses = sorted(status for result in results for status in result)
    assert statuses == [200, *[401] * 15]
    assert count(service) == 2


@pytest.fixture
def nodes(serve, document, postgresql_url, tmp_path):
    """Two nodes with one database on a server."""
    document["database"] = {"url": anchor_url(postgresql_url)}
    database = server_database(postgresql_url, tmp_path, timeout_seconds=20)
    database.prepare()
    document["registration_authority"]["default"]["max_failures"] = 1000
    made = [serve(document), serve(document)]
    yield made
    for each in (*(node.settings.database for node in made), database):
        each.close()


def test_a_proof_that_one_node_accepted_is_used_up_on_the_other(nodes):
    one, other = nodes
    form = proof_form(one)

    one.http.post("/v1/renew/default", form, status=200)

    answer = other.http.post("/v1/renew/default", form, status=401)
    assert "was used before" in answer.text


def test_nodes_that_race_with_one_proof_get_one_certificate(nodes):
    form = proof_form(nodes[0])

    def send(number):
        return nodes[number % 2].http.post("/v1/renew/default", form, status="*").status_int

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(send, range(16)))

    assert statuses == [200, *[401] * 15]
    assert count(nodes[1]) == 2
