"""Nodes and processes race for the uses of tokens, and die with one in hand."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import threading
import time

import pytest
from sqlalchemy import text

from anchor.auth.results import SingleUse
from anchor.errors import DatabaseUnavailable, NotAuthenticated
from anchor.store.database import certificates
from anchor.store.database.certificates import Inventory, Selection
from anchor.store.database.credential_uses import take_uses
from anchor.store.database.settings import locate_database
from anchor.store.database.tokens import Tokens
from anchor.timestamps import utc_now
from tests.integration.test_database_server import at_most, in_processes
from tests.support.database import anchor_url, make_database, make_record, server_database
from tests.support.pki import make_csr
from tests.support.tokens import HOUR, add_token, make_token, token_configuration
from tests.unit.store.database.test_migration_0002 import (
    old,
    test_a_node_of_the_version_before_goes_on_with_the_new_tables,
    test_the_rows_are_kept_and_the_tables_are_those_of_the_program,
)

__all__ = [
    "old",
    "test_a_node_of_the_version_before_goes_on_with_the_new_tables",
    "test_the_rows_are_kept_and_the_tables_are_those_of_the_program",
]

SINGLE = SingleUse("ab" * 32, utc_now() + HOUR)


@pytest.fixture
def location(postgresql_url, tmp_path):
    return locate_database({"url": anchor_url(postgresql_url)}, tmp_path)


@pytest.fixture
def database(postgresql_url, tmp_path):
    made = server_database(postgresql_url, tmp_path, timeout_seconds=20)
    yield made
    made.close()


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request):
    """SQLAlchemy's URL of a server, or None for SQLite in the directory of the test."""
    return request.getfixturevalue("postgresql_url") if request.param == "postgresql" else None


@pytest.fixture
def shared(url, tmp_path):
    """The database that the processes of a test share."""
    made = open_at(url, tmp_path)
    made.prepare()
    yield made
    made.close()


def open_at(url, directory):
    if url is None:
        return make_database(directory, timeout_seconds=20)
    return server_database(url, directory, timeout_seconds=20)


@pytest.fixture
def tokens(database):
    return Tokens(database)


def store(inventory, token_id=None, single_use=None, renewed_from=None):
    """Store a certificate that costs a use, or a renewal, which costs none of the token.

    Returns:
        the fingerprint; None if it is refused.
    """
    record, names = make_record("web1.example.com")
    issuance = dataclasses.replace(
        record.issuance, token_id=token_id, issued_at=utc_now(), renewed_from=renewed_from
    )
    try:
        inventory.add(dataclasses.replace(record, issuance=issuance), names, single_use=single_use)
    except NotAuthenticated:
        return None
    return record.fingerprint


def race(url, directory, token_id, single_use, attempts):
    """What a thread of a node does: it asks several times."""
    database = open_at(url, directory)
    try:
        return [store(Inventory(database), token_id, single_use) for _ in range(attempts)]
    finally:
        database.close()


@pytest.mark.parametrize("uses", [1, 7])
def test_processes_that_race_take_exactly_the_uses(url, tmp_path, shared, uses):
    tokens = Tokens(shared)
    token = make_token(uses=uses)
    tokens.add(token)

    results = in_processes(*(race, url, tmp_path, token.id, None, 3), processes=3, threads=6)

    got = {each for result in results for each in result if each}
    assert len(got) == uses == tokens.find(token.id).used
    stored = Inventory(tokens.database).select(Selection(token_id=token.id))
    assert {record.fingerprint for record in stored} == got


def test_processes_that_race_for_a_credential_get_one_certificate(url, tmp_path, shared):
    results = in_processes(*(race, url, tmp_path, None, SINGLE, 2), processes=2, threads=8)

    assert len([each for result in results for each in result if each]) == 1
    assert Inventory(shared).count(Selection()) == 1


