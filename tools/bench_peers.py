"""Benchmark: CPU time per certificate of Anchor, cfssl and OpenBao, side by side.

All servers run during the whole measurement, and each in turn gets the same requests while the
others are idle.  The median of the rounds counts, so that other load on the machine affects all
alike.  The CPU time of a server counts during its rounds only, with what it does in the background
at that time; a separate column shows what it uses while the others are asked.  A server cannot
take less than the bare signature with the library that Anchor uses, which is measured too.

Every certificate is verified, and each server must have stored as many as it answered.
``bench_acme_peers`` then compares ACME with OpenBao's.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import bench_peer_servers
from bench import CA_KEYS, bare_signature, configure, run_script
from bench_load import cpu_seconds, host_name, load, make_csrs, verify
from bench_peer_servers import ANCHOR, CFSSL, OPENBAO, PACKAGES, PROGRAMS, Server
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

import anchor

WARM_UP = 100
# The most CPU time that Anchor should take, as a share of a peer's.
GOALS = {
    "rsa-2048": {OPENBAO: 0.42, CFSSL: 0.65},
    "rsa-4096": {OPENBAO: 0.33, CFSSL: 0.38},
    "ec-p256": {OPENBAO: 0.70, CFSSL: 1.6},
}
HEADING = (
    f"{'CA key':10}{'server':10}{'CPU per certificate':>21}{'all rounds':>17}{'while idle':>13}"
    f"{'signature':>13}{'Anchor':>9}{'goal':>7}"
)


@dataclass(frozen=True)
class Comparison:
    """The results for one kind of CA key.

    Attributes:
        signature: CPU seconds of the bare signature.
        servers: what each server took, by its name.
    """

    signature: float
    servers: Mapping[str, Result]


@dataclass(frozen=True)
class Result:
    """What one server took.

    Attributes:
        rounds: CPU seconds per certificate, for each round.
        idle: CPU seconds per second while the other servers were asked.
    """

    rounds: tuple[float, ...]
    idle: float

    @property
    def cpu(self) -> float:
        """CPU seconds per certificate: the median of the rounds."""
        return statistics.median(self.rounds)


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=250, help="per server and round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--keys", nargs="+", default=CA_KEYS, choices=CA_KEYS)
    parser.add_argument("--cfssl", type=Path, help="the program cfssl")
    parser.add_argument("--bao", type=Path, help="the program bao")
    parser.add_argument(
        "--cfssl-synchronous",
        default="FULL",
        choices=("FULL", "NORMAL"),
        help="NORMAL: cfssl answers before its certificates are on the disk, its driver's default",
    )
    options = parser.parse_args()
    programs = find_programs({CFSSL: options.cfssl, OPENBAO: options.bao})
    print(
        f"{options.rounds} rounds of {options.requests} certificates each, "
        f"{options.connections} connections, data in {tempfile.gettempdir()}"
    )
    print(f"Anchor {anchor.__version__}, Python {platform.python_version()}", end="")
    for name, program in programs.items():
        print(f", {bench_peer_servers.version(name, program)}", end="")
    print("\n")
    for name, package in PACKAGES.items():
        if name not in programs:
            print(f"{name} is not installed and left out: {package}\n")
    print(
        "signature, Anchor: the CPU time of the bare signature, and of Anchor, as shares of the "
        f"server's\n\n{HEADING}",
        flush=True,
    )
    # Remove the files only at the end: after many files were removed, ext4 is slow for minutes.
    with tempfile.TemporaryDirectory() as directory:
        for kind in options.keys:
            comparison = compare(kind, programs, options, Path(directory) / kind)
            print("\n".join(describe(kind, comparison)), flush=True)
    if program := programs.get(OPENBAO):
        sizes = {
            "--orders": options.requests // 2,
            "--turns": options.rounds,
            "--connections": options.connections,
        }
        # In a separate process: it starts further servers.
        words = [str(word) for pair in sizes.items() for word in pair]
        run_script("bench_acme_peers.py", str(program), *words)


def find_programs(given: Mapping[str, Path | None]) -> dict[str, Path]:
    """The programs of the peers that are installed.

    Args:
        given: the program of each peer by its name, or None to look for it on the path and beside
            Python.

    Raises:
        SystemExit: a given program does not exist.
    """
    path = os.pathsep.join([os.environ["PATH"], str(Path(sys.executable).parent)])
    found = {}
    for name, program in given.items():
        names = [str(program)] if program else PROGRAMS[name]
        candidates = [which for each in names if (which := shutil.which(each, path=path))]
        if candidates:
            found[name] = Path(candidates[0])
        elif program:
            raise SystemExit(f"{program} is not a program")
    return found


def compare(
    kind: str, programs: Mapping[str, Path], options: argparse.Namespace, directory: Path
) -> Comparison:
    """Measure all servers with one kind of CA key, round by round."""
    ca = configure(directory, kind)
    key = load_pem_private_key((directory / "CA/root-ca-unwrapped.key").read_bytes(), None)
    csrs = make_csrs(WARM_UP + options.rounds * options.requests)
    with start(programs, options.cfssl_synchronous, directory) as servers:
        runs = [Run(server, csrs) for server in servers]
        for run in runs:
            run.send(WARM_UP, options.connections)
        started, counters = time.perf_counter(), [run.cpu() for run in runs]
        signatures, rounds = [], []
        for _ in range(options.rounds):
            signatures.append(bare_signature(key))
            rounds.append([run.send(options.requests, options.connections) for run in runs])
        elapsed = time.perf_counter() - started
        results = {
            run.server.name: result(sent, run.cpu() - before, elapsed, options.requests)
            for run, before, sent in zip(runs, counters, zip(*rounds, strict=True), strict=True)
        }
        for run in runs:
            run.check(ca)
    return Comparison(statistics.median(signatures), results)


def result(
    rounds: Sequence[tuple[float, float]], cpu: float, elapsed: float, requests: int
) -> Result:
    """The result of a server.

    Args:
        rounds: CPU seconds and elapsed seconds of each of its rounds.
        cpu: CPU seconds of the server from the first round to the last.
        elapsed: the seconds from the first round to the last.
        requests: the number of requests in a round.
    """
    busy_cpu = sum(used for used, _ in rounds)
    busy = sum(seconds for _, seconds in rounds)
    each = tuple(used / requests for used, _ in rounds)
    return Result(each, (cpu - busy_cpu) / (elapsed - busy))


class Run:
    """The requests to one server, and the responses."""

    def __init__(self, server: Server, csrs: list[bytes]) -> None:
        self.server = server
        requests = [server.request(csr, host_name(n)) for n, csr in enumerate(csrs)]
        self._requests: Iterator[bytes] = iter(requests)
        self._bodies: list[bytes] = []

    def cpu(self) -> float:
        """The CPU seconds of the server so far."""
        return cpu_seconds(self.server.pid)

    def send(self, count: int, connections: int) -> tuple[float, float]:
        """Send the next requests; return the CPU seconds and the elapsed seconds."""
        requests = [next(self._requests) for _ in range(count)]
        started, before = time.perf_counter(), self.cpu()
        bodies, _ = load(self.server.port, requests, connections)
        cpu = self.cpu() - before
        self._bodies += bodies
        return cpu, time.perf_counter() - started

    def check(self, ca: x509.Certificate) -> None:
        """Verify all certificates, and that the server has stored as many."""
        verify([self.server.certificate(body) for body in self._bodies], ca)
        stored = self.server.count_stored()
        assert stored == len(self._bodies), (self.server.name, stored, len(self._bodies))


@contextlib.contextmanager
def start(
    programs: Mapping[str, Path], synchronous: str, directory: Path
) -> Iterator[list[Server]]:
    """Start Anchor, and each peer that is installed, with the CA of Anchor's configuration."""
    pair = (directory / "CA/root-ca.crt", directory / "CA/root-ca-unwrapped.key")
    with contextlib.ExitStack() as stack:
        servers = [bench_peer_servers.anchor(directory)]
        if program := programs.get(CFSSL):
            servers.append(
                bench_peer_servers.cfssl(program, directory / "cfssl", *pair, synchronous)
            )
        if program := programs.get(OPENBAO):
            servers.append(bench_peer_servers.openbao(program, directory / "openbao", *pair))
        yield [stack.enter_context(server) for server in servers]


def describe(kind: str, comparison: Comparison) -> Iterator[str]:
    """The lines of the table for one kind of CA key."""
    yield f"{kind:10}{'signature':10}{comparison.signature * 1e3:18.3f} ms"
    anchor_cpu = comparison.servers[ANCHOR].cpu
    for name, server in comparison.servers.items():
        spread = f"{min(server.rounds) * 1e3:.2f} - {max(server.rounds) * 1e3:.2f}"
        line = (
            f"{'':10}{name:10}{server.cpu * 1e3:18.3f} ms{spread:>17}"
            f"{server.idle * 1e3:8.2f} ms/s{comparison.signature / server.cpu:13.2f}"
        )
        if name != ANCHOR:
            share, goal = anchor_cpu / server.cpu, GOALS[kind][name]
            line += f"{share:9.2f}{goal:7.2f} {'met' if share <= goal else 'missed'}"
        yield line


if __name__ == "__main__":
    main()
