"""The PostgreSQL servers and the nodes that other tests use."""

from __future__ import annotations

import subprocess
from urllib.parse import urlsplit

import pytest

from tests.support.servers.nodes import nodes
from tests.support.servers.postgresql import postgresql
from tests.support.servers.processes import alive, descendants, wait_for


def test_each_test_gets_an_empty_database(postgresql_server, postgresql_url):
    name = urlsplit(postgresql_url).path.removeprefix("/")

    postgresql_server.sql("CREATE TABLE t (n int)", database=name, user="anchor")
    postgresql_server.sql("INSERT INTO t VALUES (1), (2)", database=name, user="anchor")

    assert "1|x\n2|x" == postgresql_server.sql("SELECT n, 'x' FROM t ORDER BY n", database=name)
    assert postgresql_server.url_of(name) == postgresql_url
    assert "0" == postgresql_server.sql("SELECT count(*) FROM pg_tables WHERE tablename = 't'")


def test_the_superuser_cannot_connect_through_the_network(postgresql_server):
    finished = connect(postgresql_server, user="postgres")

    assert finished.returncode != 0 and "rejects connection" in finished.stderr


def test_a_paused_server_responds_after_it_is_resumed(postgresql_server):
    postgresql_server.pause()
    with pytest.raises(subprocess.TimeoutExpired):
        postgresql_server.sql("SELECT 1", timeout=0.5)

    postgresql_server.resume()

    assert "1" == postgresql_server.sql("SELECT 1")


def test_committed_rows_survive_a_crash_and_a_restart(tmp_path):
    with postgresql(tmp_path, durable=True, password="it's a/secret@") as server:
        server.sql("CREATE TABLE t (n int)")
        server.sql("INSERT INTO t VALUES (1)")
        processes = descendants(server.process.pid)
        server.kill()
        assert [] == alive(processes)
        server.start()
        server.sql("INSERT INTO t VALUES (2)")
        server.restart()

        assert "on" == server.sql("SHOW fsync")
        assert "1\n2" == server.sql("SELECT n FROM t ORDER BY n")
        assert f"//anchor:it%27s%20a%2Fsecret%40@127.0.0.1:{server.port}/anchor" in server.url
        assert connect(server, PGPASSWORD="it's a/secret@").returncode == 0
        assert "authentication failed" in connect(server, PGPASSWORD="wrong").stderr
    assert not server.directory.exists()


def test_a_promoted_replica_has_the_rows_of_the_primary(tmp_path):
    with postgresql(tmp_path) as primary:
        primary.sql("CREATE TABLE t (n int)")
        replica = primary.replica(tmp_path, synchronous=True)
        primary.sql("INSERT INTO t VALUES (1)")
        assert "t" == replica.sql("SELECT pg_is_in_recovery()")

        primary.kill()
        replica.promote()
        replica.sql("INSERT INTO t VALUES (2)")

        assert "1\n2" == replica.sql("SELECT n FROM t ORDER BY n")
        processes = descendants(replica.process.pid)
    assert [] == alive(processes)


def test_a_commit_waits_for_the_synchronous_replica(tmp_path):
    with postgresql(tmp_path) as primary:
        primary.sql("CREATE TABLE t (n int)")
        replica = primary.replica(tmp_path, synchronous=True)

        replica.pause()
        with pytest.raises(subprocess.TimeoutExpired):
            primary.sql("INSERT INTO t VALUES (1)", timeout=0.5)
        replica.resume()
        primary.sql("INSERT INTO t VALUES (2)")

        assert "2" == primary.sql("SELECT n FROM t WHERE n = 2")


def test_nodes_reach_the_database_and_its_replica_on_other_nodes(tmp_path):
    with (
        nodes(4) as (one, two, first, second),
        postgresql(tmp_path, address=first.address, under=first.command) as primary,
    ):
        replica = primary.replica(tmp_path, address=second.address, under=second.command)
        for node in (one, two):
            select = "SELECT inet_client_addr()"
            assert node.address == connect(primary, select, node).stdout.strip()
            assert node.address == connect(replica, select, node).stdout.strip()

        first.disconnect()
        assert "timeout expired" in connect(primary, node=one, patience=2).stderr
        assert connect(replica, node=one).returncode == 0
        first.connect()
        assert connect(primary, node=one).returncode == 0


def test_no_process_and_no_namespace_is_left_after_a_failure():
    started, namespaces = [], []

    def fail():
        with nodes(2) as (one, two):
            for node in (one, two):
                started.append(subprocess.Popen([*node.command, "sleep", "1000"]))
            wait_for(lambda: two.run("ip", "netns", "pids", two.namespace).stdout)
            namespaces.extend((one.namespace, two.namespace, one.switch))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert [-9, -9] == [process.wait(10) for process in started]
    existing = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True)
    assert not [name for name in namespaces if name in existing.stdout]


def connect(server, statement="SELECT 1", node=None, user="anchor", patience=30, **environment):
    """Execute a statement through the network, from a node if one is given."""
    where = f"host={server.host} port={server.port} dbname=anchor user={user}"
    return subprocess.run(
        [
            *(node.command if node else ()),
            "psql",
            "-XAt",
            "-c",
            statement,
            f"{where} connect_timeout={patience}",
        ],
        env={"PATH": "/usr/bin:/usr/sbin", "HOME": str(server.directory), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
