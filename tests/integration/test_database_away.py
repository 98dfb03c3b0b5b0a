"""The service while its database is away, locked, full or replaced."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time

import pytest
from sqlalchemy import text

from anchor.errors import ConfigurationError
from anchor.store.ban_file import prepare_database
from anchor.store.database import schema
from anchor.store.database.engine import Database
from anchor.store.database.settings import locate_database
from tests.support.database import anchor_url
from tests.support.pki import make_csr
from tests.support.servers.processes import wait_for

AWAY = {"timeout_seconds": 1, "connect_timeout_seconds": 2}


@pytest.fixture
def server(postgresql_server, postgresql_url):
    """The shared server, which a test may stop."""
    yield postgresql_server
    if postgresql_server.process is None:
        postgresql_server.start()
    postgresql_server.resume()


@pytest.fixture
def on_server(serve, document, postgresql_url):
    """A service with a database on the shared server."""
    document["database"] = {"url": anchor_url(postgresql_url), **AWAY}
    service = serve(document)
    yield service
    service.settings.database.close()


@pytest.fixture
def on_file(serve, document, tmp_path):
    """A service with a SQLite file in a directory that a test may change."""
    (tmp_path / "state").mkdir()
    document["database"] = {"url": "sqlite:///state/anchor.db", "timeout_seconds": 0.3}
    service = serve(document)
    yield service
    service.settings.database.close()


def assert_works(service):
    """The service issues, and says that it is ready."""
    # Readiness is cached for a second.
    wait_for(lambda: service.http.get("/readyz", status="*").status_int == 200)
    service.issue()
    assert "1" == database_up(service)
    assert stored(service) == on_disk(service)


def assert_refuses(service, statuses=(503,), *, up="0"):
    """The service issues nothing and says why; returns how long a request took."""
    certificates = on_disk(service)
    started = time.monotonic()
    answer = service.sign()
    seconds = time.monotonic() - started

    assert answer.status_int in statuses
    assert "BEGIN CERTIFICATE" not in answer.text
    if answer.status_int == 503:
        assert int(answer.headers["Retry-After"]) > 0
        assert "the database cannot be used now" in answer.text
    assert certificates == on_disk(service)
    wait_for(lambda: service.http.get("/readyz", status="*").status_int == 503)
    assert "database" in service.http.get("/readyz", status=503).text
    assert up == database_up(service)
    # The process itself is alive.
    service.http.get("/healthz", status=200)
    return seconds


def database_up(service):
    """The value in the metrics."""
    text = service.http.get("/metrics", extra_environ={"REMOTE_ADDR": "127.0.0.1"}).text
    [value] = [line.split()[1] for line in text.splitlines() if line.startswith("anchor_database")]
    return value


def on_disk(service):
    return {path.stem for path in (service.path / "certs").glob("*.crt")}


def stored(service):
    with service.settings.database.read() as connection:
        return {*connection.execute(text("SELECT fingerprint FROM certificates")).scalars()}


@pytest.mark.parametrize("way", ["stop", "kill", "pause"])
def test_while_the_server_is_away_nothing_is_issued(server, on_server, way):
    assert_works(on_server)
    getattr(server, way)()

    assert assert_refuses(on_server) < 6
    assert assert_refuses(on_server) < 6

    if way == "pause":
        server.resume()
    else:
        server.start()
    assert_works(on_server)


def test_a_service_that_starts_without_its_server_works_later(
    server, serve, document, postgresql_url
):
    server.stop()
    document["database"] = {"url": anchor_url(postgresql_url), **AWAY}
    service = serve(document)
    assert_refuses(service)
    server.start()

    assert_works(service)
    service.settings.database.close()


def test_bans_that_cannot_be_imported_prevent_the_start(server, postgresql_url, tmp_path):
    """Without them, the service would sign for banned requesters once its server is back."""
    database = Database(locate_database({"url": anchor_url(postgresql_url), **AWAY}, tmp_path))
    server.stop()
    prepare_database(database, tmp_path / "bans.json")
    (tmp_path / "bans.json").write_text("[]")

    with pytest.raises(ConfigurationError, match=r"bans.json cannot be imported"):
        prepare_database(database, tmp_path / "bans.json")

    server.start()
    prepare_database(database, tmp_path / "bans.json")


def test_a_wrong_secret_is_not_answered_without_the_server(server, on_server):
    on_server.sign(secret="wrong", status=401)
    server.stop()
    on_server.sign(secret="wrong", status=503)
    server.start()
    on_server.sign(secret="wrong", status=401)


def test_a_read_only_server_is_a_503(server, on_server, postgresql_url):
    assert_works(on_server)
    name = postgresql_url.rpartition("/")[2]
    server.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    on_server.settings.database.close()

    assert_refuses(on_server, up="1")

    server.sql(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert_works(on_server)


# A newer version has migrated the database while this one still serves.

UPGRADE = [
    *(
        f"ALTER TABLE {table} ADD COLUMN note TEXT"
        for table in ("certificates", "certificate_names", "bans", "ban_keys", "failures")
    ),
    "CREATE TABLE something (id INTEGER PRIMARY KEY)",
]


def use_everything(service):
    for number in range(8):
        # More than five times: then the driver has prepared the statements.
        service.issue(make_csr(f"host{number}.example.com"))
        service.sign(secret="wrong", status=401)


@pytest.fixture(params=["postgresql", "sqlite"])
def start(request, serve, document):
    """Starts the service again on the same database."""
    if request.param == "postgresql":
        document["database"] = {"url": anchor_url(request.getfixturevalue("postgresql_url"))}
    document["registration_authority"]["default"]["max_failures"] = 0
    with contextlib.ExitStack() as stack:

        def start_again():
            service = serve(document)
            stack.callback(service.settings.database.close)
            return service

        yield start_again


def set_version(service, version):
    with service.settings.database.write() as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{version:04}'"))


def test_this_version_serves_on_after_the_next_one_has_migrated(start):
    service = start()
    use_everything(service)
    with service.settings.database.write() as connection:
        for statement in UPGRADE:
            connection.execute(text(statement))
    set_version(service, int(schema.HEAD) + 1)

    use_everything(service)
    service.settings.database.close()
    use_everything(service)
    assert_works(start())

    set_version(service, int(schema.HEAD) + 2)
    assert_refuses(start(), (500,))


# SQLite.


def test_a_file_that_another_process_locks_is_a_503(on_file, caplog):
    assert_works(on_file)
    hold = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1])\n"
        "connection.execute('BEGIN EXCLUSIVE')\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, on_file.path / "state/anchor.db"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        try:
            assert b"locked\n" == holder.stdout.readline()
            # WAL: others read while one writes.
            assert 0.3 <= assert_refuses(on_file, up="1") < 3
            logged = [each for each in caplog.records if "locked" in each.getMessage()]
            # One line for each request.
            assert logged
            assert not any(each.exc_info for each in logged)
        finally:
            holder.kill()

    assert_works(on_file)


@pytest.fixture
def small_disk(tmp_path):
    """A small file system in the directory ``state``."""
    (tmp_path / "state").mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", tmp_path / "state"]
    assert 0 == subprocess.run(mount, check=False).returncode, "this needs to be root"
    yield tmp_path / "state"
    subprocess.run(["umount", "--lazy", tmp_path / "state"], check=True)


def test_a_full_disk_is_an_error_that_passes(small_disk, serve, document):
    document["database"] = {"url": "sqlite:///state/anchor.db", "timeout_seconds": 0.3}
    service = serve(document)
    assert_works(service)
    filler = small_disk / "filler"
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={filler}", "bs=4k"], check=False, stderr=subprocess.DEVNULL
    )
    # There is room in the pages that the file already has.
    wait_for(lambda: service.sign().status_int != 200, what="the disk to be full")

    assert_refuses(service, (500, 503), up="1")

    filler.unlink()
    assert_works(service)
    service.settings.database.close()


def test_a_file_that_was_replaced_is_not_used(on_file):
    assert_works(on_file)
    path = on_file.path / "state/anchor.db"
    shutil.copy(path, on_file.path / "copy")
    (on_file.path / "copy").rename(path)

    assert_refuses(on_file, (500, 503))


def test_a_file_that_was_removed_is_not_made_again(on_file):
    assert_works(on_file)
    (on_file.path / "state/anchor.db").unlink()

    assert_refuses(on_file, (500, 503))

    assert not (on_file.path / "state/anchor.db").exists()


def test_a_read_only_file_system_is_an_error_that_passes(small_disk, serve, document):
    document["database"] = {"url": "sqlite:///state/anchor.db", "timeout_seconds": 0.3}
    service = serve(document)
    assert_works(service)
    service.settings.database.close()
    # Open files would keep the file system from becoming read-only.
    remount = ["mount", "-o", "remount,ro", small_disk]
    subprocess.run(remount, check=True)

    assert_refuses(service, (500, 503))

    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert_works(service)
    service.settings.database.close()


def test_damaged_contents_are_an_error(on_file):
    assert_works(on_file)
    on_file.settings.database.close()
    path = on_file.path / "state/anchor.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with path.open("r+b") as file:
        file.write(os.urandom(4096))

    assert_refuses(on_file, (500, 503))
