"""A SQLite file that is removed, replaced, locked or forked with while the service uses it."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sqlite3
import stat
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import insert, text

from anchor.errors import ConfigurationError, DatabaseUnavailable, StorageError
from anchor.store.bans import Ban
from anchor.store.database.bans import Bans
from anchor.store.database.engine import Database
from anchor.store.database.settings import locate_database
from anchor.store.database.statements import Statement
from anchor.store.database.tables import IMPORTS
from anchor.timestamps import utc_now

NORMAL, FULL = 1, 2  # SQLite's numbers for the values of `PRAGMA synchronous`


def open_database(directory, **options):
    """The database ``anchor.db`` in a directory."""
    return Database(locate_database({"timeout_seconds": 0.2, **options}, directory))


def ban_of(name):
    return Ban(kind="name", value=name, since=utc_now())


@pytest.fixture
def bans(tmp_path):
    """Bans in a database that is in use."""
    found = Bans(open_database(tmp_path))
    found.add(ban_of("first.example.com"))
    yield found
    found.database.close()


REMEMBER = Statement(
    insert(IMPORTS).returning(IMPORTS.c.imported_at), ["content_hash", "imported_at"]
)


def remember(database, content_hash):
    with database.transaction() as transaction:
        transaction.rows(REMEMBER, {"content_hash": content_hash, "imported_at": 0})


def assert_is_refused(bans, match):
    """Nothing can be read or written, and the service is not ready."""
    for use in (lambda: bans.add(ban_of("lost.example.com")), bans.all, bans.database.ready):
        with pytest.raises(DatabaseUnavailable, match=match):
            use()


def test_a_new_file_belongs_to_its_owner_alone(bans, tmp_path):
    assert stat.S_IMODE((tmp_path / "anchor.db").stat().st_mode) == 0o600


def test_a_file_that_was_removed_is_noticed(bans, tmp_path):
    (tmp_path / "anchor.db").unlink()

    assert_is_refused(bans, "was removed or replaced while it was in use: restart the service")
    assert not (tmp_path / "anchor.db").exists()


def test_a_new_file_never_replaces_one_whose_log_has_commits(bans, tmp_path):
    bans.add(ban_of("second.example.com"))
    (tmp_path / "anchor.db").rename(tmp_path / "moved.db")

    with pytest.raises(ConfigurationError, match=r"but its log .*anchor\.db-wal does: move the"):
        open_database(tmp_path).prepare()

    assert not (tmp_path / "anchor.db").exists()
    (tmp_path / "moved.db").rename(tmp_path / "anchor.db")
    again = Bans(open_database(tmp_path))
    assert [ban.value for ban in again.all()] == ["first.example.com", "second.example.com"]


def test_an_empty_log_without_a_file_does_not_keep_the_database_from_being_made(tmp_path):
    (tmp_path / "anchor.db-wal").touch()

    open_database(tmp_path).prepare()

    assert (tmp_path / "anchor.db").exists()


def test_a_directory_that_was_removed_is_noticed(bans, tmp_path):
    directory = tmp_path / "below"
    directory.mkdir()
    inner = Bans(open_database(directory))
    inner.add(ban_of("first.example.com"))
    shutil.rmtree(directory)

    assert_is_refused(inner, "was removed or replaced")


def test_a_file_that_was_replaced_is_noticed(bans, tmp_path):
    shutil.copy(tmp_path / "anchor.db", tmp_path / "restored.db")
    (tmp_path / "restored.db").replace(tmp_path / "anchor.db")

    assert_is_refused(bans, "was removed or replaced")


def test_a_process_that_is_forked_later_does_not_recreate_the_file(bans, tmp_path):
    bans.database.close()
    (tmp_path / "anchor.db").unlink()

    assert exit_code_of_a_child(lambda: assert_is_refused(bans, "was removed or replaced")) == 0
    assert not (tmp_path / "anchor.db").exists()


def exit_code_of_a_child(function):
    """The exit code of a forked process: 0 if the function raises no error."""
    child = os.fork()
    if not child:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_process_uses_connections_of_its_own(bans):
    assert exit_code_of_a_child(lambda: bans.add(ban_of("child.example.com"))) == 0

    bans.add(ban_of("parent.example.com"))
    assert {ban.value for ban in bans.all()} == {
        "first.example.com",
        "child.example.com",
        "parent.example.com",
    }


def test_threads_write_at_the_same_time(tmp_path):
    bans = Bans(open_database(tmp_path, timeout_seconds=30))

    def write(thread):
        for number in range(5):
            bans.add(ban_of(f"host{number}.thread{thread}.example.com"))

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(bans.all()) == 60
    bans.database.close()


@pytest.fixture
def locked(bans, tmp_path):
    """Another process writes; yields a function that ends its transaction."""
    other = sqlite3.connect(tmp_path / "anchor.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield lambda: other.execute("ROLLBACK")
    other.close()


def test_writing_waits_for_another_writer_for_a_limited_time(bans, locked):
    for _ in range(12):
        # More often than there are connections: none gets lost.
        with pytest.raises(DatabaseUnavailable, match="database is locked"):
            bans.add(ban_of("late.example.com"))
    assert len(bans.all()) == 1

    locked()
    bans.add(ban_of("late.example.com"))
    assert len(bans.all()) == 2


def test_a_process_starts_while_another_one_writes(locked, tmp_path):
    started = Bans(open_database(tmp_path))

    started.database.prepare()

    assert len(started.all()) == 1
    started.database.close()


def test_a_waiting_writer_tries_again_within_milliseconds(bans, locked, monkeypatch):
    # With SQLite's own pauses of up to 0.1 s, other writers overtake one until it times out.
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            locked()

    monkeypatch.setattr(time, "sleep", sleep)
    bans.add(ban_of("late.example.com"))

    assert len(pauses) == 3
    assert max(pauses) < 0.01
    assert len(bans.all()) == 2


@pytest.mark.parametrize("contents", [b"garbage" * 1000, b"SQLite format 3\0" + bytes(4080)])
def test_a_damaged_file_is_an_error(tmp_path, contents):
    path = tmp_path / "anchor.db"
    path.write_bytes(contents)
    path.chmod(0o600)
    database = open_database(tmp_path)

    with pytest.raises((StorageError, DatabaseUnavailable), match=r"anchor\.db: "):
        database.prepare()


@pytest.mark.parametrize("mode", [0o620, 0o604, 0o602, 0o644])
def test_a_file_that_others_can_use_is_rejected(bans, tmp_path, mode):
    bans.database.close()
    (tmp_path / "anchor.db").chmod(mode)

    with pytest.raises(ConfigurationError, match="is open to other users: chmod 600"):
        open_database(tmp_path).prepare()


@pytest.mark.parametrize("kind", ["directory", "pipe"])
def test_something_else_at_the_path_is_rejected(tmp_path, kind):
    path = tmp_path / "anchor.db"
    path.mkdir() if kind == "directory" else os.mkfifo(path)

    with pytest.raises(ConfigurationError, match="is no regular file"):
        open_database(tmp_path).prepare()


def test_a_full_disk_is_an_error_that_passes(tmp_path):
    bans = Bans(open_database(tmp_path))
    bans.add(ban_of("first.example.com"))
    with bans.database.read() as connection:
        # The limit holds for this connection, which is the only one.
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    long = ban_of("long.example.com").model_copy(update={"reason": "x" * 10_000})

    with pytest.raises(DatabaseUnavailable, match="database or disk is full"):
        bans.add(long)
    assert [ban.value for ban in bans.all()] == ["first.example.com"]

    with bans.database.read() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    bans.add(long)
    assert len(bans.all()) == 2
    bans.database.close()


def test_text_that_is_not_unicode_is_escaped(bans):
    bans.add(ban_of("a\udc80.example.com"))

    assert "a\\udc80.example.com" in [ban.value for ban in bans.all()]


def test_nothing_is_opened_before_the_first_use(tmp_path):
    open_database(tmp_path).close()

    assert list(Path(tmp_path).iterdir()) == []


def test_a_transaction_that_failed_locks_nobody_out(bans, tmp_path):
    remember(bans.database, "a")
    with pytest.raises(StorageError, match="UNIQUE constraint failed") as error:
        remember(bans.database, "a")

    remember(open_database(tmp_path), "b")
    remember(bans.database, "c")
    # The cursor of the transaction that failed still exists, in the traceback.
    assert error.value.__traceback__ is not None


def test_a_transaction_that_its_caller_leaves_is_rolled_back(bans):
    def remember_and_fail():
        with bans.database.transaction() as transaction:
            transaction.rows(REMEMBER, {"content_hash": "a", "imported_at": 0})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        remember_and_fail()

    remember(bans.database, "a")


def test_a_database_that_nobody_uses_any_more_closes_its_file(tmp_path):
    database = open_database(tmp_path)
    remember(database, "a")
    del database
    gc.collect()

    opened = [os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()]
    assert str(tmp_path / "anchor.db") not in opened


@pytest.mark.usefixtures("real_databases")
def test_every_commit_waits_for_the_disk(tmp_path):
    database = open_database(tmp_path)
    pragma = text("PRAGMA synchronous")

    with database.read() as connection:
        assert FULL == connection.execute(pragma).scalar()
    with database.transaction() as transaction:
        assert [(FULL,)] == transaction.rows(Statement(pragma), {})
    database.close()


@pytest.mark.usefixtures("real_databases")
def test_only_a_commit_that_need_not_be_durable_does_not_wait_for_the_disk(tmp_path):
    database = open_database(tmp_path)
    pragma = Statement(text("PRAGMA synchronous"))

    for durable, expected in ((False, NORMAL), (True, FULL), (False, NORMAL), (True, FULL)):
        with database.transaction(durable=durable) as transaction:
            assert [(expected,)] == transaction.rows(pragma, {})
    database.close()


def test_a_commit_that_need_not_be_durable_survives_its_process(tmp_path):
    database, other = open_database(tmp_path), open_database(tmp_path)
    database.prepare()
    database.close()
    child = os.fork()
    if child == 0:
        with database.transaction(durable=False) as transaction:
            transaction.rows(REMEMBER, {"content_hash": "a", "imported_at": 0})
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)

    with pytest.raises(StorageError, match="UNIQUE"):
        remember(other, "a")
    other.close()
