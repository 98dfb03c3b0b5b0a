"""Benchmark: how many certificates per second one node and three nodes sign with one PostgreSQL.

Each node may use a share of a CPU only, so that the database and the client have room on a small
machine.  PostgreSQL commits durably.  One node and all nodes take turns, so that other load on the
machine affects both.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import itertools
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bench import ROOT, configure, serving, sign_request
from bench_load import cpu_seconds, load, make_csrs, tree, verify
from cpu_share import CpuShareUnavailable, cpu_share, limit

sys.path.append(str(ROOT))
from tests.support.servers.postgresql import postgresql  # it is not installed

GOAL = 2.5
NODES = 3
# Open requests for each node: more than its two workers, so that none waits for the client.
CONNECTIONS = 6
_WARM_UP = 40


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=0.15, help="of a CPU, for each node")
    parser.add_argument("--requests", type=int, default=150, help="per node and turn")
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as name:
            measured = measure(Path(name), options.share, options.requests, options.turns)
    except (CpuShareUnavailable, pytest.fail.Exception) as error:
        print(f"\n{NODES} nodes on PostgreSQL were not measured: {error}")
        return
    print("\n".join(describe(measured, options.share)))


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes:
        one: certificates per second of one node, in each turn.
        all: the same of all nodes.
        node_cpu: CPU seconds of a node for a certificate.
        database_cpu: CPU seconds of PostgreSQL for a certificate.
        flushes: flushes of PostgreSQL's log to the disk for a certificate, under the load of all.
    """

    one: Sequence[float]
    all: Sequence[float]
    node_cpu: float
    database_cpu: float
    flushes: float

    @property
    def ratio(self) -> float:
        """What all nodes sign in comparison with one; the median of the turns."""
        return statistics.median(many / one for one, many in zip(self.one, self.all, strict=True))


def describe(measured: Measured, share: float) -> Iterator[str]:
    """The lines of the table."""
    node, database = measured.node_cpu * 1e3, measured.database_cpu * 1e3
    yield f"\nNodes with {share:.0%} of a CPU each, on one PostgreSQL with durable commits"
    yield f"  1 node                    {statistics.median(measured.one):8.1f} certificates/s"
    yield f"  {NODES} nodes                   {statistics.median(measured.all):8.1f} certificates/s"
    yield f"  ratio                     {measured.ratio:8.2f}  (goal: at least {GOAL})"
    yield f"  CPU of a node             {node:8.2f} ms for a certificate"
    yield f"  CPU of PostgreSQL         {database:8.2f} ms for a certificate"
    yield f"  flushes of PostgreSQL     {measured.flushes:8.2f} for a certificate"
    yield f"  CPUs of nodes for one CPU of PostgreSQL {node / database:6.1f}"


def measure(directory: Path, share: float, requests: int, turns: int) -> Measured:
    """Measure one node and all nodes in turns.

    Args:
        directory: an empty directory.
        share: of a CPU, for each node.
        requests: for each node in a turn.
        turns: how often one node and all nodes take their turns.

    Raises:
        CpuShareUnavailable: this machine does not allow to limit a node.
        pytest.fail.Exception: PostgreSQL is not installed.
    """
    csrs = make_csrs(NODES * _WARM_UP + turns * (NODES + 1) * requests)
    waiting = map(sign_request, csrs)
    answers: list[bytes] = []
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgresql(directory, durable=True))
        ca = configure(directory / "node0", "ec-p256", {"url": server.url})
        nodes = []
        for number in range(NODES):
            group = stack.enter_context(cpu_share(f"node{number}", share))
            own = directory / f"node{number}"
            if number:
                shutil.copytree(directory / "node0", own, ignore=shutil.ignore_patterns("*.log"))
            port, pid = stack.enter_context(serving(own))
            limit(group, tree(pid))
            nodes.append((port, pid))

        def turn(some: Sequence[tuple[int, int]], count: int) -> float:
            """Let some nodes sign; return the certificates per second."""
            batches = [list(itertools.islice(waiting, count)) for _ in some]
            with concurrent.futures.ThreadPoolExecutor(len(some)) as pool:
                started = time.monotonic()
                running = [
                    pool.submit(load, port, batch, CONNECTIONS)
                    for (port, _), batch in zip(some, batches, strict=True)
                ]
                for each in running:
                    answers.extend(each.result()[0])
                return count * len(some) / (time.monotonic() - started)

        turn(nodes, _WARM_UP)
        one, everyone, flushes = [], [], 0
        before = _cpu(server, nodes)
        for _ in range(turns):
            one.append(turn(nodes[:1], requests))
            flushed = _flushes(server)
            everyone.append(turn(nodes, requests))
            flushes += _flushes(server) - flushed
        after = _cpu(server, nodes)
    verify(answers, ca)
    database_cpu, node_cpu = (
        (late - early) / (turns * (NODES + 1) * requests)
        for early, late in zip(before, after, strict=True)
    )
    return Measured(
        one=one,
        all=everyone,
        node_cpu=node_cpu,
        database_cpu=database_cpu,
        flushes=flushes / (turns * NODES * requests),
    )


def _cpu(server: Any, nodes: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """The CPU seconds of the database and of all nodes."""
    return cpu_seconds(server.process.pid), sum(cpu_seconds(pid) for _, pid in nodes)


def _flushes(server: Any) -> int:
    """How often PostgreSQL flushed its log to the disk."""
    # The statistics of a process are at most a second old.
    time.sleep(1.1)
    return int(server.sql("SELECT wal_sync FROM pg_stat_wal"))


if __name__ == "__main__":
    main()
