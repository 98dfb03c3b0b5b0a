"""Benchmark: CPU time per certificate, for the service under load and for the signature alone.

The service runs under uwsgi with the sample policy, static authentication and an audit file, and
stores certificates in SQLite; two further lines show files beside it, and PostgreSQL without the
CPU time of its server.  Every certificate is verified.  On a busy or slow machine the times change,
but not the ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from anchor.X509 import create_ca

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))
from tests.support.servers.postgresql import postgresql  # noqa: E402  # it is not installed

CA_KEYS = ("rsa-2048", "rsa-4096", "ec-p256")
TICKS = os.sysconf("SC_CLK_TCK")
BOUNDARY = "------------------------d74496d66958873e"


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000, help="per kind of CA key")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--keys", nargs="+", default=CA_KEYS, choices=create_ca.KEYS)
    parser.add_argument("--hsm-seconds", type=float, default=2, help="per figure with a token")
    parser.add_argument("--split-only", choices=create_ca.KEYS, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.split_only:
        print_split(options.split_only, options.directory)
        return
    # Remove the files only at the end: after many files were removed, ext4 is slow for minutes at
    # making new ones.
    with tempfile.TemporaryDirectory() as name:
        print_all(options, Path(name))
    print("\nWith the CA's key in a token, against the module's bare C_Sign", flush=True)
    # It sets environment variables for the module, so it runs in a separate process.
    run_script("bench_hsm.py", str(options.hsm_seconds))


def run_script(name: str, *arguments: str) -> None:
    """Run another script of this directory."""
    subprocess.run([sys.executable, Path(__file__).with_name(name), *arguments], check=True)


def print_all(options: argparse.Namespace, directory: Path) -> None:
    """Measure each kind of CA key under load, then step by step."""
    print(
        f"{options.requests} certificates each, {options.connections} connections, 2 workers, "
        f"data in {directory.parent}"
    )
    print()
    print("CPU of the whole service for a certificate; all requests differ, and so do their keys")
    print()
    print(
        "CA key     stored in         bare signature  service CPU   ratio  median, 1 conn."
        "  99th perc.  memory"
    )
    for kind in options.keys:
        print_row(kind, "SQLite", options, directory / f"{kind}-load", {})
    last = options.keys[-1]
    print_row(last, "SQLite and files", options, directory / f"{last}-files", {}, files=True)
    try:
        with postgresql(directory, durable=True) as server:
            section = {"url": server.url}
            print_row(last, "PostgreSQL", options, directory / f"{last}-postgresql", section)
    except pytest.fail.Exception as error:
        print(f"{last:9}  PostgreSQL: {error}")
    # In a separate process: it needs this module.
    acme = [
        "bench_acme.py",
        str(options.requests),
        str(options.connections),
        str(directory / "acme"),
    ]
    run_script(*acme)

    for kind in options.keys:
        # In a separate process: it configures logging, and changes the current directory.
        split_directory = str(directory / f"{kind}-split")
        subprocess.run(
            [sys.executable, __file__, "--split-only", kind, "--directory", split_directory],
            check=True,
        )


def print_row(
    kind: str,
    stored: str,
    options: argparse.Namespace,
    directory: Path,
    database: dict[str, str],
    *,
    files: bool = False,
) -> None:
    """Measure one kind of CA key and one store, and print a line of the table."""
    ca = configure(directory, kind, database, files=files)
    row = measure(ca, options.requests, options.connections, directory)
    print(
        f"{kind:9}  {stored:16}  {row.bare * 1e3:11.3f} ms"
        f"  {row.cpu * 1e3:8.3f} ms  {row.cpu / row.bare:6.2f}"
        f"  {row.median * 1e3:12.2f} ms  {row.percentile * 1e3:7.2f} ms  {row.memory:4.0f} MB",
        flush=True,
    )


def print_split(kind: str, directory: Path) -> None:
    """Print the CPU time of each step of a request."""
    from bench_split import split  # noqa: PLC0415  # it needs this module

    configure(directory, kind)
    steps = split(directory)
    print(f"\n{kind}: CPU of each step, in microseconds")
    for step, seconds in steps:
        print(f"  {step:36} {seconds * 1e6:8.1f}")


@dataclass(frozen=True)
class Row:
    """The result for one kind of CA key: seconds, and megabytes of all processes together."""

    bare: float
    cpu: float
    median: float
    percentile: float
    memory: float


def measure(ca: x509.Certificate, count: int, connections: int, directory: Path) -> Row:
    """Measure a configured service under load, and the bare signature with its CA's key."""
    key = load_pem_private_key((directory / "CA/root-ca-unwrapped.key").read_bytes(), None)
    alone = max(50, count // 10)
    bodies = [request_body(csr) for csr in make_csrs(100 + count + alone)]
    with serving(directory) as (port, pid):
        load(port, bodies[:100], connections)
        bare = [bare_signature(key)]
        started = cpu_seconds(pid)
        answers, slow = load(port, bodies[100 : 100 + count], connections)
        ended = cpu_seconds(pid)
        bare.append(bare_signature(key))
        last, quick = load(port, bodies[100 + count :], 1)
        memory = proportional_memory(pid)
    verify(answers + last, ca)
    return Row(
        min(bare),
        (ended - started) / count,
        statistics.median(quick),
        statistics.quantiles(slow, n=100)[98],
        memory,
    )


def configure(
    directory: Path,
    kind: str,
    database: dict[str, str] | None = None,
    *,
    files: bool = False,
) -> x509.Certificate:
    """Write the sample configuration, with a CA key of this kind and an audit file.

    Args:
        directory: where the service runs.
        kind: the kind of the CA's key.
        database: the section ``database``; by default a SQLite file.
        files: True to store certificates in files too.
    """
    (directory / "CA").mkdir(parents=True)
    pair = create_ca.make_root("Bench CA", kind, 30)
    (directory / "CA/root-ca.crt").write_bytes(pair.certificate_pem)
    key = directory / "CA/root-ca-unwrapped.key"
    key.write_bytes(pair.key_pem)
    key.chmod(0o400)
    document = json.loads((ROOT / "config.json").read_bytes())
    document["database"] = database or {}
    if not files:
        del document["signing_ca"]["local"]["output_path"]
    (directory / "config.json").write_text(json.dumps(document))
    text = (ROOT / "config.py").read_text()
    audit = '"audit": {"class": "anchor.logs.Lines"}'
    to_a_file = '"audit": {"class": "anchor.logs.Lines", "filename": "audit.log"}'
    assert audit in text
    (directory / "config.py").write_text(text.replace(audit, to_a_file))
    return x509.load_pem_x509_certificate(pair.certificate_pem)


def make_csrs(count: int) -> list[bytes]:
    """Make requests with different names and keys."""
    return [
        x509.CertificateSigningRequestBuilder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"host{number}.example.com")])
        )
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        .public_bytes(Encoding.PEM)
        for number in range(count)
    ]


