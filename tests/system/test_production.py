"""The shipped production configuration: uwsgi.ini, gunicorn, and nginx in front of them."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from anchor.cli.main import main
from tests.support.pki import assert_is_leaf, make_csr
from tests.support.servers.anchor import EVERY_SERVER, serving, uwsgi_ini
from tests.support.servers.nginx_site import HOST, site
from tests.support.servers.own_tls import compose_nginx
from tests.support.servers.processes import (
    alive,
    answers,
    children,
    descendants,
    free_port,
    program,
    wait_for,
)
from tests.system.test_real_servers import post

SLOW = """
import os, pathlib, time
def slow(csr, place: str):
    pathlib.Path(place, f"started-{os.getpid()}").touch()
    while not pathlib.Path(place, "go").exists():
        time.sleep(0.02)
"""
BROKEN = """
def broken(csr):
    raise RuntimeError("with hunter2 in it")
"""


def events(log):
    """The audit events in a server's log."""
    return [json.loads(line) for line in log.splitlines() if line.startswith('{"time"')]


def test_nginx_and_uwsgi_sign_and_the_client_is_who_connected(nginx_site, ca, tmp_path):
    status, _, pem = nginx_site.sign(
        source="127.0.0.5",
        headers={"X-Forwarded-For": "192.0.2.66", "X-Real-IP": "192.0.2.66", "Forwarded": "for=x"},
    )

    assert 200 == status
    assert_is_leaf(x509.load_pem_x509_certificate(pem), issued_by=ca)
    wait_for(lambda: "audit.sign" in nginx_site.log, what="the audit events")
    assert {"127.0.0.5"} == {event["address"] for event in events(nginx_site.log)}


def test_nginx_refuses_a_body_over_the_limit(nginx_site):
    status, _, text = nginx_site.sign(csr=b"x" * 70000)

    assert (413, b"the body is larger than 65536 bytes\n") == (status, text)


def heads():
    """Request lines and headers of all sizes, with the statuses that are allowed in response."""
    for size in (3000, 5000, 7900, 9000, 12000, 20000, 30000, 40000, 70000):
        statuses = {404} if size < 8000 else {404, 414}
        yield f"path of {size}", f"GET /{'a' * size} HTTP/1.1\r\nHost: x\r\n", statuses
        yield (
            f"escaped path of {size}",
            f"GET /{'%41' * (size // 3)} HTTP/1.1\r\nHost: x\r\n",
            statuses,
        )
        statuses = {200} if size < 7800 else {200, 414}
        query = f"GET /v1/ca/default?{'a' * size} HTTP/1.1\r\nHost: x\r\n"
        yield f"query of {size}", query, statuses
    start = "GET /v1/ca/default HTTP/1.1\r\nHost: x\r\n"
    for size in (5000, 8000, 12000, 16000, 22200, 30000, 60000, 100000):
        statuses = {200} if size < 24000 else {431}
        yield f"header of {size}", f"{start}Authorization: {'x' * size}\r\n", statuses
    for count, size in itertools.product((40, 60, 90, 200, 500, 3000), (0, 10, 100, 600)):
        small = count <= 90 and count * (size + 8) < 22000
        lines = "".join(f"X{i}:{'v' * size}\r\n" for i in range(count))
        yield f"{count} headers of {size}", f"{start}{lines}", {200} if small else {200, 431}
    yield "the shortest headers", start + "a:\n" * 7000, {200, 400, 431}


def first_line(connection, head):
    """The status of the response to a request line and headers."""
    # The server may respond and close before it has read everything.
    with contextlib.suppress(ConnectionError):
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
    answer = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while len(answer) < 12 and (more := connection.recv(65536)):
            answer += more
    return int(answer.split()[1]) if answer else None


def test_no_request_line_and_no_header_makes_nginx_and_uwsgi_fail(document, tmp_path, ca):
    with site(tmp_path, document, ca, replace={"burst=20": "burst=2000"}) as served:
        for name, head, statuses in heads():
            with served.connect().sock as connection:
                assert (status := first_line(connection, head)) in statuses, f"{name}: {status}"


def test_no_request_line_and_no_header_makes_gunicorn_fail(document, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(document))
    with serving("gunicorn", tmp_path) as service:
        for name, head, statuses in heads():
            with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
                assert (status := first_line(connection, head)) in statuses, f"{name}: {status}"


