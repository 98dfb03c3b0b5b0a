"""Benchmark: costs that should not grow with use, and the time to list certificates.

It measures the whole service under load, storage, requests, start-up and memory.  Under load, the
median of many turns counts.  The other lines with "CPU" show the smallest CPU time of several runs.
The other times are elapsed times, and are valid only on an idle machine.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import logging
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import bench_full
import webtest
from bench import ROOT, configure, sign_request
from bench_load import cpu_seconds, free_port, load, make_csrs, proportional_memory, verify
from full_database import fill

from anchor import logs
from anchor.app import Application
from anchor.authorities import load_authorities
from anchor.store.database.certificates import Inventory
from anchor.store.records import CertificateRecord
from anchor.timestamps import utc_now
from anchor.web.settings import WebSettings
from anchor.X509.name_search import search_key

BIN = Path(sys.executable).parent


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stored", type=int, default=1_000_000, help="certificates stored before")
    parser.add_argument("--authorities", type=int, default=1000)
    parser.add_argument("--listed", type=int, default=1_000_000, help="certificates to list")
    parser.add_argument("--bans", type=int, default=10_000)
    parser.add_argument("--tokens", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=20, help="of each service, under load")
    options = parser.parse_args()
    logging.getLogger("anchor").setLevel(logging.ERROR)
    # Without a handler for audit events, the service refuses all requests.
    logging.getLogger("anchor.audit").setLevel(logging.INFO)
    logging.getLogger("anchor.audit").addHandler(logs.Lines(os.devnull))
    print(f"\n{'With':44}{'':>12}{'with one, or none':>20}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        under_load(Path(name), options)
    for measure, count in (
        (storing, options.stored),
        (requests, options.authorities),
        (starting, 0),
        (listing, options.listed),
    ):
        with tempfile.TemporaryDirectory() as name:
            measure(Path(name), count)


def show(what: str, value: str, otherwise: str = "") -> None:
    """Print a line of the table."""
    print(f"{what:44}{value:>12}{otherwise:>20}", flush=True)


def least(work: Callable[[], object], rounds: int) -> float:
    """The smallest CPU time of several runs, in seconds."""
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def under_load(directory: Path, options: argparse.Namespace) -> None:
    """Measure the whole service under load, with everything that a large fleet has."""
    with_all, without, ratio = bench_full.measure(
        directory,
        options.stored,
        authorities=options.authorities,
        bans=options.bans,
        tokens=options.tokens,
        turns=options.turns,
    )
    show(
        "all of these: CPU of the service",
        f"{with_all * 1e3:.2f} ms",
        f"{without * 1e3:.2f} ms",
    )
    show("ratio", f"{ratio:.2f}", f"goal: {bench_full.GOAL:.2f}")


def storing(directory: Path, count: int) -> None:
    """Measure how long it takes to store a certificate in an empty and in a full database."""
    inventories = [fill(directory / f"{rows}.db", rows) for rows in (0, count)]
    new = iter(records(3 * 300, first=count))

    def put(inventory: Inventory) -> float:
        record, names = next(new)
        return least(lambda: inventory.add(record, names), 1)

    # Alternate, so that other load on the machine affects both.
    rounds = [[put(inventory) for inventory in inventories] for _ in range(300)]
    fastest = [statistics.quantiles(each, n=10)[0] for each in zip(*rounds, strict=True)]
    show(f"{count} certificates: CPU to store one more", *(_micro(each) for each in fastest[::-1]))


def records(count: int, first: int = 0) -> Iterator[tuple[CertificateRecord, Mapping[str, str]]]:
    """Certificates for a host each, which differ in all values that are indexed."""
    now = utc_now()
    for number in range(first, first + count):
        name = f"host{number}.example.com"
        fingerprint = hashlib.sha256(name.encode()).hexdigest()
        record = CertificateRecord(
            fingerprint=fingerprint,
            serial=fingerprint[:40],
            ca_key_id="00" * 20,
            key=fingerprint[::-1],
            subject=f"CN={name}",
            names=(f"CN:{name}", f"DNS:{name}"),
            not_before=now,
            not_after=now + datetime.timedelta(hours=24, seconds=number % 86400),
            der=fingerprint.encode() * 8,
        )
        yield record, {name: search_key(name)}


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} us"


def requests(directory: Path, count: int) -> None:
    """Measure a request and the start-up, with one authority and with many."""
    configure(directory, "ec-p256")
    document = json.loads((directory / "config.json").read_text())
    authority = document["registration_authority"]["default"]
    fields = {"user": "myusername", "secret": "simplepassword", "encoding": "pem"}
    form = fields | {"csr": make_csrs(1)[0]}
    asked, started = [], []
    for number in (1, count):
        document["registration_authority"] = {f"ra{n}": authority for n in range(number)}
        (directory / "config.json").write_text(json.dumps(document))

        def start() -> Application:
            loaded = load_authorities(directory / "config.json")
            return Application(loaded.authorities, WebSettings())

        started.append(least(start, 3))
        http = webtest.TestApp(start(), extra_environ={"REMOTE_ADDR": "127.0.0.1"}, lint=False)
        path = f"/v1/sign/ra{number - 1}"
        asked.append(least(lambda: http.post(path, form, status=200), 200))  # noqa: B023  # called at once
    show(f"{count} authorities: CPU of a request", *(_micro(each) for each in reversed(asked)))
    show(
        f"{count} authorities: CPU to load them",
        *(f"{each:.2f} s" for each in reversed(started)),
    )


def starting(directory: Path, _count: int) -> None:
    """Measure the time to the first certificate, and the memory of four workers after 400 more."""
    ca = configure(directory, "ec-p256")
    requests = [sign_request(csr) for csr in make_csrs(401)]
    placeholders = ["--set-placeholder", f"anchor_venv={sys.prefix}"]
    placeholders += ["--set-placeholder", f"anchor_run={directory}"]
    pecan = ["--venv", sys.prefix, "--pecan", "config.py"]
    for what, command in (
        ("uwsgi -p 4", ["uwsgi", *pecan]),
        ("anchor.ini", ["uwsgi", *placeholders, "--ini", ROOT / "tools/uwsgi/anchor.ini"]),
        ("anchor serve", ["anchor", "serve"]),
    ):
        port = free_port()
        ours = ["--port", str(port)]
        if command[0] == "uwsgi":
            ours = ["--http-socket", f"127.0.0.1:{port}", "-p", "4"]
        started = time.perf_counter()
        with (directory / "server.log").open("wb") as log:
            process = subprocess.Popen(
                [BIN / command[0], *command[1:], *ours],
                cwd=directory,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            answers = _first(process, port, requests[:1])
            seconds, cpu = time.perf_counter() - started, cpu_seconds(process.pid)
            answers += load(port, requests[1:], 4)[0]
            show(f"{what}: until the first certificate", f"{seconds:.2f} s", f"CPU {cpu:.2f} s")
            show(f"{what}: memory", f"{proportional_memory(process.pid):.0f} MB")
            verify(answers, ca)
        finally:
            # A service without a master leaves its workers behind.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _first(process: subprocess.Popen[bytes], port: int, requests: list[bytes]) -> list[bytes]:
    while process.poll() is None:
        try:
            return load(port, requests, 1)[0]
        except OSError:
            time.sleep(0.01)
    raise SystemExit(f"the server ended with {process.returncode}")


def listing(directory: Path, count: int) -> None:
    """Measure ``anchor certs`` with so many certificates in force."""
    configure(directory, "ec-p256")
    fill(directory / "anchor.db", count).database.close()
    name = f"host{count // 2}.example.com"
    fingerprint = hashlib.sha256(name.encode()).hexdigest()
    for arguments in (["--for", name], ["show", fingerprint], ["--limit", "50"], ["--json"]):
        before, started = _children(), time.perf_counter()
        subprocess.run(
            [BIN / "anchor", "certs", *arguments],
            cwd=directory,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        show(
            f"{count} certificates: anchor certs {arguments[0]}",
            f"{time.perf_counter() - started:.2f} s",
            f"CPU {_children() - before:.2f} s",
        )


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