def request_body(csr: bytes) -> bytes:
    """A form, encoded as curl encodes it."""
    fields = {"user": b"myusername", "secret": b"simplepassword", "encoding": b"pem", "csr": csr}
    parts = b"".join(
        b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        % (BOUNDARY.encode(), name.encode(), value)
        for name, value in fields.items()
    )
    return parts + b"--%s--\r\n" % BOUNDARY.encode()


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[tuple[int, int]]:
    """Run the service under uwsgi; yield its port and the process id of the master."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uwsgi = [
        str(Path(sys.executable).with_name("uwsgi")),
        *("--http-socket", f"127.0.0.1:{port}", "--venv", sys.prefix, "--pecan", "config.py"),
        *("-p", "2", "--master", "--die-on-term", "--need-app", "--disable-logging"),
    ]
    with (directory / "uwsgi.log").open("wb") as log:
        process = subprocess.Popen(uwsgi, cwd=directory, stdout=log, stderr=log)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert process.poll() is None, (directory / "uwsgi.log").read_text()
            time.sleep(0.05)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def load(port: int, bodies: list[bytes], connections: int) -> tuple[list[bytes], list[float]]:
    """Send the requests; return the responses, and the seconds that each took."""

    # A single thread that only sends and receives takes little CPU time from the service.
    requests = iter([_request(body) for body in bodies])
    answers: list[bytes] = []
    seconds: list[float] = []
    with selectors.DefaultSelector() as selector:

        def ask() -> None:
            request = next(requests, None)
            if request is not None:
                started = time.perf_counter()
                connection = socket.create_connection(("127.0.0.1", port), 60)
                connection.sendall(request)
                selector.register(connection, selectors.EVENT_READ, (started, []))

        for _ in range(connections):
            ask()
        while len(answers) < len(bodies):
            for ready, _ in selector.select():
                started, received = ready.data
                connection = cast(socket.socket, ready.fileobj)
                data = connection.recv(1 << 16)
                received.append(data)
                if not data:
                    seconds.append(time.perf_counter() - started)
                    selector.unregister(connection)
                    connection.close()
                    answers.append(b"".join(received))
                    ask()
    return [_body(answer) for answer in answers], seconds


def _request(body: bytes) -> bytes:
    return (
        b"POST /v1/sign/default HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n"
        b"Content-Length: %d\r\nContent-Type: multipart/form-data; boundary=%b\r\n\r\n%b"
        % (len(body), BOUNDARY.encode(), body)
    )


def _body(answer: bytes) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.partition(b" ")[2].startswith(b"200 "), answer
    return body


def verify(answers: list[bytes], ca: x509.Certificate) -> None:
    """Verify that each response is a different certificate of the CA."""
    serials = set()
    for answer in answers:
        certificate = x509.load_pem_x509_certificate(answer)
        certificate.verify_directly_issued_by(ca)
        serials.add(certificate.serial_number)
    assert len(serials) == len(answers)


def bare_signature(key: object) -> float:
    """CPU seconds of one signature with the CA's key."""
    rounds = 200
    started = time.process_time()
    for _ in range(rounds):
        if isinstance(key, rsa.RSAPrivateKey):
            key.sign(b"x" * 500, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ec.EllipticCurvePrivateKey):
            key.sign(b"x" * 500, ec.ECDSA(hashes.SHA256()))
    return (time.process_time() - started) / rounds


def tree(pid: int) -> list[int]:
    """The ids of a process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(descendant for child in children for descendant in tree(int(child)))]


def cpu_seconds(pid: int) -> float:
    """The CPU seconds of a process and its descendants, user and system."""
    total = 0
    for process in tree(pid):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def proportional_memory(pid: int) -> float:
    """The memory of a process and its descendants in megabytes; shared pages count once."""
    total = 0
    for process in tree(pid):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


if __name__ == "__main__":
    main()