@pytest.mark.parametrize("through", ["nginx", "gunicorn", "uwsgi.ini"])
def test_the_longest_secret_may_stand_in_the_authorization_header(through, document, tmp_path, ca):
    user, secret = "u" * 256, "s" * 16384
    document["authentication"]["static"] |= {"user": user, "secret": secret}
    (tmp_path / "config.json").write_text(json.dumps(document))
    token = base64.b64encode(f"{user}:{secret}".encode()).decode()
    headers = {"Authorization": f"Basic {token}", "Content-Type": "application/pkcs10"}
    if through == "nginx":
        with site(tmp_path, document, ca) as served:
            status, _, pem = served.ask("POST", "/v1/sign/default", make_csr(), headers)
    else:
        with serving(through, tmp_path) as service:
            connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
            with contextlib.closing(connection):
                connection.request("POST", "/v1/sign/default", make_csr(), headers)
                with connection.getresponse() as answer:
                    status, pem = answer.status, answer.read()

    assert 200 == status, pem
    assert_is_leaf(x509.load_pem_x509_certificate(pem), issued_by=ca)


def test_nginx_slows_one_client_down_and_nobody_else(document, tmp_path, ca):
    with site(tmp_path, document, ca, replace={"rate=10r/s": "rate=1r/m"}) as served:
        found = [served.ask("GET", "/robots.txt") for _ in range(22)]

        assert [200] * 21 + [429] == [status for status, _, _ in found]
        assert ("5", b"too many requests, try again later\n") == (
            found[-1][1]["Retry-After"],
            found[-1][2],
        )
        assert 200 == served.sign(source="127.0.0.6")[0]


def test_acme_clients_get_problem_documents_from_nginx_and_have_their_own_limits(
    document, tmp_path, ca
):
    rare = {"rate=10r/s": "rate=1r/m", "rate=20r/s": "rate=1r/m", "burst=20": "burst=2"}
    new_nonce = "/acme/default/new-nonce"
    with site(tmp_path, document, ca, replace=rare) as served:
        orders = [served.ask("HEAD", new_nonce) for _ in range(62)]
        reads = [served.ask("GET", "/acme/default/directory") for _ in range(5)]
        too_large = served.ask("POST", "/acme/default/new-order", b"x" * 70000, source="127.0.0.6")
        too_often = served.ask("GET", new_nonce)
        not_acme = served.ask("GET", "/acme", headers={"Host": "evil.example.com"})
        forms = [served.ask("GET", "/robots.txt") for _ in range(3)]
        served.uwsgi.terminate()
        served.uwsgi.wait(60)
        away = served.ask("HEAD", new_nonce, source="127.0.0.7")
        away_reads = served.ask("GET", "/acme/default/directory")

    # This service has no ACME.
    assert [404] * 61 + [429] == [status for status, _, _ in orders]
    assert [404] * 5 == [status for status, _, _ in reads]
    assert (404, None) == (not_acme[0], not_acme[1]["Location"])
    assert [200, 200, 429] == [status for status, _, _ in forms]
    assert b"too many requests, try again later\n" == forms[-1][2]
    assert_is_problem(too_large, 413, "malformed")
    assert_is_problem(too_often, 429, "rateLimited", retry_after="5")
    assert (503, "5") == (away[0], away[1]["Retry-After"])
    assert_is_problem(away_reads, 503, "serverInternal", retry_after="5")


def test_acme_clients_get_problem_documents_from_the_nginx_of_compose_yaml(tmp_path, ca):
    """Its Anchor does not run here."""
    with compose_nginx(tmp_path, ca, f"http://127.0.0.1:{free_port()}") as client:
        # The other server is for machines with certificates.
        nginx = replace(client, host=HOST)
        away = nginx.ask(nginx.context(), "GET", "/acme/default/directory")
        too_large = nginx.ask(nginx.context(), "POST", "/acme/default/new-order", b"x" * 70000)

    assert_is_problem((away.status, away.headers, away.body), 503, "serverInternal", "5")
    assert_is_problem((too_large.status, too_large.headers, too_large.body), 413, "malformed")


def assert_is_problem(answer, status, kind, retry_after=None):
    """Assert that a response of nginx has a problem document with this ACME error."""
    actual, headers, body = answer
    assert (status, "application/problem+json", retry_after) == (
        actual,
        headers["Content-Type"],
        headers["Retry-After"],
    )
    problem = json.loads(body)
    assert (f"urn:ietf:params:acme:error:{kind}", status) == (problem["type"], problem["status"])
    assert problem["detail"]


