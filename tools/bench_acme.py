"""Benchmark: CPU time of the whole service for a certificate over ACME, all requests counted.

Each client has an account that is bound to a token.  It orders as common clients do: newOrder, the
authorization, finalize, the order, the certificate.  The authority has no challenges.  Every order
has another name, and every request another key.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import configure, serving
from bench_acme_client import REQUESTS, Client, Steps, make_orders, run
from bench_load import cpu_seconds, proportional_memory, verify
from cryptography import x509

# `bench` has added the directory above this one to the path.
from tests.support import acme
from tests.support.database import make_database

BASE_URL = "https://anchor.example.com"


@dataclass(frozen=True)
class Row:
    """The result, in seconds and in megabytes of all processes together."""

    cpu: float
    median: float
    memory: float


@dataclass(frozen=True)
class Service:
    """Anchor while it runs, with the accounts of some clients."""

    ca: x509.Certificate
    port: int
    pid: int
    clients: list[Client]

    def run(self, orders: Iterator[tuple[str, bytes]], count: int) -> list[bytes]:
        """Let all clients together get so many certificates; return them with their chains."""
        number = len(self.clients)
        shares = [count // number + (n < count % number) for n in range(number)]
        works = [
            _work(client, orders, share) for client, share in zip(self.clients, shares, strict=True)
        ]
        return [chain for chains in run(self.port, works) for chain in chains]


@contextlib.contextmanager
def anchor(directory: Path, connections: int) -> Iterator[Service]:
    """Run Anchor with a P-256 CA and SQLite, and make an account for each connection."""
    ca = configure(directory, "ec-p256")
    enable_acme(directory)
    with contextlib.closing(make_database(directory)) as database:
        token = acme.add_binding_token(database, uses=connections)
    with serving(directory) as (port, pid):
        clients = [Client(f"{BASE_URL}/acme/default") for _ in range(connections)]
        run(port, [client.register(token) for client in clients])
        yield Service(ca, port, pid, clients)


def measure(count: int, connections: int, directory: Path) -> Row:
    """Measure orders under load, and the time of an order without any."""
    alone = max(20, count // 10)
    orders = iter(make_orders(2 * connections + count + alone))
    with anchor(directory, connections) as service:
        chains = service.run(orders, 2 * connections)
        started = cpu_seconds(service.pid)
        chains += service.run(orders, count)
        ended = cpu_seconds(service.pid)
        quick: list[float] = []
        [last] = run(service.port, [_work(service.clients[0], orders, alone, quick)])
        memory = proportional_memory(service.pid)
    # It reads the first certificate of each chain.
    verify(chains + last, service.ca)
    return Row((ended - started) / count, statistics.median(quick), memory)


def _work(
    client: Client,
    orders: Iterator[tuple[str, bytes]],
    count: int,
    seconds: list[float] | None = None,
) -> Steps[list[bytes]]:
    chains = []
    for _ in range(count):
        name, csr = next(orders)
        started = time.perf_counter()
        order = yield from client.new_order(name)
        authorization = yield from client.authorization(order)
        assert authorization["status"] == "valid"
        chains.append((yield from client.finish(order, csr)))
        if seconds is not None:
            seconds.append(time.perf_counter() - started)
    return chains


def enable_acme(directory: Path) -> None:
    """Change the configuration that `bench.configure` wrote."""
    path = directory / "config.json"
    document = acme.acme_configuration(json.loads(path.read_bytes()))
    path.write_text(json.dumps(document))
    config_py = directory / "config.py"
    text = config_py.read_text()
    assert "web = {" in text
    config_py.write_text(text.replace("web = {", f'web = {{\n    "base_url": "{BASE_URL}",', 1))


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
