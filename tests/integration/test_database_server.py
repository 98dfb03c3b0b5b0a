"""The database on a real PostgreSQL server, also while it is away."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import datetime
import multiprocessing
import random
import secrets
import socket
import time
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from anchor.errors import DatabaseUnavailable, StorageError
from anchor.store.bans import Ban, ban_keys
from anchor.store.database import schema
from anchor.store.database.bans import Bans
from anchor.store.database.certificates import Inventory, Selection
from anchor.store.database.failures import Failures
from anchor.store.database.postgresql import gave_up_replica, lift_limits
from anchor.store.database.statements import Statement, Transaction
from anchor.X509.name_search import query_overlapping, query_valid_for
from tests.support.database import MOMENT, make_record, server_database
from tests.support.servers.postgresql import postgresql
from tests.support.servers.processes import free_port, wait_for

HOUR = datetime.timedelta(hours=1)
RACE = 16

# timeout_seconds, the time for the server's own message, and a busy machine.
BOUND = 1 + 1 + 2


@pytest.fixture
def database(postgresql_url, tmp_path):
    """A database on the shared server."""
    made = server_database(postgresql_url, tmp_path)
    yield made
    made.close()


@pytest.fixture
def inventory(database):
    return Inventory(database)


@pytest.fixture
def server(postgresql_server, postgresql_url):
    """The shared server, which a test may stop."""
    yield postgresql_server
    if postgresql_server.process is None:
        postgresql_server.start()
    postgresql_server.resume()


@pytest.fixture
def primary(tmp_path):
    """A server for one test."""
    with postgresql(tmp_path) as made:
        yield made


def in_processes(work, *arguments, processes=2, threads=1):
    """Call a function in threads of new processes at the same time, and return the results."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    results = context.SimpleQueue()
    started = [
        context.Process(target=_run, args=(barrier, results, work, threads, *arguments))
        for _ in range(processes)
    ]
    try:
        for process in started:
            process.start()
        for process in started:
            process.join(120)
            assert process.exitcode == 0
        return [result for _ in started for result in results.get()]
    finally:
        for process in started:
            process.kill()
            process.join()


def _run(barrier, results, work, threads, *arguments):
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        barrier.wait(100)
        works = [pool.submit(work, *arguments) for _ in range(threads)]
        results.put([each.result() for each in works])


