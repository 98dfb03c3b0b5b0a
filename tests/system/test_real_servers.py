"""The service under Pecan's server and under uwsgi, up to a TLS handshake."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import socket
import ssl
import subprocess
import threading
import time
from urllib.parse import urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.support.pki import assert_is_leaf, key_pem, make_ca, make_csr, shared_key
from tests.support.servers.anchor import EVERY_SERVER, ROOT, serving
from tests.support.servers.processes import program, wait_for
from tests.support.service import small_configuration


@pytest.fixture
def running_service(server, document, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(document))
    with serving(server, tmp_path) as service:
        yield service


@pytest.fixture(scope="module")
def shared_ca(tmp_path_factory):
    return make_ca(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def shared_service(request, shared_ca, tmp_path_factory):
    """A service for tests that only send requests; the parameter is the server."""
    directory = tmp_path_factory.mktemp("shared")
    (directory / "config.json").write_text(json.dumps(small_configuration(shared_ca)))
    with serving(request.param, directory) as service:
        yield service


def under(*servers):
    """Run the test with a shared service under each of these servers."""
    return pytest.mark.parametrize("shared_service", servers, indirect=True)


def post(service, csr, **fields):
    form = {"user": "alice", "secret": "s3cret", "encoding": "pem", "csr": csr} | fields
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    with contextlib.closing(connection):
        connection.request(
            "POST",
            "/v1/sign/default",
            urlencode(form),
            {"Content-Type": "application/x-www-form-urlencoded"},
        )
        with connection.getresponse() as answer:
            return answer.status, answer.read()


@under("pecan", "uwsgi")
def test_a_request_made_by_openssl_becomes_a_certificate_that_tls_accepts(
    shared_service, shared_ca, tmp_path
):
    files = {}
    for name, usage in (("server", "serverAuth"), ("client", "clientAuth")):
        key, csr = tmp_path / f"{name}.key", tmp_path / f"{name}.csr"
        subprocess.run(
            f"openssl req -new -newkey rsa:2048 -nodes -keyout {key} -out {csr} "
            f"-subj /CN={name}.example.com -addext subjectAltName=DNS:{name}.example.com "
            f"-addext keyUsage=critical,digitalSignature -addext extendedKeyUsage={usage}",
            shell=True,
            check=True,
            capture_output=True,
        )
        answer = subprocess.run(
            [
                program("curl", "curl"),
                *("--silent", "--fail", f"{shared_service.url}/v1/sign/default"),
                *("-F", "user=alice", "-F", "secret=s3cret", "-F", "encoding=pem"),
                *("-F", f"csr=@{csr}" if name == "server" else f"csr=<{csr}"),
            ],
            check=True,
            capture_output=True,
        ).stdout
        assert_is_leaf(x509.load_pem_x509_certificate(answer), issued_by=shared_ca)
        files[name] = (tmp_path / f"{name}.crt", key)
        files[name][0].write_bytes(answer)

    assert ("server.example.com", "client.example.com") == tls_handshake(shared_ca, files)


def tls_handshake(ca, files):
    """The common names that both ends of a mutually authenticated connection see."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca.cert_path)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=ca.cert_path)
    for context, name in ((server, "server"), (client, "client")):
        # The default of Python 3.13.
        context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_cert_chain(*map(str, files[name]))
    near, far = socket.socketpair()
    seen = []

    def accept():
        with server.wrap_socket(far, server_side=True) as accepted:
            seen.append(dict(pair[0] for pair in accepted.getpeercert()["subject"]))
            accepted.unwrap()

    thread = threading.Thread(target=accept)
    thread.start()
    with client.wrap_socket(near, server_hostname="server.example.com") as connected:
        peer = dict(pair[0] for pair in connected.getpeercert()["subject"])
        connected.unwrap()
    thread.join()
    return peer["commonName"], seen[0]["commonName"]


@pytest.mark.parametrize("server", ["uwsgi"])
def test_many_writers_in_several_processes_lose_nothing(running_service, tmp_path):
    csrs = [make_csr(f"host{i}.example.com", f"host{i}.example.com") for i in range(20)]

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda csr: post(running_service, csr), csrs * 3))

    assert [200] * 60 == [status for status, _ in answers]
    fingerprints = {
        x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex() for _, pem in answers
    }
    assert {f"{fingerprint}.crt" for fingerprint in fingerprints} == {
        path.name for path in (tmp_path / "certs").glob("*.crt")
    }