def test_nginx_disconnects_a_client_that_sends_nothing(document, tmp_path, ca):
    short = {
        "client_header_timeout 10s": "client_header_timeout 1s",
        "client_body_timeout 10s": "client_body_timeout 1s",
    }
    with site(tmp_path, document, ca, replace=short) as served:
        for start in (
            f"POST /v1/sign/default HTTP/1.1\r\nHost: {HOST}\r\n",
            f"POST /v1/sign/default HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 500\r\n\r\nuser=",
        ):
            with served.connect().sock as connection:
                connection.sendall(start.encode())
                with contextlib.suppress(ConnectionResetError):
                    assert b"" == connection.recv(65536)
        assert 200 == served.sign()[0]


def test_nginx_says_so_when_uwsgi_is_away(nginx_site):
    nginx_site.uwsgi.terminate()
    nginx_site.uwsgi.wait(60)

    status, headers, text = nginx_site.sign()

    assert (503, "5") == (status, headers["Retry-After"])
    assert b"not there now" in text


def test_a_request_without_tls_is_a_400(nginx_site):
    with socket.create_connection(("127.0.0.1", nginx_site.port), timeout=60) as connection:
        connection.sendall(b"GET /robots.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

        assert b"400" in connection.recv(65536)


@pytest.mark.parametrize("server", EVERY_SERVER)
def test_an_unhandled_error_is_a_500_with_a_request_id(server, document, tmp_path, plugins):
    plugins(BROKEN, "[anchor.validators]\nbroken = trouble:broken\n")
    document["registration_authority"]["default"]["validators"] = {"broken": {}}
    (tmp_path / "config.json").write_text(json.dumps(document))

    with serving(server, tmp_path) as service:
        status, text = post(service, make_csr())

        assert 500 == status
        assert text.startswith(b"internal error, request ")
        identifier = text.decode().split()[-1]
        wait_for(lambda: identifier in service.log, what="the error in the log")
        assert b"hunter2" not in text
        assert b"Traceback" not in text


def test_an_unhandled_error_behind_nginx_is_a_500_with_a_request_id(
    document, tmp_path, ca, plugins
):
    plugins(BROKEN, "[anchor.validators]\nbroken = trouble:broken\n")
    document["registration_authority"]["default"]["validators"] = {"broken": {}}

    with site(tmp_path, document, ca) as served:
        status, _, text = served.sign()

        assert 500 == status
        assert text.startswith(b"internal error, request ")
        assert 1 == len(text.splitlines())
        identifier = text.decode().split()[-1]
        wait_for(lambda: identifier in served.log, what="the error in the log")


@pytest.fixture
def slow(document, tmp_path, plugins):
    """Make the service wait within a request until the returned function is called."""
    plugins(SLOW, "[anchor.validators]\nslow = trouble:slow\n")
    document["registration_authority"]["default"]["validators"] = {"slow": {"place": str(tmp_path)}}
    (tmp_path / "config.json").write_text(json.dumps(document))
    return (tmp_path / "go").touch


def started(directory):
    """The ids of the processes that are or were within a request."""
    return {int(path.name.removeprefix("started-")) for path in directory.glob("started-*")}


@pytest.mark.parametrize("server", EVERY_SERVER)
def test_a_sigterm_finishes_what_runs_and_leaves_nothing_behind(server, slow, tmp_path):
    with serving(server, tmp_path) as service, concurrent.futures.ThreadPoolExecutor() as pool:
        running = pool.submit(post, service, make_csr())
        wait_for(lambda: started(tmp_path), what="the request to be in its middle")
        if server == "gunicorn":
            # The first worker is busy, so the second one, which is forked later, answers.
            wait_for(lambda: answers(service.port), what="the second worker")
        processes = descendants(service.process.pid)
        service.process.send_signal(signal.SIGTERM)
        if len(processes) > 1:
            # The idle workers have ended, so the signal has arrived.
            wait_for(lambda: len(alive(processes)) < len(processes), what="idle workers to end")
        time.sleep(0.3)
        slow()

        assert 200 == running.result(60)[0]
        service.process.wait(60)
        assert [] == alive(processes)
        assert not (tmp_path / "anchor.sock").exists()
        with pytest.raises(ConnectionRefusedError):
            post(service, make_csr())


@pytest.mark.parametrize(
    "told", ["the first", "another", "all, by Ctrl-C", "the first, by SIGKILL"]
)
def test_uwsgi_without_a_master_finishes_what_runs_and_leaves_nothing_behind(told, slow, tmp_path):
    with (
        serving("uwsgi", tmp_path) as service,
        concurrent.futures.ThreadPoolExecutor(4) as pool,
    ):
        first = service.process.pid
        wait_for(lambda: len(descendants(first)) == 4, what="all four")
        others = children(first)
        processes = [first, *others]
        running = [pool.submit(post, service, make_csr()) for _ in processes]
        wait_for(lambda: started(tmp_path) == set(processes), what="all to be in a request")

        if told == "the first":
            os.kill(first, signal.SIGTERM)
        elif told == "another":
            os.kill(others[-1], signal.SIGTERM)
        elif told == "all, by Ctrl-C":
            os.killpg(first, signal.SIGINT)
        else:
            os.kill(first, signal.SIGKILL)
        time.sleep(0.5)
        slow()

        failed = [asked for asked in running if asked.exception(60)]
        assert (1 if told == "the first, by SIGKILL" else 0) == len(failed)
        assert {200} == {asked.result()[0] for asked in running if asked not in failed}
        service.process.wait(60)
        if told == "the first, by SIGKILL":
            wait_for(lambda: not alive(others), what="the others to end")
        assert [] == alive(processes)
        with pytest.raises(ConnectionRefusedError):
            post(service, make_csr())


def test_all_processes_end_if_uwsgis_first_process_ends_during_the_start(document, tmp_path):
    """The last worker serves already, but uwsgi has not stored its id yet."""
    (tmp_path / "config.json").write_text(json.dumps(document))
    slow_fork = [
        program("strace", "strace"),
        *("-f", "-qq", "-o", "/dev/null", "-e", "trace=clone,clone3,fork"),
        # Microseconds between the last of three forks and uwsgi's use of its result.
        *("-e", "inject=clone,clone3,fork:delay_exit=4000000:when=3"),
    ]
    with serving("uwsgi", tmp_path, under=slow_fork) as service:
        wait_for(lambda: len(descendants(service.process.pid)) == 5, what="strace and all four")
        _, first, *others = processes = descendants(service.process.pid)
        os.kill(first, signal.SIGTERM)

        wait_for(lambda: not alive([first, *others]), what=f"{processes} to end")


def test_a_sigterm_behind_nginx_finishes_what_runs(slow, document, tmp_path, ca):
    with (
        site(tmp_path, document, ca) as served,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        running = pool.submit(served.sign)
        wait_for(lambda: started(tmp_path), what="the request to be in its middle")
        served.uwsgi.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        slow()

        assert 200 == running.result(60)[0]
        served.uwsgi.wait(60)


def test_a_worker_that_is_killed_is_replaced(document, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(document))
    with serving("uwsgi.ini", tmp_path) as service:
        post(service, make_csr())
        workers = descendants(service.process.pid)[1:]
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        wait_for(lambda: not alive(workers), what="the workers to be gone")

        assert 200 == post(service, make_csr())[0]


def test_the_ini_stops_the_start_over_a_bad_configuration(document, tmp_path):
    del document["signing_ca"]["local"]["cert_path"]
    (tmp_path / "config.json").write_text(json.dumps(document))

    with pytest.raises(pytest.fail.Exception), serving("uwsgi.ini", tmp_path):
        pass

    assert "signing_ca.local: missing option 'cert_path'" in (tmp_path / "server.log").read_text()


def log_to(place):
    """The command that runs a server with its log in another file."""
    return ["sh", "-c", f'exec "$@" >{place} 2>&1', "sh"]


def audit_file(directory):
    """An audit file, which does not need the log."""
    assert 0 == main(["audit", "init", str(directory / "audit.key")])
    return {"target": "file", "path": "audit.jsonl", "checkpoint_key_path": "audit.key"}


def processor_time(pids):
    """The CPU time of processes, in ticks."""
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats)


@pytest.mark.parametrize("server", EVERY_SERVER)
def test_a_server_whose_log_nobody_reads_any_more_serves_and_does_not_spin(
    server, document, tmp_path
):
    document["audit"] = audit_file(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(document))
    os.mkfifo(tmp_path / "fifo")
    reader = subprocess.Popen(["cat", tmp_path / "fifo"], stdout=subprocess.DEVNULL)
    try:
        with serving(server, tmp_path, under=log_to(tmp_path / "fifo")) as service:
            reader.kill()
            reader.wait()
            for _ in range(8):
                assert 400 == post(service, b"no request")[0]
            processes = descendants(service.process.pid)
            before = processor_time(processes)
            time.sleep(1)
            assert processor_time(processes) - before < os.sysconf("SC_CLK_TCK") / 4
            assert 200 == post(service, make_csr())[0]
    finally:
        reader.kill()
        reader.wait()


# The audit events go to the log, which cannot be written, so there is no certificate.
@pytest.mark.parametrize(("target", "status"), [("file", 200), ("log", 500)])
@pytest.mark.parametrize("server", ["uwsgi", "uwsgi.ini", "gunicorn"])
def test_a_server_starts_when_the_disk_of_its_log_is_full(
    server, target, status, document, tmp_path
):
    document["audit"] = audit_file(tmp_path) if target == "file" else {"target": target}
    (tmp_path / "config.json").write_text(json.dumps(document))

    with serving(server, tmp_path, under=log_to("/dev/full")) as service:
        assert status == post(service, make_csr())[0]


def test_a_bad_configuration_stops_the_start_also_when_the_disk_of_the_log_is_full(
    document, tmp_path
):
    del document["signing_ca"]["local"]["cert_path"]
    (tmp_path / "config.json").write_text(json.dumps(document))

    with (
        pytest.raises(pytest.fail.Exception, match="ended with"),
        serving("uwsgi.ini", tmp_path, under=log_to("/dev/full")),
    ):
        pytest.fail("it started")  # pragma: no cover


def test_a_second_start_of_the_ini_leaves_the_first_its_socket(document, tmp_path, ca):
    with site(tmp_path, document, ca) as served:
        inode = (tmp_path / "anchor.sock").stat().st_ino
        second = subprocess.run(
            list(map(str, uwsgi_ini(tmp_path))),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert 1 == second.returncode
        assert "anchor.lock is locked by another instance" in second.stdout + second.stderr
        assert inode == (tmp_path / "anchor.sock").stat().st_ino
        assert 200 == served.sign()[0]


def test_the_ini_starts_again_after_a_sigkill_of_its_first_process(document, tmp_path, ca):
    (tmp_path / "config.json").write_text(json.dumps(document))
    with serving("uwsgi.ini", tmp_path) as service:
        processes = descendants(service.process.pid)
        service.process.kill()
        service.process.wait()
        assert (tmp_path / "anchor.sock").exists()

        with serving("uwsgi.ini", tmp_path) as again:
            assert [] == alive(processes)
            assert 200 == post(again, make_csr())[0]


@pytest.mark.parametrize("server", EVERY_SERVER)
def test_the_samples_secret_is_warned_of_loudly_unless_nobody_else_can_connect(
    server, document, tmp_path
):
    document["authentication"]["static"] |= {"user": "myusername", "secret": "simplepassword"}
    (tmp_path / "config.json").write_text(json.dumps(document))

    with serving(server, tmp_path) as service:
        log = service.log

    # Each of these servers knows its address before it loads the service.
    known = server in {"pecan", "anchor", "uwsgi"}
    assert ("WARNING anchor.auth.static: the user 'myusername'" in log) == known
    assert ("CRITICAL anchor.auth.static: DANGER: EVERYONE" in log) != known
    assert "simplepassword" not in log


@pytest.mark.parametrize(
    ("addresses", "danger"),
    [
        (["127.0.0.1"], None),
        (["127.0.0.1", "127.0.0.9", "::1"], None),
        (["127.0.0.1", "0.0.0.0"], "0.0.0.0:"),
        (["::"], ":::"),
        ([], "an address that may be reached"),
        (["127.0.0.1", "the.sock"], "the.sock"),
    ],
)
def test_the_warning_names_the_addresses_that_the_process_listens_on(addresses, danger, tmp_path):
    opening = "".join(
        f"kept.append(socket.socket(socket.AF_UNIX)); kept[-1].bind({address!r})\n"
        "kept[-1].listen()\n"
        if address.endswith(".sock")
        else f"kept.append(socket.create_server(({address!r}, 0), family=socket.AF_INET6 "
        f"if ':' in {address!r} else socket.AF_INET))\n"
        for address in addresses
    )
    code = (
        f"import socket, logging\nkept = []\n{opening}"
        "from anchor.auth.static import StaticAuthentication\n"
        "logging.basicConfig(format='%(levelname)s %(message)s')\n"
        "StaticAuthentication('myusername', __import__('pydantic').SecretStr('simplepassword'))\n"
    )

    log = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path
    ).stderr

    assert log.startswith("CRITICAL DANGER" if danger else "WARNING")
    assert (danger or "anyone on this machine") in log
    assert "simplepassword" not in log