@contextlib.contextmanager
def at_most(seconds):
    """Require that the block takes no longer."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


def add(inventory, *names, **values):
    """Store a certificate, and return its record."""
    record, keys = make_record(*names, **values)
    inventory.add(record, keys)
    return record


# Tables.


def create_tables(url, directory):
    database = server_database(url, directory, timeout_seconds=60)
    database.prepare()
    add(Inventory(database), "www.example.com")
    database.close()


def test_processes_that_start_at_once_create_the_tables_once(postgresql_url, tmp_path, database):
    in_processes(create_tables, postgresql_url, tmp_path, processes=2, threads=3)

    with database.read() as connection:
        assert [schema.HEAD] == [
            *connection.execute(text("SELECT * FROM alembic_version")).scalars()
        ]
    assert 6 == Inventory(database).count(Selection())


# The inventory.


def test_a_certificate_is_found_with_everything_that_was_stored(inventory):
    record = add(
        inventory, "www.example.com", names=("DNS:www.example.com", "CN:ü ß"), der=bytes(300)
    )
    imported = add(inventory, "old.example.com", issuance=None)

    assert record == inventory.find(record.fingerprint)
    assert imported == inventory.find(imported.fingerprint)
    assert inventory.find("0" * 64) is None
    assert [record] == inventory.starting_with(record.fingerprint[:12], 5)


def test_filters_select_certificates(inventory):
    bob = dataclasses.replace(make_record()[0].issuance, requester="Bob", authority="other")
    first = add(inventory, "a.example.com")
    second = add(inventory, "b.example.com", issuance=bob, not_after=MOMENT + 3 * HOUR)
    later = dataclasses.replace(first.issuance, issued_at=MOMENT + HOUR)
    third = add(inventory, "c.example.com", issuance=later, not_after=MOMENT + 2 * HOUR)

    for expected, selection in (
        ([first, third, second], Selection()),
        ([second], Selection(requester="BOB")),
        ([second], Selection(authority="other")),
        ([first], Selection(key=first.key[:10])),
        ([third], Selection(serial=third.serial)),
        ([third, second], Selection(ends_from=MOMENT + 2 * HOUR)),
        ([first], Selection(ends_before=MOMENT + 2 * HOUR)),
        ([third], Selection(issued_since=MOMENT + HOUR)),
        ([], Selection(requester="bob", ends_before=MOMENT)),
    ):
        assert expected == list(inventory.select(selection))
        assert len(expected) == inventory.count(selection)
        ends = [record.not_after for record in expected]
        assert max(ends, default=None) == inventory.last_end(selection)


NAMES = [
    "example.com",
    "www.example.com",
    "*.example.com",
    "a.b.example.com",
    "www-1.example.com",
    "www.example.org",
    "wwwexample.com",
    "192.0.2.1",
    "192.0.2.200",
    "2001:db8::1",
    "alice@example.com",
    "https://www.example.com/x",
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (query_valid_for("www.example.com"), {"www.example.com", "*.example.com"}),
        (query_valid_for("a.example.com"), {"*.example.com"}),
        (
            query_valid_for(".example.com"),
            {
                *("example.com", "www.example.com", "*.example.com", "a.b.example.com"),
                "www-1.example.com",
            },
        ),
        (query_valid_for("192.0.2.0/25"), {"192.0.2.1"}),
        (query_valid_for("192.0.2.0/24"), {"192.0.2.1", "192.0.2.200"}),
        (query_valid_for("2001:db8::/32"), {"2001:db8::1"}),
        (query_valid_for("alice@example.com"), {"alice@example.com"}),
        (
            query_overlapping("*.example.com"),
            {"www.example.com", "*.example.com", "www-1.example.com"},
        ),
    ],
    ids=["name", "wildcard", "suffix", "half network", "network", "IPv6", "mailbox", "ban"],
)
def test_names_are_found(inventory, query, expected):
    for name in NAMES:
        add(inventory, name)

    found = list(inventory.select(Selection(names=query)))

    assert {f"DNS:{name}" for name in expected} == {record.names[0] for record in found}
    assert len(expected) == len(found)


def test_long_names_are_stored_and_found(inventory):
    """PostgreSQL cannot index more than 2704 bytes."""
    tail = ".".join(["x" * 63] * 60)
    one, other = (add(inventory, f"{first}.{tail}") for first in "ab")
    add(inventory, f"https://example.com/{'y' * 9000}", subject="z" * 100_000)

    assert [one] == list(inventory.select(Selection(names=query_valid_for(f"a.{tail}"))))
    found = list(inventory.select(Selection(names=query_valid_for(f".{tail}"))))
    assert {one.fingerprint, other.fingerprint} == {record.fingerprint for record in found}


def test_a_name_with_nul_is_refused_cleanly(inventory):
    record, _ = make_record("a.example.com")
    with pytest.raises(StorageError, match="NUL"):
        inventory.add(record, {"a\0b": "dns:a\0b"})

    assert 0 == inventory.count(Selection())
    add(inventory, "a.example.com")


@pytest.mark.parametrize("value", ["a\0b", "\udcff"], ids=["NUL", "no Unicode"])
def test_other_values_that_postgresql_refuses_are_escaped(database, value):
    inventory, bans = Inventory(database), Bans(database)
    issuance = dataclasses.replace(make_record()[0].issuance, requester=value, address=value)
    record = add(inventory, "a.example.com", subject=f"CN={value}", issuance=issuance)
    ban = Ban(kind="requester", value=value, since=MOMENT)
    bans.add(ban)

    assert [record.fingerprint] == [
        found.fingerprint for found in inventory.select(Selection(requester=value))
    ]
    assert 1 == len(bans.find(ban_keys(ban), MOMENT))
    assert bans.remove("requester", value)


def test_the_order_of_the_database_changes_nothing(postgresql_server, tmp_path):
    """In Danish, `aa` is a letter after `z`; many languages ignore punctuation first."""
    name = f"danish_{free_port()}"
    postgresql_server.sql(
        f"CREATE DATABASE {name} OWNER anchor TEMPLATE template0 LOCALE_PROVIDER icu "
        "ICU_LOCALE 'da-DK-u-ka-shifted'"
    )
    database = server_database(postgresql_server.url_of(name), tmp_path)
    inventory = Inventory(database)
    try:
        values = {"fingerprint": "aa" * 32, "key": "aa" * 32}
        record = add(inventory, "www.aa.example.com", "aa.www.example.com", **values)
        for other in NAMES:
            add(inventory, other, fingerprint=f"b{secrets.token_hex(31)}b", key="bb" * 32)

        assert [record] == inventory.starting_with("a", 5)
        assert [record] == list(inventory.select(Selection(key="a")))
        for query in ("aa.www.example.com", ".aa.example.com", ".www.example.com"):
            found = inventory.select(Selection(names=query_valid_for(query)))
            assert record.fingerprint in {each.fingerprint for each in found}
        found = list(inventory.select(Selection(names=query_valid_for(".example.com"))))
        assert 6 == len(found)
    finally:
        database.close()
        postgresql_server.drop_database(name)


def test_pages_have_every_certificate_once(inventory):
    many = [make_record(f"host{number}.example.com", "all.example.com") for number in range(2100)]
    assert 2100 == inventory.add_all(many)
    assert 0 == inventory.add_all(many[:5])

    fingerprints = sorted(record.fingerprint for record, _ in many)
    for selection in (Selection(), Selection(names=query_valid_for(".example.com"))):
        assert fingerprints == sorted(record.fingerprint for record in inventory.select(selection))
    assert 2100 == sum(inventory.prune(MOMENT + 2 * HOUR))
    assert 0 == inventory.count(Selection())


@pytest.mark.parametrize("field", ["serial", "fingerprint"])
def test_a_duplicate_is_a_storage_error(inventory, field):
    first = add(inventory, "a.example.com")

    with pytest.raises(StorageError, match="duplicate"):
        add(inventory, "b.example.com", **{field: getattr(first, field)})

    assert [first] == list(inventory.select(Selection()))
    assert [] == list(inventory.select(Selection(names=query_valid_for("b.example.com"))))


# Bans.


def test_a_ban_holds_until_it_ends_or_is_lifted(database):
    bans = Bans(database)
    ban = Ban(kind="name", value="www.example.com", since=MOMENT, until=MOMENT + HOUR, reason="ü")
    bans.add(ban)
    bans.add(Ban(kind="requester", value="bob", since=MOMENT))

    [key] = found_keys = ["name www.example.com"]
    assert [ban] == list(bans.find(found_keys, MOMENT))
    assert [ban] == list(bans.find([key, *(f"name {n}" for n in range(2000))], MOMENT))
    assert [] == list(bans.find(found_keys, MOMENT + HOUR))
    assert bans.bans_names(MOMENT) and not bans.bans_names(MOMENT + HOUR)
    assert 2 == len(bans.all())
    assert bans.remove("name", "WWW.example.com") and not bans.remove("name", "www.example.com")
    assert [] == list(bans.find(found_keys, MOMENT))


def test_a_ban_of_a_long_value_is_found(database):
    bans = Bans(database)
    for first in "ab":
        value = f"{first}{'x' * 10_000}"
        bans.add(Ban(kind="requester", value=value, since=MOMENT))
        [found] = bans.find([f"requester {value}"[:255]], MOMENT)
        assert value == found.value


def ban_many(url, directory):
    bans = Bans(server_database(url, directory, timeout_seconds=60))
    for turn in range(10):
        bans.add(
            Ban(kind="name", value="www.example.com", since=MOMENT, reason=secrets.token_hex(4))
        )
        bans.remove("name", f"host{turn}.example.com")
        bans.add(Ban(kind="name", value=f"host{turn}.example.com", since=MOMENT))
    bans.database.close()


def test_bans_made_at_the_same_time_replace_each_other(database, postgresql_url, tmp_path):
    database.prepare()
    in_processes(ban_many, postgresql_url, tmp_path, threads=3)

    values = sorted(ban.value for ban in Bans(database).all())
    assert sorted(["www.example.com", *(f"host{turn}.example.com" for turn in range(10))]) == values


# Failures.


def fail(url, directory, turns):
    """Count failures, also under keys that expire while others are counted."""
    database = server_database(url, directory, timeout_seconds=60)
    failures = Failures(database)
    counts = []
    for _ in range(turns):
        short = dict.fromkeys(random.sample("bcdefgh", 3), 0.005)
        counts.append(failures.add({"a": 3600, **short})["a"].failures)
    database.close()
    return counts


def test_failures_counted_at_the_same_time_are_exact(database, postgresql_url, tmp_path):
    database.prepare()
    results = in_processes(fail, postgresql_url, tmp_path, 20, threads=RACE // 2)

    assert [*range(1, 20 * RACE + 1)] == sorted(count for result in results for count in result)
    assert 20 * RACE == Failures(database).read({"a": 3600, "none": 3600})["a"].failures


# Away.


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_after_a_restart_the_same_database_works(server, database, inventory, way):
    record = add(inventory, "a.example.com")
    getattr(server, way)()
    with at_most(BOUND), pytest.raises(DatabaseUnavailable):
        add(inventory, "b.example.com")
    with at_most(BOUND), pytest.raises(DatabaseUnavailable):
        Bans(database).find(["name a"], MOMENT)
    assert not database.is_up()
    server.start()

    other = add(inventory, "c.example.com")

    assert database.is_up()
    assert [record, other] == list(inventory.select(Selection()))


def test_a_server_that_does_not_run_at_the_start_is_used_later(server, database, inventory):
    server.stop()
    with pytest.raises(DatabaseUnavailable):
        add(inventory, "a.example.com")
    server.start()

    add(inventory, "a.example.com")


def test_a_paused_server_is_not_waited_for(server, database, inventory):
    add(inventory, "a.example.com")
    server.pause()
    # The ping on the open connection, and then a new connection.
    with at_most(BOUND + 2), pytest.raises(DatabaseUnavailable):
        add(inventory, "b.example.com")
    # Without an open connection.
    with at_most(BOUND), pytest.raises(DatabaseUnavailable):
        Failures(database).read({"a": 3600})
    with at_most(BOUND):
        assert not database.is_up()
    server.resume()

    add(inventory, "c.example.com")


def execute(opened):
    """Execute a statement in an open transaction."""
    if isinstance(opened, Transaction):
        opened.execute(Statement(text("SELECT 1")), {})
    else:
        opened.execute(text("SELECT 1"))


@pytest.mark.parametrize("kind", ["transaction", "write", "read"])
def test_a_pause_in_the_middle_of_a_transaction_is_bounded(server, database, kind):
    database.prepare()

    def pause_before_statement():
        with getattr(database, kind)() as opened:
            server.pause()
            execute(opened)

    with at_most(BOUND), pytest.raises(DatabaseUnavailable, match="respond"):
        pause_before_statement()
    server.resume()
    database.ready()


@pytest.mark.parametrize("kind", ["transaction", "write"])
def test_a_pause_before_a_commit_is_bounded(server, database, kind):
    database.prepare()

    def pause_before_commit():
        with getattr(database, kind)() as opened:
            execute(opened)
            server.pause()

    with at_most(BOUND), pytest.raises(DatabaseUnavailable, match="respond"):
        pause_before_commit()
    server.resume()
    database.ready()


def test_a_statement_that_waits_for_a_lock_is_bounded(server, postgresql_url, inventory):
    add(inventory, "a.example.com")
    with inventory.database.write() as connection:
        connection.execute(text("LOCK TABLE certificates"))
        with at_most(BOUND), pytest.raises(DatabaseUnavailable, match="timeout"):
            add(inventory, "b.example.com")
    add(inventory, "c.example.com")


def test_a_connection_that_the_server_closed_is_not_noticed(server, postgresql_url, inventory):
    for _ in range(3):
        add(inventory, "a.example.com")
        name = urlsplit(postgresql_url).path.removeprefix("/")
        ended = server.sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            f"WHERE datname = '{name}' AND application_name = 'anchor'"
        )
        assert "1" == ended
    add(inventory, "b.example.com")


def test_a_read_only_server_is_unavailable_and_passes(server, postgresql_url, inventory):
    add(inventory, "a.example.com")
    name = urlsplit(postgresql_url).path.removeprefix("/")
    server.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    inventory.database.close()
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable, match="read-only"):
            add(inventory, "b.example.com")
        with pytest.raises(DatabaseUnavailable, match="read-only"):
            inventory.database.ready()
    server.sql(f"ALTER DATABASE {name} RESET default_transaction_read_only")

    add(inventory, "c.example.com")


# Messages.


def messages(error):
    while error is not None:
        yield repr(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    "where",
    ["wrong password", "unknown host", "no server", "unknown database", "silent server"],
)
def test_messages_do_not_contain_the_password(tmp_path, where):
    with contextlib.ExitStack() as stack:
        if where in ("wrong password", "unknown database"):
            server = stack.enter_context(postgresql(tmp_path, password="right"))
            port, host = server.port, server.host
        elif where == "silent server":
            host, port = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()
        else:
            port, host = free_port(), "127.0.0.1"
        host = "database.invalid" if where == "unknown host" else host
        password = "right" if where == "unknown database" else "s3cr3t-word"
        name = "missing" if where == "unknown database" else "anchor"
        url = f"postgresql://anchor:{password}@{host}:{port}/{name}"
        database = server_database(url, tmp_path)

        with at_most(30), pytest.raises(DatabaseUnavailable) as caught:
            database.prepare()

        assert str(database) in str(caught.value)
        for message in (str(database), *messages(caught.value)):
            assert password not in message


# Replicas.


def test_a_commit_without_its_replica_is_bounded_and_unavailable(primary, tmp_path):
    database = server_database(primary.url, tmp_path)
    inventory = Inventory(database)
    replica = primary.replica(tmp_path, synchronous=True)
    kept = add(inventory, "a.example.com")

    replica.kill()
    with at_most(BOUND), pytest.raises(DatabaseUnavailable, match="replica"):
        add(inventory, "b.example.com")
    with at_most(BOUND), pytest.raises(DatabaseUnavailable, match="replica"):
        Failures(database).add({"a": 60})
    with at_most(BOUND), pytest.raises(DatabaseUnavailable, match="replica"):
        database.ready()
    # Reading waits for no replica.
    assert kept == inventory.find(kept.fingerprint)

    replica.start()
    wait_for(lambda: _adds(inventory), what="the replica to confirm commits")
    database.close()


def _adds(inventory):
    with contextlib.suppress(DatabaseUnavailable):
        return add(inventory, "c.example.com")


@pytest.mark.parametrize(
    ("default", "expected"),
    [
        ("off", "on"),
        ("local", "on"),
        ("remote_write", "on"),
        ("on", "on"),
        ("remote_apply", "remote_apply"),
    ],
)
def test_commits_are_durable_whatever_the_server_prefers(
    postgresql_server, postgresql_url, database, default, expected
):
    name = urlsplit(postgresql_url).path.removeprefix("/")
    postgresql_server.sql(f"ALTER DATABASE {name} SET synchronous_commit = {default}")

    for opened in (database.read, database.write):
        with opened() as connection:
            shown = connection.execute(text("SHOW synchronous_commit")).scalar()
            assert expected == shown


def test_only_a_commit_that_need_not_be_durable_does_not_wait_for_the_disk(database):
    shown = Statement(text("SHOW synchronous_commit"))

    # The server's connection is the same one each time.
    for durable, expected in ((False, "off"), (True, "on"), (False, "off"), (True, "on")):
        with database.transaction(durable=durable) as transaction:
            assert transaction.rows(shown, {}) == [(expected,)]


def test_after_a_fail_over_the_same_database_works_and_nothing_is_lost(primary, tmp_path):
    replica = primary.replica(tmp_path, synchronous=True)
    # Only the primary accepts writes at first.
    hosts = "&".join(f"host={server.host}:{server.port}" for server in (replica, primary))
    url = f"postgresql://anchor@/anchor?{hosts}"
    inventory = Inventory(server_database(url, tmp_path))
    added = [add(inventory, f"host{number}.example.com") for number in range(20)]

    primary.kill()
    with at_most(2 * BOUND), pytest.raises(DatabaseUnavailable):
        add(inventory, "lost.example.com")
    replica.promote()
    started = time.monotonic()
    added.append(wait_for(lambda: _adds(inventory), what="the promoted replica"))

    assert time.monotonic() - started < 10
    stored = {record.fingerprint for record in inventory.select(Selection())}
    assert {record.fingerprint for record in added} == stored
    inventory.database.close()


# Versions.


def test_a_notice_in_another_language_is_understood():
    """PostgreSQL translates the message, but not the place in its source."""
    german = SimpleNamespace(
        severity_nonlocalized="WARNING",
        source_function="SyncRepWaitForLSN",
        message_primary="storniere Warten auf synchrone Replikation wegen Benutzeraufforderung",
    )
    other = SimpleNamespace(
        severity_nonlocalized="WARNING", source_function="x", message_primary="replication slot"
    )
    assert gave_up_replica(german)
    assert not gave_up_replica(other)


def test_a_migration_may_take_longer_than_a_request(database):
    with database.write() as connection:
        lift_limits(connection)
        connection.execute(text("SELECT pg_sleep(2.5)"))

    with pytest.raises(DatabaseUnavailable), database.write() as connection:
        connection.execute(text("SELECT pg_sleep(60)"))