def raw(service, octets, *, finish=False, patience=60):
    """Send these bytes over a new connection; return the response."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=patience) as connection:
        connection.sendall(octets)
        if finish:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


HEAD = (
    b"POST /v1/sign/default HTTP/1.1\r\nHost: anchor\r\nConnection: close\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n"
)


@under("pecan", "uwsgi")
def test_a_body_that_ends_early_is_a_4xx(shared_service):
    answer = raw(shared_service, HEAD + b"Content-Length: 500\r\n\r\nuser=alice", finish=True)

    assert answer.split()[1] in (b"400", b"408")
    assert post(shared_service, make_csr())[0] == 200


@pytest.mark.parametrize("server", EVERY_SERVER)
def test_a_body_that_does_not_come_is_a_4xx_and_the_service_lives_on(document, tmp_path, server):
    config = (ROOT / "config.py").read_text()
    (tmp_path / "config.py").write_text(config.replace('"body_seconds": 10', '"body_seconds": 1'))
    (tmp_path / "config.json").write_text(json.dumps(document))
    with serving(server, tmp_path) as service:
        started = time.monotonic()
        answer = raw(service, HEAD + b"Content-Length: 500\r\n\r\nuser=alice")

        assert answer.split()[1] == b"408"
        assert time.monotonic() - started < 30
        assert post(service, make_csr())[0] == 200


@under(*EVERY_SERVER)
def test_a_body_over_the_limit_is_a_413_even_when_it_is_sent_whole(shared_service):
    size = 5_000_000
    answer = raw(shared_service, HEAD + f"Content-Length: {size}\r\n\r\n".encode() + b"x" * size)

    assert answer.split()[1] == b"413"
    assert b"65536" in answer


@pytest.mark.parametrize(
    "path",
    ["/v1/sign/../../etc/passwd", "/v1/sign/%2e%2e/x", "/v1/sign/a%2Fb", "/v1/sign/%00", "/v1/ca/"],
)
@under("pecan", "uwsgi")
def test_hostile_paths_are_a_4xx(shared_service, path):
    answer = raw(
        shared_service,
        f"GET {path} HTTP/1.1\r\nHost: anchor\r\nConnection: close\r\n\r\n".encode(),
    )

    assert answer.split()[1] in (b"400", b"404")


def test_secrets_reach_no_log_and_no_file(running_service, tmp_path):
    post(running_service, make_csr(), secret="hunter2-wrong")
    post(running_service, make_csr())
    raw(
        running_service,
        b"POST /v1/sign/default HTTP/1.1\r\nHost: anchor\r\nConnection: close\r\n"
        b"Authorization: Basic aHVudGVyMjpodW50ZXIy\r\nContent-Length: 0\r\n\r\n",
    )

    wait_for(lambda: "audit.sign" in running_service.log, what="the audit events")
    assert "hunter2" not in running_service.log
    assert "s3cret" not in running_service.log
    assert "aHVudGVyMjpodW50ZXIy" not in running_service.log


def test_a_stopped_server_leaves_nothing_behind(document, tmp_path, server):
    (tmp_path / "config.json").write_text(json.dumps(document))
    with serving(server, tmp_path) as service:
        assert post(service, make_csr())[0] == 200
    with pytest.raises(ConnectionRefusedError):
        post(service, make_csr())


def test_a_bad_configuration_stops_the_start_with_its_errors(document, tmp_path):
    document["registration_authority"]["default"]["signing_ca"] = "elsewhere"
    (tmp_path / "config.json").write_text(json.dumps(document))
    (tmp_path / "config.py").write_text((ROOT / "config.py").read_text())

    finished = subprocess.run(
        [program("pecan", "pecan"), "serve", "config.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert finished.returncode != 0
    assert "registration_authority.default.signing_ca: there is no" in finished.stderr


@under("pecan", "uwsgi")
def test_the_key_that_is_certified_can_be_used(shared_service, shared_ca, tmp_path):
    """A handshake between client and server with keys other than RSA."""
    files = {}
    for name, kind in (("server", "ec-p384"), ("client", "ed25519")):
        csr = make_csr(f"{name}.example.com", f"{name}.example.com", key=shared_key(kind))
        status, pem = post(shared_service, csr)
        assert status == 200
        files[name] = (tmp_path / f"{name}.crt", tmp_path / f"{name}.key")
        files[name][0].write_bytes(pem)
        files[name][1].write_bytes(key_pem(shared_key(kind)))

    assert ("server.example.com", "client.example.com") == tls_handshake(shared_ca, files)
