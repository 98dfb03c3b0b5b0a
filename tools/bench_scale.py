"""Benchmark: costs that should not grow with use, and the time to list certificates.

It measures storage, requests, start-up and memory.  A line with "CPU" shows the smallest CPU time
of several runs.  The other times are elapsed times, and are valid only on an idle machine.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import logging
import os
import resource
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import webtest
from bench import (
    ROOT,
    configure,
    cpu_seconds,
    load,
    make_csrs,
    proportional_memory,
    request_body,
    verify,
)
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from anchor import logs
from anchor.app import Application
from anchor.authorities import load_authorities
from anchor.store import certificate_files
from anchor.store.certificate_files import load_store
from anchor.web.settings import WebSettings

BIN = Path(sys.executable).parent


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1_000_000, help="stored before")
    parser.add_argument("--authorities", type=int, default=1000)
    parser.add_argument("--listed", type=int, default=100_000, help="certificates to list")
    options = parser.parse_args()
    logging.getLogger("anchor").setLevel(logging.ERROR)
    # Without a handler for audit events, the service refuses all requests.
    logging.getLogger("anchor.audit").setLevel(logging.INFO)
    logging.getLogger("anchor.audit").addHandler(logs.Lines(os.devnull))
    print(f"\n{'With':44}{'':>12}{'with one, or none':>20}", flush=True)
    for measure, count in (
        (storing, options.files),
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


def storing(directory: Path, count: int) -> None:
    """Measure how long it takes to store a certificate in an empty and in a full directory."""
    stores = []
    for files in (0, count):
        path = directory / str(files)
        stores.append(load_store(path))
        opened = os.open(path, os.O_RDONLY)
        for _ in range(files):
            name = f"{secrets.token_hex(32)}.crt"
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=opened))
        os.close(opened)

    def put(store: certificate_files.Store) -> float:
        return least(lambda: store.put(secrets.token_hex(32), b"x" * 1200), 1)

    # Alternate, so that other load on the machine affects both.
    rounds = [[put(store) for store in stores] for _ in range(300)]
    fastest = [statistics.quantiles(each, n=10)[0] for each in zip(*rounds, strict=True)]
    show(f"{count} files: CPU to store one more", *(_micro(each) for each in reversed(fastest)))


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
    bodies = [request_body(csr) for csr in make_csrs(401)]
    placeholders = ["--set-placeholder", f"anchor_venv={sys.prefix}"]
    placeholders += ["--set-placeholder", f"anchor_run={directory}"]
    pecan = ["--venv", sys.prefix, "--pecan", "config.py"]
    for what, command in (
        ("uwsgi -p 4", ["uwsgi", *pecan]),
        ("anchor.ini", ["uwsgi", *placeholders, "--ini", ROOT / "tools/uwsgi/anchor.ini"]),
        ("anchor serve", ["anchor", "serve"]),
    ):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
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
            answers = _first(process, port, bodies[:1])
            seconds, cpu = time.perf_counter() - started, cpu_seconds(process.pid)
            answers += load(port, bodies[1:], 4)[0]
            show(f"{what}: until the first certificate", f"{seconds:.2f} s", f"CPU {cpu:.2f} s")
            show(f"{what}: memory", f"{proportional_memory(process.pid):.0f} MB")
            verify(answers, ca)
        finally:
            # A service without a master leaves its workers behind.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _first(process: subprocess.Popen[bytes], port: int, bodies: list[bytes]) -> list[bytes]:
    while process.poll() is None:
        try:
            return load(port, bodies, 1)[0]
        except OSError:
            time.sleep(0.01)
    raise SystemExit(f"the server ended with {process.returncode}")


def listing(directory: Path, count: int) -> None:
    """Measure ``anchor certs`` with certificates that differ only in the serial number."""
    configure(directory, "ec-p256")
    stored = directory / "certs"
    stored.mkdir()
    template = x509.load_pem_x509_certificate((directory / "CA/root-ca.crt").read_bytes())
    der = template.public_bytes(Encoding.DER)
    at = der.index(b"\xa0\x03\x02\x01\x02\x02") + 7
    for number in range(count):
        changed = der[:at] + b"\x01" + number.to_bytes(4, "big") + der[at + 5 :]
        (stored / f"{hashlib.sha256(changed).hexdigest()}.crt").write_bytes(
            b"-----BEGIN CERTIFICATE-----\n"
            + base64.encodebytes(changed)
            + b"-----END CERTIFICATE-----\n"
        )
    for arguments in ([], ["--for", "www.example.com"], ["--json"]):
        before, started = _children(), time.perf_counter()
        subprocess.run(
            [BIN / "anchor", "certs", *arguments],
            cwd=directory,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        show(
            f"{count} certificates: anchor certs {' '.join(arguments[:1])}",
            f"{time.perf_counter() - started:.2f} s",
            f"CPU {_children() - before:.2f} s",
        )


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