def test_many_tokens_and_credentials_at_once_never_deadlock(postgresql_url, tmp_path, tokens):
    made = [make_token(uses=1000) for _ in range(2)]
    for token in made:
        tokens.add(token)

    def work(number, results):
        for attempt in range(15):
            single = SingleUse(f"{attempt % 4:064x}", utc_now() - HOUR)
            token = made[(number + attempt) % 2]
            results.append(store(Inventory(tokens.database), token.id, single))

    results = []
    threads = [threading.Thread(target=work, args=(number, results)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)

    assert len(results) == 120 and all(results)
    taken = sum(tokens.find(token.id).used for token in made)
    assert (
        taken
        == len([each for each in results if each])
        == Inventory(tokens.database).count(Selection())
    )


def test_a_second_node_waits_until_the_first_has_taken_the_last_use(tokens, database):
    token = make_token()
    tokens.add(token)
    results = []
    second = threading.Thread(target=lambda: results.append(store(Inventory(database), token.id)))

    with database.transaction() as first:
        take_uses(first, token.id, None, utc_now())
        second.start()
        time.sleep(0.5)
        assert results == []
    second.join(30)

    assert results == [None] and tokens.find(token.id).used == 1


def test_a_node_that_waits_too_long_answers_503_and_takes_nothing(postgresql_url, tmp_path, tokens):
    token = make_token(uses=5)
    tokens.add(token)
    impatient = server_database(postgresql_url, tmp_path)

    with tokens.database.transaction() as first:
        take_uses(first, token.id, None, utc_now())
        with at_most(5), pytest.raises(DatabaseUnavailable):
            store(Inventory(impatient), token.id)
    impatient.close()

    assert tokens.find(token.id).used == 1


STEPS = ["taken", "stored", "committed"]


def die(url, directory, token_id, step):
    """Take a use and die at a step, as by kill -9."""
    database = open_at(url, directory)
    if step == "taken":
        certificates.insert_certificate = lambda *_: os._exit(9)
    if step == "stored":
        insert = certificates.insert_certificate

        def insert_and_die(*arguments):
            insert(*arguments)
            os._exit(9)

        certificates.insert_certificate = insert_and_die
    store(Inventory(database), token_id)
    os._exit(9)


@pytest.mark.parametrize("step", STEPS)
def test_a_process_that_is_killed_loses_no_use_without_a_certificate(url, tmp_path, shared, step):
    tokens = Tokens(shared)
    token = make_token(uses=2)
    tokens.add(token)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=die, args=(url, tmp_path, token.id, step))
    process.start()
    process.join(60)
    assert process.exitcode == 9

    inventory = Inventory(tokens.database)
    stored = inventory.count(Selection(token_id=token.id))
    # The server may notice the end of the connection a moment later; the use waits for it.
    assert store(inventory, token.id)
    assert stored == (1 if step == "committed" else 0)
    assert tokens.find(token.id).used == inventory.count(Selection()) == stored + 1


def test_a_token_that_is_revoked_during_a_race_gets_nothing_after_that(tokens, database):
    token = make_token(uses=100_000)
    tokens.add(token)
    inventory = Inventory(database)
    stop, counts = threading.Event(), {"first": 0, "renewed": 0}

    def work(kind, renewed_from):
        count = 0
        while not stop.is_set() and store(inventory, token.id, renewed_from=renewed_from):
            count += 1
        counts[kind] += count

    threads = [
        threading.Thread(target=work, args=arguments)
        for arguments in (("first", None), ("renewed", "ab" * 32))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    time.sleep(1)
    assert tokens.revoke(token.id)
    told = inventory.count(Selection(token_id=token.id))
    for thread in threads:
        thread.join(60)
    stop.set()

    # The command that revoked it told of every certificate.
    assert 0 < counts["first"] == tokens.find(token.id).used
    assert 0 < counts["renewed"] == told - counts["first"]
    assert inventory.count(Selection(token_id=token.id)) == told


@pytest.fixture
def nodes(serve, document, database, location):
    """Two nodes with one database."""
    database.prepare()
    token_configuration(document)
    document["database"] = {"url": location.settings.url}
    made = [serve(document), serve(document)]
    yield made
    for node in made:
        node.settings.database.close()


def test_a_token_that_one_node_accepted_is_used_up_on_the_other(nodes, database):
    one, other = nodes
    token, revoked = add_token(database), add_token(database)
    csr = make_csr("web1.example.com", "web1.example.com")

    one.issue(csr, **token)
    Tokens(database).revoke(revoked["user"])

    assert other.sign(csr, **token).status_int == 401
    assert other.sign(csr, **revoked).status_int == 401
    assert one.sign(csr, **revoked).status_int == 401


def test_a_commit_that_is_lost_is_a_503_that_gives_nothing_back(nodes, database, monkeypatch):
    one, _ = nodes
    token = add_token(database, uses=2)
    csr = make_csr("web1.example.com", "web1.example.com")
    commit = type(one.settings.database._open_with_tables().connections).commit

    def committed_and_cut(self, connection, *, writes):
        commit(self, connection, writes=writes)
        if writes:
            raise DatabaseUnavailable("the server does not respond")

    with monkeypatch.context() as patched:
        patched.setattr("anchor.store.database.postgresql.Connections.commit", committed_and_cut)
        assert one.sign(csr, **token).status_int == 503

    assert Tokens(database).find(token["user"]).used == 1
    one.issue(csr, **token)
    assert one.sign(csr, **token).status_int == 401


def test_hostile_text_in_a_token_is_stored_or_refused_but_never_a_crash(tokens):
    token = make_token(requester="ü\0\udcff", groups=("\0", "\udcff"), names=("\0",))
    tokens.add(token)

    found = tokens.find(token.id)
    assert (found.groups, found.names) == (token.groups, token.names)
    assert found.requester == "ü\\x00\\udcff"


def test_the_lists_and_pruning_work_on_a_server(tokens, database):
    made = [make_token(), make_token(expires=None), make_token(used=1)]
    for token in made:
        tokens.add(token)

    now = utc_now()
    assert {token.id for token in tokens.select(usable_at=now)} == {made[0].id, made[1].id}
    assert len(list(tokens.select())) == 3
    assert tokens.count_ended(now + 2 * HOUR) == tokens.prune(now + 2 * HOUR) == 2
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM tokens")).scalar() == 1
