"""Benchmark: CPU time per certificate over ACME of Anchor and OpenBao, side by side.

Both run during the whole measurement, and take turns with the same number of orders.  Anchor's
authority has no challenges: the accounts are bound to a token.  OpenBao has no such mode, so its
clients pass the challenge dns-01; a column shows the requests that both servers answer, without it.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import bench_acme
from bench_acme_client import REQUESTS, Client, Order, Steps, make_orders, run
from bench_load import cpu_seconds, verify
from bench_peer_servers import openbao_acme

# `bench` has added the directory above this one to the path.
from tests.support.servers.dns_stub import DnsStub

WARM_UP = 16
# The most CPU time that Anchor should take, as a share of OpenBao's.
GOAL = 0.67
# OpenBao validates a challenge after it has answered the request for it.
VALIDATION_SECONDS = 30
Given = TypeVar("Given")
Returned = TypeVar("Returned")


@dataclass(frozen=True)
class Turn:
    """CPU seconds for a certificate in one turn.

    Attributes:
        anchor: Anchor's.
        openbao: OpenBao's, with the challenge and its validation.
        same: OpenBao's for the requests that Anchor answers too.
    """

    anchor: float
    openbao: float
    same: float


def main() -> None:
    """Run the benchmark and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path, help="the program bao")
    parser.add_argument("--orders", type=int, default=100, help="per server and turn")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--connections", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        turns = compare(options, Path(directory) / "acme")
    ours, theirs, same = (
        statistics.median(getattr(turn, name) for turn in turns) * 1e3
        for name in ("anchor", "openbao", "same")
    )
    share = statistics.median(turn.anchor / turn.openbao for turn in turns)
    print(
        f"\nACME, ec-p256: CPU of the whole server for a certificate\n"
        f"Anchor   {ours:7.2f} ms for the {REQUESTS} requests of an order without challenges\n"
        f"OpenBao  {same:7.2f} ms for the same requests\n"
        f"OpenBao  {theirs:7.2f} ms with the challenge dns-01 and its validation\n"
        f"Anchor takes {share:.2f} of it, goal: {GOAL} {'met' if share <= GOAL else 'missed'}",
        flush=True,
    )


def compare(options: argparse.Namespace, directory: Path) -> list[Turn]:
    """Measure both servers, turn by turn."""
    records: dict[str, str] = {}

    def answer(name: str, kind: str) -> list[str]:
        return [f'"{records[name]}"'] if kind == "TXT" and name in records else []

    with contextlib.ExitStack() as stack:
        service = stack.enter_context(bench_acme.anchor(directory, options.connections))
        dns = stack.enter_context(DnsStub(answer))
        pair = (directory / "CA/root-ca.crt", directory / "CA/root-ca-unwrapped.key")
        resolver = f"{dns.address.host}:{dns.address.port}"
        peer_server = openbao_acme(options.program, directory / "openbao", *pair, resolver)
        peer = Peer(*stack.enter_context(peer_server), records, options.connections)
        count = WARM_UP + options.turns * options.orders
        ours, theirs = iter(make_orders(count)), iter(make_orders(count))
        chains = service.run(ours, WARM_UP)
        peer.order(theirs, WARM_UP)
        turns = []
        for _ in range(options.turns):
            started = cpu_seconds(service.pid)
            chains += service.run(ours, options.orders)
            used = cpu_seconds(service.pid) - started
            everything, same = peer.order(theirs, options.orders)
            turns.append(Turn(*(each / options.orders for each in (used, everything, same))))
        verify(chains, service.ca)
        verify(peer.chains, service.ca)
    return turns


class Peer:
    """OpenBao, with an account for each connection.

    Attributes:
        chains: the certificates that it has issued.
    """

    def __init__(
        self, port: int, pid: int, url: str, records: dict[str, str], connections: int
    ) -> None:
        self._port = port
        self._pid = pid
        self._records = records
        self._clients = [Client(url) for _ in range(connections)]
        run(port, [client.register() for client in self._clients])
        self.chains: list[bytes] = []

    def order(self, orders: Iterator[tuple[str, bytes]], count: int) -> tuple[float, float]:
        """Let all clients together get so many certificates.

        Returns:
            The CPU seconds of everything, and of the requests that need no challenge.
        """
        number = len(self._clients)
        requests = [[next(orders) for _ in range(n, count, number)] for n in range(number)]
        started = cpu_seconds(self._pid)
        made = self._all(_order, requests)
        first = cpu_seconds(self._pid)
        self._all(self._respond, [[each for _, each in part] for part in made])
        deadline = time.monotonic() + VALIDATION_SECONDS
        pending = [[order for order, _ in part] for part in made]
        while any(pending):
            assert time.monotonic() < deadline, pending
            # Clients wait for a second or more between their questions.
            time.sleep(1)
            answers = self._all(Client.authorization, pending)
            pending = [
                [order for order, answer in zip(part, each, strict=True) if not _is_valid(answer)]
                for part, each in zip(pending, answers, strict=True)
            ]
        last = cpu_seconds(self._pid)
        parts = [
            [(order, csr) for (order, _), (_, csr) in zip(part, each, strict=True)]
            for part, each in zip(made, requests, strict=True)
        ]
        for chains in self._all(lambda client, each: client.finish(*each), parts):
            self.chains += chains
        ended = cpu_seconds(self._pid)
        return ended - started, (first - started) + (ended - last)

    def _all(
        self,
        step: Callable[[Client, Given], Steps[Returned]],
        parts: Sequence[Sequence[Given]],
    ) -> list[list[Returned]]:
        works = [
            _each(step, client, part) for client, part in zip(self._clients, parts, strict=True)
        ]
        return run(self._port, works)

    def _respond(self, client: Client, authorization: dict[str, Any]) -> Steps[None]:
        return client.respond(authorization, self._records.__setitem__)


def _each(
    step: Callable[[Client, Given], Steps[Returned]], client: Client, part: Sequence[Given]
) -> Steps[list[Returned]]:
    results = []
    for given in part:
        results.append((yield from step(client, given)))
    return results


def _order(client: Client, request: tuple[str, bytes]) -> Steps[tuple[Order, dict[str, Any]]]:
    order = yield from client.new_order(request[0])
    authorization = yield from client.authorization(order)
    return order, authorization


def _is_valid(authorization: dict[str, Any]) -> bool:
    assert authorization["status"] in {"pending", "processing", "valid"}, authorization
    return authorization["status"] == "valid"


if __name__ == "__main__":
    main()
