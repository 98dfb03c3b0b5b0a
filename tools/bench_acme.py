"""Benchmark: CPU time of the whole service for a certificate over ACME, all requests counted.

Each client has an account that is bound to a token, and P-256 keys.  It orders as common clients
do: newOrder, the authorization, finalize, the order, the certificate.  The authority has no
challenges.  Every order has another name, and every request another key.
"""

from __future__ import annotations

import base64
import json
import selectors
import socket
import statistics
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bench import configure, serving
from bench_load import cpu_seconds, proportional_memory, verify
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc.jwk import ECKey

# `bench` has added the directory above this one to the path.
from tests.support import acme
from tests.support.database import make_database

REQUESTS = 5
BASE_URL = "https://anchor.example.com"
DIRECTORY = f"{BASE_URL}/acme/default"


@dataclass(frozen=True)
class Answer:
    """A response of the service."""

    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads(self.body))


@dataclass(frozen=True)
class Row:
    """The result, in seconds and in megabytes of all processes together."""

    cpu: float
    median: float
    memory: float


# What a client does: it yields the bytes of requests, and receives the responses.
Steps = Generator[bytes, Answer, Any]


class Client:
    """An ACME client, without the network."""

    def __init__(self) -> None:
        self._key = ECKey.generate_key("P-256")
        self._account: str | None = None
        self._nonce = ""

    def register(self, token: tuple[str, str]) -> Steps:
        """The steps that make the account."""
        answer = yield request("HEAD", f"{DIRECTORY}/new-nonce")
        self._nonce = answer.headers["replay-nonce"]
        url = f"{DIRECTORY}/new-account"
        binding = acme.make_binding(self._key, *token, url=url)
        answer = yield from self._post(url, {"externalAccountBinding": binding})
        self._account = answer.headers["location"]

    def order(self, name: str, csr: bytes) -> Generator[bytes, Answer, bytes]:
        """The steps that get a certificate; returns the certificate with its chain."""
        identifiers = [{"type": "dns", "value": name}]
        answer = yield from self._post(f"{DIRECTORY}/new-order", {"identifiers": identifiers})
        url, order = answer.headers["location"], answer.json
        for authorization in order["authorizations"]:
            answer = yield from self._post(authorization, None)
            assert answer.json["status"] == "valid"
        encoded = base64.urlsafe_b64encode(csr).decode().rstrip("=")
        yield from self._post(order["finalize"], {"csr": encoded})
        answer = yield from self._post(url, None)
        answer = yield from self._post(answer.json["certificate"], None)
        return answer.body

    def _post(self, url: str, payload: object) -> Generator[bytes, Answer, Answer]:
        body = acme.signed(self._key, url, payload, nonce=self._nonce, kid=self._account)
        answer = yield request("POST", url, body)
        self._nonce = answer.headers["replay-nonce"]
        return answer


def request(method: str, url: str, body: bytes = b"") -> bytes:
    """The bytes of a request."""
    path = url.removeprefix(BASE_URL)
    return (
        b"%b %b HTTP/1.1\r\nHost: anchor.example.com\r\nAccept: */*\r\nUser-Agent: bench\r\n"
        b"Content-Type: application/jose+json\r\nContent-Length: %d\r\n\r\n%b"
        % (method.encode(), path.encode(), len(body), body)
    )


def measure(count: int, connections: int, directory: Path) -> Row:
    """Measure orders under load, and the time of an order without any."""
    ca = configure(directory, "ec-p256")
    enable_acme(directory)
    database = make_database(directory)
    token = acme.add_binding_token(database, uses=connections)
    database.close()
    alone = max(20, count // 10)
    orders = iter(make_orders(2 * connections + count + alone))
    clients = [Client() for _ in range(connections)]
    with serving(directory) as (port, pid):
        run(port, [client.register(token) for client in clients])
        warm = run(port, [work(client, orders, 2) for client in clients])
        started = cpu_seconds(pid)
        shares = [count // connections + (n < count % connections) for n in range(connections)]
        loaded = run(
            port, [work(client, orders, n) for client, n in zip(clients, shares, strict=True)]
        )
        ended = cpu_seconds(pid)
        quick: list[float] = []
        last = run(port, [work(clients[0], orders, alone, quick)])
        memory = proportional_memory(pid)
    chains = [chain for part in (warm, loaded, last) for each in part for chain in each]
    # It reads the first certificate of each chain.
    verify(chains, ca)
    return Row((ended - started) / count, statistics.median(quick), memory)


def work(
    client: Client,
    orders: Iterator[tuple[str, bytes]],
    count: int,
    seconds: list[float] | None = None,
) -> Generator[bytes, Answer, list[bytes]]:
    """The steps of several orders; returns the certificates."""
    chains = []
    for _ in range(count):
        name, csr = next(orders)
        started = time.perf_counter()
        chain = yield from client.order(name, csr)
        chains.append(chain)
        if seconds is not None:
            seconds.append(time.perf_counter() - started)
    return chains


def make_orders(count: int) -> list[tuple[str, bytes]]:
    """Different names, and requests with different keys."""
    made = []
    for number in range(count):
        name = f"host{number}.example.com"
        csr = (
            x509.CertificateSigningRequestBuilder(x509.Name([]))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        )
        made.append((name, csr.public_bytes(Encoding.DER)))
    return made


def enable_acme(directory: Path) -> None:
    """Change the configuration that `bench.configure` wrote."""
    path = directory / "config.json"
    document = acme.acme_configuration(json.loads(path.read_bytes()))
    path.write_text(json.dumps(document))
    config_py = directory / "config.py"
    text = config_py.read_text()
    assert "web = {" in text
    config_py.write_text(text.replace("web = {", f'web = {{\n    "base_url": "{BASE_URL}",', 1))


def run(port: int, works: list[Steps]) -> list[Any]:
    """Do all works at once, in this thread; return their results."""
    results: list[Any] = [None] * len(works)
    with selectors.DefaultSelector() as selector:

        def send(number: int, content: bytes) -> None:
            connection = socket.create_connection(("127.0.0.1", port), 60)
            connection.sendall(content)
            selector.register(connection, selectors.EVENT_READ, (number, []))

        for number, steps in enumerate(works):
            send(number, next(steps))
        while selector.get_map():
            for ready, _ in selector.select():
                number, received = ready.data
                connection = cast(socket.socket, ready.fileobj)
                data = connection.recv(1 << 16)
                received.append(data)
                if data:
                    continue
                selector.unregister(connection)
                connection.close()
                try:
                    send(number, works[number].send(parse(b"".join(received))))
                except StopIteration as end:
                    results[number] = end.value
    return results


def parse(answer: bytes) -> Answer:
    """The headers and the body of a good response."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    assert first.split(" ")[1] in {"200", "201"}, answer
    pairs = (line.split(": ", 1) for line in lines)
    return Answer({name.lower(): value for name, value in pairs}, body)


def main() -> None:
    """Measure, and print the result."""
    count, connections, directory = sys.argv[1:]
    row = measure(int(count), int(connections), Path(directory))
    print(
        f"\nACME, ec-p256, SQLite: CPU of the whole service for a certificate, with all {REQUESTS} "
        f"requests of its order: {row.cpu * 1e3:.3f} ms\nmedian of an order, 1 conn.: "
        f"{row.median * 1e3:.2f} ms; memory: {row.memory:.0f} MB",
        flush=True,
    )


if __name__ == "__main__":
    main()
