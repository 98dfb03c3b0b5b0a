"""PostgreSQL in private directories, with replicas, crashes and pauses."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.paths import CACHE
from tests.support.servers.processes import PATIENCE, alive, descendants, free_port, wait_for

_INSTALLED = Path("/usr/lib/postgresql")
# Debian's package makes this user.  PostgreSQL refuses to run as root.
_USER = "postgres"

# mmap: a crash leaves no files in /dev/shm.
_CONFIGURATION = """
max_connections = 100
dynamic_shared_memory_type = mmap
"""
_NOT_DURABLE = """
fsync = off
full_page_writes = off
"""
# Only root and the server's user can reach the socket, so the superuser needs no password there.
_ACCESS = """
local all postgres trust
local all all {method}
host all postgres all reject
host all all all {method}
host replication replicator all {method}
"""


@dataclass
class PostgreSQL:
    """A server with a role and a database named ``anchor``.

    Attributes:
        host: the address on which the server listens.
        port: the TCP port, which is also in the name of the Unix socket.
        directory: contains the Unix socket and the data.
        log: the server's messages.
        password: the password of ``anchor`` and ``replicator``; None if they need none.
        under: a program that runs the server, with its arguments.
        process: the main process; None if the server is stopped.
    """

    host: str
    port: int
    directory: Path
    log: Path
    password: str | None
    under: tuple
    replicas: contextlib.ExitStack
    process: subprocess.Popen | None = None

    @property
    def url(self):
        """SQLAlchemy's URL of the database ``anchor``."""
        return self.url_of("anchor")

    def url_of(self, database):
        """SQLAlchemy's URL of a database, for the role ``anchor``."""
        secret = "" if self.password is None else f":{quote(self.password, safe='')}"
        return f"postgresql+psycopg://anchor{secret}@{self.host}:{self.port}/{database}"

    @property
    def data(self):
        return self.directory / "data"

    @property
    def name(self):
        """The name of a replica for ``synchronous_standby_names``."""
        return f"server_{self.port}"

    def sql(self, statement, *, database="anchor", user="postgres", timeout=PATIENCE):
        """Execute a statement, by default as the superuser.

        Returns:
            The rows as text, with ``|`` between columns.

        Raises:
            subprocess.TimeoutExpired: the server did not respond in time.
        """
        psql = [_program("psql"), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]
        psql += ["--set=ON_ERROR_STOP=1", f"--host={self.directory}", f"--port={self.port}"]
        psql += [f"--username={user}", f"--dbname={database}", f"--command={statement}"]
        finished = subprocess.run(
            psql,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        assert finished.returncode == 0, f"{statement}: {finished.stderr}"
        return finished.stdout.strip()

    def create_database(self, name):
        """Create an empty database that belongs to ``anchor``, and return its URL."""
        self.sql(f'CREATE DATABASE "{name}" OWNER anchor')
        return self.url_of(name)

    def drop_database(self, name):
        """Drop a database, and end the connections to it."""
        self.sql(f'DROP DATABASE "{name}" WITH (FORCE)')

    def start(self):
        """Start the server, and wait until it accepts connections."""
        assert self.process is None, "the server has been started already"
        command = [*self.under, *_as_user(), _program("postgres"), "-D", self.data]
        for setting in (
            f"listen_addresses={self.host}",
            f"port={self.port}",
            f"unix_socket_directories={self.directory}",
            f"cluster_name={self.name}",
        ):
            command += ["-c", setting]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        wait_for(self._ready, self.process, f"PostgreSQL to be ready (its log: {self.log})")

    def stop(self):
        """Stop the server; its clients are disconnected."""
        if self.process is not None:
            self.resume()
            # The signal for "fast shutdown": do not wait until clients disconnect.
            self.process.send_signal(signal.SIGINT)
            self.process.wait(PATIENCE)
            self.process = None

    def restart(self):
        self.stop()
        self.start()

    def kill(self):
        """Crash: kill all processes of the server, also while it is paused."""
        if self.process is not None:
            processes = self._frozen()
            # The main process last: without it, the others would say goodbye to their clients.
            _send(signal.SIGKILL, reversed(processes))
            self.process.wait()
            wait_for(lambda: not alive(processes), what="the processes of PostgreSQL to end")
            self._remove_shared_memory()
            self.process = None

    def pause(self):
        """Stop all processes from running; connections stay open, but get no response."""
        _send(signal.SIGSTOP, self._frozen())

    def resume(self):
        """Let paused processes run again."""
        _send(signal.SIGCONT, descendants(self.process.pid))

    def replica(self, directory, *, address=None, under=(), synchronous=False):
        """Start a streaming replica, which ends with this server.

        Args:
            directory: for the log.
            address: where the replica listens; by default the address of this server.
            under: a program that runs the replica, with its arguments.
            synchronous: True if this server waits for the replica before a commit succeeds. With
                several synchronous replicas it waits for one of them.
        """
        made = self.replicas.enter_context(
            _new(directory, address or self.host, self.password, under)
        )
        backup = [*under, *_as_user(), _program("pg_basebackup")]
        backup += [f"--host={self.host}", f"--port={self.port}", "--username=replicator"]
        backup += ["--checkpoint=fast", "--no-sync", "--write-recovery-conf", "--pgdata", made.data]
        _run(backup, cwd=made.directory, env=self._environment)
        with (made.data / "postgresql.auto.conf").open("a") as settings:
            # This setting of the primary was copied.
            settings.write("synchronous_standby_names = ''\n")
        made.start()
        self._wait_for_replica(made, "state", ["streaming"])
        if synchronous:
            self._wait_for_commits_on(made)
        return made

    def promote(self):
        """Make this replica a primary."""
        assert self.sql("SELECT pg_promote()") == "t", f"not promoted (log: {self.log})"

    def _wait_for_commits_on(self, replica):
        current = self.sql("SHOW synchronous_standby_names")
        names = [*current.removeprefix("ANY 1 (").removesuffix(")").split(", "), replica.name]
        self.sql(
            "ALTER SYSTEM SET synchronous_standby_names = "
            f"'ANY 1 ({', '.join(filter(None, names))})'"
        )
        self.sql("SELECT pg_reload_conf()")
        self._wait_for_replica(replica, "sync_state", ["quorum"])

    def _wait_for_replica(self, replica, column, values):
        query = f"SELECT {column} FROM pg_stat_replication WHERE application_name='{replica.name}'"
        wait_for(lambda: self.sql(query) in values, what=f"{column} of the replica to be {values}")

    def _initialise(self, durable):
        shutil.copytree(_initialised(), self.data)
        _give_to_user(self.data)
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write(_CONFIGURATION + ("" if durable else _NOT_DURABLE))
        method = "trust" if self.password is None else "scram-sha-256"
        (self.data / "pg_hba.conf").write_text(_ACCESS.format(method=method))
        self.start()
        quoted = (self.password or "").replace("'", "''")
        secret = f"PASSWORD '{quoted}'" if quoted else ""
        self.sql(
            f"CREATE ROLE anchor LOGIN {secret}; CREATE ROLE replicator LOGIN REPLICATION {secret}",
            database="postgres",
        )
        self.sql("CREATE DATABASE anchor OWNER anchor", database="postgres")

    @property
    def _environment(self):
        secret = {} if self.password is None else {"PGPASSWORD": self.password}
        return {**os.environ, "HOME": str(self.directory), **secret}

    def _postmaster_pid(self):
        """The lines of the file postmaster.pid; empty if it is missing or incomplete."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return lines if len(lines) == 8 else []
        return []

    def _ready(self):
        lines = self._postmaster_pid()
        # After a crash the file of the previous start still exists.
        return lines and lines[0] == str(self.process.pid) and lines[7].strip() == "ready"

    def _frozen(self):
        """The ids of all processes, after the main process was stopped: it makes no new ones."""
        main = self.process.pid
        self.process.send_signal(signal.SIGSTOP)
        if self.process.returncode is None:
            os.waitid(os.P_PID, main, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        return descendants(main)

    def _remove_shared_memory(self):
        lines = self._postmaster_pid()
        if lines:
            _, identifier = lines[6].split()
            subprocess.run(["ipcrm", "--shmem-id", identifier], check=False, capture_output=True)


@contextlib.contextmanager
def postgresql(directory, *, address="127.0.0.1", durable=False, password=None, under=()):
    """Run PostgreSQL until the end of the block.

    Args:
        directory: for the log. The data is in another directory, because the server's user cannot
            reach ``tmp_path``.
        address: the address on which the server listens, beside a Unix socket.
        durable: True for a server that waits until data is on the disk.
        password: the password of the role ``anchor``, which otherwise needs none.
        under: a program that runs the server, with its arguments, for example
            :attr:`tests.support.servers.nodes.Node.command`.
    """
    _program("postgres")
    with _new(directory, address, password, under) as server:
        server._initialise(durable)
        yield server


@contextlib.contextmanager
def _new(directory, address, password, under):
    """A server without data; it is killed and its files are deleted at the end of the block."""
    port = free_port()
    # A short path: that of a socket is limited to 107 bytes.
    private = Path(tempfile.mkdtemp(prefix="anchor-pg-"))
    log = Path(directory) / f"postgresql-{port}.log"
    with contextlib.ExitStack() as replicas:
        server = PostgreSQL(address, port, private, log, password, tuple(under), replicas)
        try:
            _give_to_user(private)
            yield server
        finally:
            server.kill()
            shutil.rmtree(private)


def _initialised():
    """A data directory without changes, which is made if there is none yet."""
    initdb = [_program("initdb"), "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8"]
    initdb += ["--no-sync", "--no-instructions"]
    recipe = hashlib.sha256(repr(initdb).encode()).hexdigest()[:16]
    kept = CACHE / f"postgresql-{recipe}"
    if kept.is_dir():
        return kept
    CACHE.mkdir(exist_ok=True)
    partial = CACHE / f"postgresql-{recipe}.{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="anchor-pg-") as private:
        _give_to_user(private)
        _run([*_as_user(), *initdb, f"--pgdata={private}/data"], cwd=private)
        shutil.copytree(Path(private, "data"), partial)
    try:
        partial.rename(kept)
    except OSError:
        # Another run of the tests was first.
        shutil.rmtree(partial)
    return kept


def _program(name):
    """The path of a program of the newest version; the test fails if there is none."""
    found = _INSTALLED.glob(f"*/bin/{name}")
    newest = max(found, key=lambda path: float(path.parts[-3]), default=None)
    if newest is None:
        pytest.fail(f"{name} is missing: install the package postgresql")
    return newest


def _as_user():
    """A command that runs another command as the server's user."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups"]


def _give_to_user(directory):
    if os.geteuid() == 0:
        _run(["chown", "--recursive", f"{_USER}:{_USER}", directory])


def _run(command, **options):
    finished = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **options
    )
    assert finished.returncode == 0, f"{command}: {finished.stdout}{finished.stderr}"


def _send(number, processes):
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory):
    """A running PostgreSQL; a test that stops it has to start it again."""
    with postgresql(tmp_path_factory.mktemp("postgresql")) as server:
        yield server


@pytest.fixture
def postgresql_url(postgresql_server):
    """SQLAlchemy's URL of an empty database, which is dropped after the test."""
    name = f"anchor_{uuid.uuid4().hex[:12]}"
    yield postgresql_server.create_database(name)
    postgresql_server.drop_database(name)
